"""What an answer of sliding sync is built of. `reading` reads it; `build` makes the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.storage.account_data import AccountDataRow
from homeserver.storage.receipts import ReadRow
from homeserver.storage.sync_reads import OwnRoom, TimelineRow
from homeserver.sync.bodies import Body
from homeserver.sync.sliding.encryption import EncryptionNews
from homeserver.sync.sliding.faces import Face
from homeserver.sync.sliding.lists import ListWindow, RoomFacts
from homeserver.sync.sliding.room_config import RoomConfig
from homeserver.sync.summaries import RoomSize
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import Visit


@dataclass(slots=True)
class RoomWish:
    """A room that the request asks for. told_upto: position of the events that the connection knows
    of it; None: it knows nothing. lists: those that show it.

    expands_timeline, expands_state: whether more is asked for than was told before.
    """

    own: OwnRoom
    facts: RoomFacts
    config: RoomConfig
    lists: Sequence[str]
    told_upto: int | None
    expands_timeline: bool = False
    expands_state: bool = False


@dataclass(slots=True)
class RoomNews:
    """A room with something to tell, that the reader is or was in. state: numbers of events."""

    wish: RoomWish
    visit: Visit
    kept: Sequence[TimelineRow] = ()
    limited: bool = False
    state: list[int] = field(default_factory=list)
    size: RoomSize | None = None


@dataclass(slots=True)
class SlidingInputs:
    """wishes: all rooms that the request asks for, by number; news: those with something to tell.

    strangers: invitations and knocks that are to be told. counts_only: rooms of which only the
    counts of notifications have changed. relations: what `m.relations` says, by event.
    tells_dms: whether which rooms are direct has changed.
    """

    token: SyncToken
    windows: Sequence[ListWindow] = ()
    wishes: dict[int, RoomWish] = field(default_factory=dict)
    news: dict[int, RoomNews] = field(default_factory=dict)
    strangers: Sequence[tuple[OwnRoom, Sequence[StoredEvent]]] = ()
    counts_only: set[int] = field(default_factory=set)
    faces: Mapping[int, Face] = field(default_factory=dict)
    bodies: dict[int, Body] = field(default_factory=dict)
    heroes: Mapping[tuple[int, str], Body] = field(default_factory=dict)
    relations: dict[int, bytes] = field(default_factory=dict)
    bumps: Mapping[int, int] = field(default_factory=dict)
    tells_dms: bool = False
    account_data: Sequence[AccountDataRow] = ()
    receipts: dict[int, list[ReadRow]] = field(default_factory=dict)
    typing: dict[int, list[UserID]] = field(default_factory=dict)
    encryption: EncryptionNews = field(default_factory=EncryptionNews)
