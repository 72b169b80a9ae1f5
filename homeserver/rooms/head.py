"""The end of a room's graph: what an append needs, and how an event moves it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from homeserver.events.event import Event
from homeserver.events.format import pdu_of
from homeserver.events.hashing import reference_hash
from homeserver.identifiers import EventID, StateKey
from homeserver.values import value

MAX_PREV_EVENTS = 20
"""Server-server API v1.19 "PDU": at most 20 previous events."""


@value
class Entry:
    """An event of the room's state with its local number."""

    event: Event
    event_nid: int


@value
class Extremity:
    """A forward extremity. `reference_hash` only where events name others with their hash."""

    event_nid: int
    event_id: EventID
    reference_hash: bytes | None = None


@value
class RoomHead:
    """Where the room stands.

    version: grows with every event. state_version: grows when the current state changes.
    state: the entries that are known so far; None where the room is known to have none.
    """

    version: int
    state_version: int
    depth: int
    extremities: tuple[Extremity, ...]
    state: Mapping[StateKey, Entry | None]

    def missing(self, keys: Iterable[StateKey]) -> list[StateKey]:
        """Which of the entries are not known yet."""
        state = self.state
        return [key for key in keys if key not in state]

    def event(self, key: StateKey) -> Event | None:
        """A known entry of the current state."""
        entry = self.state[key]
        return None if entry is None else entry.event

    def events(self, keys: Iterable[StateKey]) -> dict[StateKey, Event]:
        """Known entries that exist."""
        state = self.state
        return {key: entry.event for key in keys if (entry := state[key]) is not None}

    def prev_events(self) -> Sequence[Extremity]:
        return self.extremities[-MAX_PREV_EVENTS:]

    def knowing(self, entries: Mapping[StateKey, Entry | None]) -> "RoomHead":
        """With further entries; what is known already stays, for it may be newer."""
        return replace(self, state={**entries, **self.state})

    def redacting(self, redacted: Event) -> "RoomHead":
        """With the redacted form of a state event in its place, if it is still in the state."""
        entry = self.state.get(redacted.key)
        if entry is None or entry.event.event_id != redacted.event_id:
            return self
        return replace(self, state={**self.state, redacted.key: Entry(redacted, entry.event_nid)})

    def after(self, event: Event, event_nid: int) -> "RoomHead":
        """The head when an accepted event has been appended to all of `prev_events`."""
        left = self.extremities[:-MAX_PREV_EVENTS]
        extremities = (*left, extremity_of(event, event_nid))
        depth = max(self.depth, event.depth)
        if not event.is_state:
            return RoomHead(self.version + 1, self.state_version, depth, extremities, self.state)
        state = {**self.state, event.key: Entry(event, event_nid)}
        return RoomHead(self.version + 1, self.state_version + 1, depth, extremities, state)


def extremity_of(event: Event, event_nid: int) -> Extremity:
    """An event as the end of the graph."""
    if not event.version.events_carry_id:
        return Extremity(event_nid, event.event_id)
    return Extremity(event_nid, event.event_id, reference_hash(pdu_of(event), event.version))
