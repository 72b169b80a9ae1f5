"""What lies between conflicted events, which state resolution 2.1 judges again."""

from collections.abc import Set

from homeserver.identifiers import EventID
from homeserver.state.auth_graph import Events, auth_events_first


def conflicted_subgraph(conflicted: Set[EventID], events: Events) -> frozenset[EventID]:
    """All events on paths along auth events from one conflicted event to another, ends included.

    Raises MissingEvents. Source: room v12 state resolution, "Conflicted state subgraph".
    """
    leading: set[EventID] = set()
    for event_id in auth_events_first(conflicted, events):
        # Everything walked is reached from a conflicted event; kept is what leads to one too.
        if event_id in conflicted or not leading.isdisjoint(events[event_id].auth_events):
            leading.add(event_id)
    return frozenset(leading)
