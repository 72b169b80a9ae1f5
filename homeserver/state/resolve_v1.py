"""State resolution of room version 1."""

from collections.abc import Sequence, Set
from hashlib import sha1

from homeserver.auth.selection import JOIN_RULES, MEMBER, POWER_LEVELS
from homeserver.identifiers import EventID, StateKey
from homeserver.state.auth_graph import Events, require
from homeserver.state.conflicts import find_conflicts_v1
from homeserver.state.iterative_auth import is_allowed, needed_keys, require_deciding_state
from homeserver.state.state_map import StateMap

# What decides about other events is settled first, a type at a time.
_PASSES = (POWER_LEVELS[0], JOIN_RULES[0], MEMBER)


def resolve_v1(
    state_sets: Sequence[StateMap], events: Events, rejected: Set[EventID]
) -> dict[StateKey, EventID]:
    """The state that room version 1 makes of the state sets; none of `rejected` wins a conflict.

    Raises MissingEvents. Source: room v1, "State resolution".
    """
    resolved, conflicted = find_conflicts_v1(state_sets)
    admissible = {key: ids - rejected for key, ids in conflicted.items()}
    named = frozenset().union(*admissible.values())
    require(named, events)
    require_deciding_state(named, resolved, events)
    candidates = {key: _in_order(ids, events) for key, ids in admissible.items() if ids}
    for event_type in _PASSES:
        # Entries of one type do not see each other's winners, so their order does not matter.
        resolved |= {
            key: _last_of_allowed_row(ids, resolved, events)
            for key, ids in candidates.items()
            if key[0] == event_type
        }
    return resolved | {
        key: _first_allowed(ids, resolved, events)
        for key, ids in candidates.items()
        if key[0] not in _PASSES
    }


def _in_order(event_ids: Set[EventID], events: Events) -> list[EventID]:
    """By ascending depth, then descending SHA-1 of the event ID."""

    def rank(event_id: EventID) -> tuple[int, int]:
        digest = sha1(event_id.encode(), usedforsecurity=False).digest()
        return events[event_id].depth, -int.from_bytes(digest)

    return sorted(event_ids, key=rank)


def _last_of_allowed_row(ids: list[EventID], resolved: StateMap, events: Events) -> EventID:
    """The first, replaced by each following one until the rules forbid a step."""
    winner = ids[0]
    for event_id in ids[1:]:
        state = {**resolved, events[winner].key: winner}
        if not _allowed_in(event_id, state, events):
            break
        winner = event_id
    return winner


def _first_allowed(ids: list[EventID], resolved: StateMap, events: Events) -> EventID:
    """The highest that the rules allow.

    Where they allow none, the spec names no winner and deployed servers keep the lowest.
    """
    allowed = (event_id for event_id in reversed(ids) if _allowed_in(event_id, resolved, events))
    return next(allowed, ids[0])


def _allowed_in(event_id: EventID, state: StateMap, events: Events) -> bool:
    event = events[event_id]
    deciding = {key: events[state[key]] for key in needed_keys(event) if key in state}
    return is_allowed(event, deciding)
