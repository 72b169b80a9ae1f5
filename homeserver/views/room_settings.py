"""What the state of a room says about it: name, topic, picture, who may join and read, roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.content import (
    PowerLevels,
    RoomEncryption,
    encryption_of,
    history_visibility_of,
    join_rule_of,
)
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import RoomID, UserID
from homeserver.streams.people import Person

CREATE = "m.room.create"
POWER_LEVELS = "m.room.power_levels"
JOIN_RULES = "m.room.join_rules"
VISIBILITY = "m.room.history_visibility"
ENCRYPTION = "m.room.encryption"

LOOK_TYPES = ("m.room.name", "m.room.topic", "m.room.avatar", ENCRYPTION)
SETTING_TYPES = (*LOOK_TYPES, CREATE, POWER_LEVELS, JOIN_RULES, VISIBILITY)

ADMIN_LEVEL = 100

State = Mapping[tuple[int, str], StoredEvent]
"""Current entries by room and type, as `state_history.current` reads them."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a room presents itself; None for what it does not have."""

    name: str | None
    topic: str | None
    avatar_url: str | None
    encryption: RoomEncryption | None


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """A room. `name`: its own, or for a reader of a direct room without one the other person's.

    members: the first 250. public: everybody on this server may find and join it. role: the
    reader's, "admin" or "member"; None for nobody in particular.
    """

    uuid: UUID
    room_id: RoomID
    kind: str
    name: str | None
    topic: str | None
    avatar_url: str | None
    created_at_ms: int
    public: bool
    history_visibility: str
    members: tuple[Person, ...]
    member_count: int
    role: str | None
    encryption: RoomEncryption | None = None


def look_of(room_nid: int, state: State) -> Look:
    return Look(
        name=_text(state.get((room_nid, "m.room.name")), "name"),
        topic=_text(state.get((room_nid, "m.room.topic")), "topic"),
        avatar_url=_text(state.get((room_nid, "m.room.avatar")), "url"),
        encryption=encryption_of(_event(room_nid, ENCRYPTION, state)),
    )


def is_open(room: RoomRecord, state: State) -> bool:
    """Whether everybody on this server may find and join it."""
    return room.published and join_rule_of(_event(room.room_nid, JOIN_RULES, state)) == "public"


def levels_of(room_nid: int, state: State) -> PowerLevels:
    create = _event(room_nid, CREATE, state)
    assert create is not None
    return PowerLevels.of(_event(room_nid, POWER_LEVELS, state), create)


def role_of(levels: PowerLevels, user_id: UserID) -> str:
    """Native roles are power levels (design section 9)."""
    return "admin" if levels.user(user_id) >= ADMIN_LEVEL else "member"


def details(
    room: RoomRecord,
    state: State,
    *,
    members: Sequence[Person],
    member_count: int,
    reader: UserID | None = None,
    peer: Person | None = None,
) -> RoomDetails:
    """state: at least SETTING_TYPES. peer: whose name a direct room has that has none itself."""
    look = look_of(room.room_nid, state)
    named_after = peer if room.kind == "direct" and look.name is None else None
    levels = None if reader is None else levels_of(room.room_nid, state)
    return RoomDetails(
        uuid=room.uuid,
        room_id=room.room_id,
        kind=room.kind,
        name=look.name if named_after is None else named_after.name,
        topic=look.topic,
        avatar_url=look.avatar_url,
        created_at_ms=room.created_at,
        public=is_open(room, state),
        history_visibility=history_visibility_of(_event(room.room_nid, VISIBILITY, state)),
        members=tuple(members),
        member_count=member_count,
        role=None if levels is None or reader is None else role_of(levels, reader),
        encryption=look.encryption,
    )


def _event(room_nid: int, event_type: str, state: State) -> Event | None:
    stored = state.get((room_nid, event_type))
    return None if stored is None else stored.event


def _text(stored: StoredEvent | None, key: str) -> str | None:
    """A text that is there and not blank. Content comes from anybody."""
    value = None if stored is None else stored.event.content.get(key)
    return value if isinstance(value, str) and value.strip() else None
