"""What a sync is built of: what changed for one reader since a position of every stream.

`loading.Inputs` reads it in one snapshot by a fixed number of queries; `build.answer` makes `/sync`
of it. Other forms of sync can be built over the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from e2e.device_lists import NO_CHANGES, DeviceListChanges
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.storage.account_data import AccountDataRow
from homeserver.storage.receipts import ReadRow
from homeserver.storage.sync_reads import Movement, OwnRoom, TimelineRow
from homeserver.streams.presence import PresenceState
from homeserver.sync.bodies import Body
from homeserver.sync.summaries import RoomSize
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import Visit


@dataclass(slots=True)
class RoomInput:
    """A visit with its events by number. size: to be told; None: it has not changed."""

    visit: Visit
    kept: Sequence[TimelineRow] = ()
    limited: bool = False
    state: list[int] = field(default_factory=list)
    size: RoomSize | None = None

    @property
    def version(self) -> int:
        """Of the room's state at the first event of the timeline."""
        return self.kept[0].state_version if self.kept else self.visit.end


@dataclass(slots=True)
class SyncInputs:
    """All that there is to tell. token: where the reader stands then. rooms: by number.

    own: all that he has to do with, whatever his filter leaves out; moved: how far they came.
    relations: what `m.relations` says, by event. typing: users by room; presence: by user.
    to_device: events as JSON, for the device that asks.
    """

    token: SyncToken
    rooms: dict[int, RoomInput] = field(default_factory=dict)
    own: dict[int, OwnRoom] = field(default_factory=dict)
    moved: dict[int, Movement] = field(default_factory=dict)
    joined: dict[int, OwnRoom] = field(default_factory=dict)
    bodies: dict[int, Body] = field(default_factory=dict)
    relations: dict[int, bytes] = field(default_factory=dict)
    strangers: list[tuple[OwnRoom, Sequence[StoredEvent]]] = field(default_factory=list)
    account_data: Sequence[AccountDataRow] = ()
    receipts: dict[int, list[ReadRow]] = field(default_factory=dict)
    typing: dict[int, list[UserID]] = field(default_factory=dict)
    presence: list[tuple[UserID, PresenceState]] = field(default_factory=list)
    to_device: Sequence[bytes] = ()
    device_lists: DeviceListChanges = NO_CHANGES
