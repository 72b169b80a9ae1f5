"""The resolution of a set of states, step by step."""

from collections.abc import Sequence, Set

from homeserver.auth.selection import POWER_LEVELS
from homeserver.events.room_version import RoomVersion, StateResolution
from homeserver.identifiers import EventID, StateKey
from homeserver.state.auth_difference import auth_difference
from homeserver.state.auth_graph import Events
from homeserver.state.conflicted_subgraph import conflicted_subgraph
from homeserver.state.conflicts import Conflicts, find_conflicts
from homeserver.state.iterative_auth import iterative_auth_checks, require_deciding_state
from homeserver.state.mainline_order import mainline_order
from homeserver.state.power_order import reverse_topological_power_order, select_power_events
from homeserver.state.resolve_v1 import resolve_v1
from homeserver.state.state_map import StateMap


def resolve(
    version: RoomVersion,
    state_sets: Sequence[StateMap],
    events: Events,
    rejected: Set[EventID] = frozenset(),
) -> dict[StateKey, EventID]:
    """The room's state where branches with these states meet; {} without any.

    events: the events in which the state sets differ, with their full auth chains, and, from room
    version 12, the create event; more is asked for where it matters.
    rejected: those of `events` that this server rejected; they win no conflict, and as auth events
    they do not count.
    Order is irrelevant everywhere. Raises MissingEvents: load those and resolve again.
    Source: the room versions, "State resolution".
    """
    if all(state == state_sets[0] for state in state_sets):
        return dict(state_sets[0]) if state_sets else {}
    if version.state_resolution is StateResolution.V1:
        return resolve_v1(state_sets, events, rejected)
    return _resolve_v2(version, state_sets, events, rejected)


def _resolve_v2(
    version: RoomVersion, state_sets: Sequence[StateMap], events: Events, rejected: Set[EventID]
) -> dict[StateKey, EventID]:
    """Source: room v2 state resolution, "Algorithm", with the changes of room v12."""
    conflicts = find_conflicts(state_sets)
    disputed = _full_conflicted_set(version, state_sets, conflicts, events)
    # Since v12 the checks start from an empty state: an unconflicted entry may itself be the
    # result of a reset, and then must not decide about the conflicted events.
    start = {} if version.state_resolution is StateResolution.V2_1 else conflicts.unconflicted
    require_deciding_state(disputed, start, events)

    power_events = select_power_events(disputed, events)
    by_power = reverse_topological_power_order(power_events, events)
    partial = iterative_auth_checks(by_power, start, events, rejected)

    by_mainline = mainline_order(disputed - power_events, partial.get(POWER_LEVELS), events)
    resolved = iterative_auth_checks(by_mainline, partial, events, rejected)
    return resolved | conflicts.unconflicted


def _full_conflicted_set(
    version: RoomVersion, state_sets: Sequence[StateMap], conflicts: Conflicts, events: Events
) -> frozenset[EventID]:
    """Source: room v2 and v12 state resolution, "Full conflicted set"."""
    disputed = [conflicts.conflicted.intersection(state.values()) for state in state_sets]
    unconflicted = frozenset(conflicts.unconflicted.values())
    full = conflicts.conflicted | auth_difference(disputed, unconflicted, events)
    if version.state_resolution is StateResolution.V2_1:
        full |= conflicted_subgraph(conflicts.conflicted, events)
    return full
