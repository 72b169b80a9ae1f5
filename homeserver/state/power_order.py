"""Power events, and the order in which they are judged."""

from collections.abc import Iterable, Mapping, Set
from heapq import heapify, heappop, heappush

from homeserver.auth.selection import CREATE, JOIN_RULES, MEMBER, POWER_LEVELS
from homeserver.events.content import PowerLevels
from homeserver.events.event import Event
from homeserver.identifiers import EventID
from homeserver.state.auth_graph import Events, auth_state

_REMOVING = ("leave", "ban")


def is_power_event(event: Event) -> bool:
    """Might it take somebody's ability to do something? Source: "Power events"."""
    if not event.is_state:
        return False
    if event.type == MEMBER:
        return event.content.get("membership") in _REMOVING and event.sender != event.state_key
    return event.key in {POWER_LEVELS, JOIN_RULES}


def select_power_events(full_conflicted: Set[EventID], events: Events) -> frozenset[EventID]:
    """The power events of the full conflicted set and what of it is in their auth chains.

    Followed through the set only, as deployed servers do; since v12 the conflicted state subgraph
    leaves no other way. Source: room v2 state resolution, "Algorithm", step 1.
    """
    selected: set[EventID] = set()
    stack = [event_id for event_id in full_conflicted if is_power_event(events[event_id])]
    while stack:
        event_id = stack.pop()
        if event_id not in selected:
            selected.add(event_id)
            stack.extend(set(events[event_id].auth_events) & full_conflicted)
    return frozenset(selected)


def reverse_topological_power_order(chosen: Set[EventID], events: Events) -> list[EventID]:
    """Earliest first: Kahn's algorithm, where the smallest of all candidates is next.

    The graph is that of the chosen events alone: of two that are connected only through others,
    neither waits. The spec can be read both ways, and deployed servers read it so.
    Source: room v2 state resolution, "Reverse topological power ordering".
    """

    def rank(event_id: EventID) -> tuple[float, int, EventID]:
        event = events[event_id]
        return -_sender_level(event, events), event.origin_server_ts, event_id

    waits_for = {each: set(events[each].auth_events) & chosen for each in chosen}
    cited_by = _inverted(waits_for)
    candidates = [rank(event_id) for event_id, awaited in waits_for.items() if not awaited]
    heapify(candidates)
    ordered: list[EventID] = []
    while candidates:
        event_id = heappop(candidates)[-1]
        ordered.append(event_id)
        for citing_id in cited_by[event_id]:
            waits_for[citing_id].discard(event_id)
            if not waits_for[citing_id]:
                heappush(candidates, rank(citing_id))
    return ordered


def _inverted(edges: Mapping[EventID, Iterable[EventID]]) -> dict[EventID, list[EventID]]:
    """For every event, those that point to it."""
    inverted: dict[EventID, list[EventID]] = {event_id: [] for event_id in edges}
    for event_id, targets in edges.items():
        for target in targets:
            inverted[target].append(event_id)
    return inverted


def _sender_level(event: Event, events: Events) -> float:
    """The sender's power level "when looking at their respective `auth_event`s"."""
    state = auth_state(event, events)
    create = event if event.type == CREATE[0] else state.get(CREATE)
    if create is None:
        return 0
    return PowerLevels.of(state.get(POWER_LEVELS), create).user(event.sender)
