"""What only this server knows: facts beside an event, and the room it stands in."""

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import RoomID
from homeserver.values import value


class Status(IntEnum):
    """How an event stands in its room. Only ACCEPTED events move the head and reach people."""

    ACCEPTED = 0
    SOFT_FAILED = 1
    REJECTED = 2
    OUTLIER = 3
    """Known by its ID, for auth chains, without a place in the graph; passed its auth events."""
    REJECTED_OUTLIER = 4


REJECTED_STATUSES = frozenset({Status.REJECTED, Status.REJECTED_OUTLIER})


@value
class LocalFacts:
    """What stands beside an event. `position` and `state_version` are None for outliers.

    state_version: version of the room's current state before the event, or, with `fork_nid`, the
    base of the fork. txn_id: as the sending session chose it, with its scope in front.
    """

    event_nid: int
    room_nid: int
    sender_nid: int
    uuid: UUID
    position: int | None
    state_version: int | None
    status: Status
    is_message: bool
    fork_nid: int | None = None
    rule: str | None = None
    redacted_by: int | None = None
    session_nid: int | None = None
    txn_id: str | None = None


@value
class StoredEvent:
    """An event and the facts beside it."""

    event: Event
    facts: LocalFacts


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room as the directory of rooms knows it. `kind`: "direct", "group" or "channel"."""

    room_nid: int
    room_id: RoomID
    uuid: UUID
    version: RoomVersion
    kind: str
    published: bool
    created_at: int
    deleted_at: int | None = None
