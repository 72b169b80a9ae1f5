"""Power events, and the order in which they are judged."""

from collections import defaultdict
from collections.abc import Set
from heapq import heappop, heappush

from homeserver.auth.selection import CREATE, JOIN_RULES, MEMBER, POWER_LEVELS
from homeserver.events.content import PowerLevels
from homeserver.events.event import Event
from homeserver.identifiers import EventID
from homeserver.state.auth_graph import Events, auth_events_first, auth_state


def is_power_event(event: Event) -> bool:
    """Might it take somebody's ability to do something? Source: "Power events"."""
    if not event.is_state:
        return False
    if event.type == MEMBER:
        return (
            event.content.get("membership") in {"leave", "ban"} and event.sender != event.state_key
        )
    return event.key in {POWER_LEVELS, JOIN_RULES}


def select_power_events(full_conflicted: Set[EventID], events: Events) -> frozenset[EventID]:
    """The power events of the full conflicted set and what of it is in their auth chains.

    Source: room v2 state resolution, "Algorithm", step 1.
    """
    power_events = {event_id for event_id in full_conflicted if is_power_event(events[event_id])}
    return frozenset(auth_events_first(power_events, events)) & full_conflicted


class PowerOrder:
    """Kahn's algorithm over the auth events, the smallest candidate next.

    Source: room v2 state resolution, "Reverse topological power ordering".
    """

    def __init__(self, chosen: Set[EventID], events: Events) -> None:
        self._chosen = chosen
        self._events = events
        self._candidates: list[tuple[float, int, EventID]] = []
        self._passed: list[EventID] = []
        self._waits_for: dict[EventID, int] = {}
        self._cited_by: defaultdict[EventID, list[EventID]] = defaultdict(list)
        for event_id in auth_events_first(chosen, events):
            self._enter(event_id)

    def sort(self) -> list[EventID]:
        """The chosen events, earliest first."""
        ordered: list[EventID] = []
        while self._passed or self._candidates:
            if self._passed:
                event_id = self._passed.pop()
            else:
                event_id = heappop(self._candidates)[-1]
                ordered.append(event_id)
            self._release_citing(event_id)
        return ordered

    def _enter(self, event_id: EventID) -> None:
        auth_ids = set(self._events[event_id].auth_events)
        self._waits_for[event_id] = len(auth_ids)
        for auth_id in auth_ids:
            self._cited_by[auth_id].append(event_id)
        if not auth_ids:
            self._offer(event_id)

    def _release_citing(self, event_id: EventID) -> None:
        for citing_id in self._cited_by[event_id]:
            self._waits_for[citing_id] -= 1
            if not self._waits_for[citing_id]:
                self._offer(citing_id)

    def _offer(self, event_id: EventID) -> None:
        """A chosen event becomes a candidate; others only carry the order of what they connect."""
        if event_id in self._chosen:
            event = self._events[event_id]
            rank = (-_sender_level(event, self._events), event.origin_server_ts, event_id)
            heappush(self._candidates, rank)
        else:
            self._passed.append(event_id)


def _sender_level(event: Event, events: Events) -> float:
    """The sender's power level "when looking at their respective `auth_event`s"."""
    state = auth_state(event, events)
    create = event if event.type == CREATE[0] else state.get(CREATE)
    if create is None:
        return 0
    return PowerLevels.of(state.get(POWER_LEVELS), create).user(event.sender)
