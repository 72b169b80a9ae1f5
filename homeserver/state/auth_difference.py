"""The auth events on which the state sets do not agree."""

from collections import defaultdict
from collections.abc import Sequence, Set

from homeserver.identifiers import EventID
from homeserver.state.auth_graph import Events, auth_events_first


def auth_difference(
    disputed: Sequence[Set[EventID]], unconflicted: Set[EventID], events: Events
) -> frozenset[EventID]:
    """Events that are in the auth chains of some, but not all, of the state sets.

    disputed: for each state set, the events that it does not share with all others; order is
    irrelevant. unconflicted: the events that all state sets share. An event counts as part of its
    own chain: the deployed servers agree on that, and what all sets contain needs no new verdict.
    Only when a chain holds something that no state set contains are the unconflicted events
    looked at, so the common fork needs none of a big room's members.
    Raises MissingEvents. Source: room v2 state resolution, "Auth difference".
    """
    reached = _reached_by(disputed, events)
    everywhere = (1 << len(disputed)) - 1
    in_all = {event_id for event_id, sets in reached.items() if sets == everywhere}
    differing = reached.keys() - in_all - unconflicted
    if differing.issubset(set().union(*disputed)):
        return frozenset(differing)
    shared = auth_events_first(unconflicted - in_all, events, settled=in_all)
    return frozenset(differing.difference(shared))


def _reached_by(disputed: Sequence[Set[EventID]], events: Events) -> dict[EventID, int]:
    """For every event in a chain, bit i set where it is in the chain of state set i."""
    reached: defaultdict[EventID, int] = defaultdict(int)
    for index, event_ids in enumerate(disputed):
        for event_id in event_ids:
            reached[event_id] |= 1 << index
    for event_id in reversed(auth_events_first(reached, events)):
        sets = reached[event_id]
        for auth_id in events[event_id].auth_events:
            reached[auth_id] |= sets
    return dict(reached)
