"""The event: one class for all room versions."""

from collections.abc import Mapping
from typing import Any

from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.values import value


@value(eq=False)
class Event:
    """A persistent data unit, as signed.

    Built in two places only: `format.parse` (untrusted) and `build.complete` (ours). What only
    this server knows about it (position, rejection, state before it) is in `LocalFacts`.
    """

    event_id: EventID
    room_id: RoomID
    sender: UserID
    type: str
    state_key: str | None
    content: Mapping[str, Any]
    prev_events: tuple[EventID, ...]
    auth_events: tuple[EventID, ...]
    depth: int
    origin_server_ts: int
    redacts: EventID | None
    """What it redacts, wherever the room version puts that (top level, or content from v11)."""
    version: RoomVersion
    raw: bytes
    """Canonical JSON with hashes and signatures, without `unsigned`."""

    @property
    def is_state(self) -> bool:
        return self.state_key is not None

    @property
    def key(self) -> StateKey:
        """Its entry in the room's state; only for state events."""
        assert self.state_key is not None
        return self.type, self.state_key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and other.event_id == self.event_id

    def __hash__(self) -> int:
        return hash(self.event_id)
