"""Making rooms.

Source: C-S API v1.19 `createRoom`: order of the events, presets, power levels.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from homeserver.actions.aliases import Aliases
from homeserver.actions.lookups import Lookups, member_content
from homeserver.actions.membership import ADMIN_LEVEL, CHUNK, Membership
from homeserver.actions.standing import require_active
from homeserver.errors import InvalidInput, UnsupportedRoomVersion
from homeserver.events.build import Draft
from homeserver.events.content import MEGOLM
from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomAlias, RoomID, UserID
from homeserver.requester import Requester
from homeserver.rooms.batch import AlsoWrite
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import memberships
from homeserver.storage.database import Database
from homeserver.streams.people import Person

KIND_FIELD = "chat.foyer.kind"
"""In the content of a create event: the native type of the room."""

KINDS = ("direct", "group", "channel")
MAX_NAME_CHARS = 255
MAX_TOPIC_CHARS = 2_000
VISIBILITIES = ("shared", "invited", "joined", "world_readable")

_State = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """What somebody wants. members: native UUIDs, the creator not needed among them."""

    kind: str
    name: str | None = None
    topic: str | None = None
    members: Sequence[UUID] = ()
    public: bool = False
    version: str | None = None
    alias: str | None = None
    history_visibility: str | None = None
    encrypted: bool = False


class CreateRoom:
    """Direct conversations, groups and channels."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        membership: Membership,
        aliases: Aliases,
        default_version: str,
        max_members: int,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._membership = membership
        self._aliases = aliases
        self._default_version = default_version
        self._max_members = max_members
        self._pairs: WeakValueDictionary[frozenset[UUID], asyncio.Lock] = WeakValueDictionary()

    async def create(self, by: Requester, wanted: NewRoom) -> tuple[RoomRecord, bool]:
        """Makes a room, with its members in it.

        A direct room that both people are in already is returned instead, with False.
        Raises InvalidInput, NotFound for an unknown user, Conflict for a taken alias.
        """
        require_active(by)
        version = self._version(wanted)
        _check(wanted)
        if len(wanted.members) > self._max_members:
            raise InvalidInput(
                f"A room begins with at most {self._max_members} members.", field="members"
            )
        creator, *others = await self._lookups.people([by.user_uuid, *wanted.members])
        if wanted.kind == "direct":
            return await self._direct(by, wanted, version, creator, others)
        return await self._make(by, wanted, version, creator, others), True

    async def _direct(
        self,
        by: Requester,
        wanted: NewRoom,
        version: RoomVersion,
        creator: Person,
        others: Sequence[Person],
    ) -> tuple[RoomRecord, bool]:
        if len(others) != 1:
            raise InvalidInput(
                "A direct conversation has exactly one other member.", field="members"
            )
        pair = frozenset({creator.uuid, others[0].uuid})
        # One room for two people, also when both begin the conversation at once.
        lock = self._pairs.setdefault(pair, asyncio.Lock())
        async with lock:
            async with self._database.connection() as db:
                existing = await memberships.direct_room(db, creator.user_nid, others[0].user_nid)
            if existing is not None:
                return existing, False
            return await self._make(by, wanted, version, creator, others), True

    async def _make(
        self,
        by: Requester,
        wanted: NewRoom,
        version: RoomVersion,
        creator: Person,
        others: Sequence[Person],
    ) -> RoomRecord:
        await self._membership.check_welcome(others)
        alias = None if wanted.alias is None else self._aliases.local(wanted.alias)
        if alias is not None:
            self._aliases.check_free_for(by, alias)
        peer = others[0] if wanted.kind == "direct" else None

        first, later = others[:CHUNK], others[CHUNK:]

        def compose(room_id: RoomID) -> Sequence[Draft]:
            return [
                *_first_drafts(room_id, creator, wanted, version, alias, peer),
                *self._membership.first_members(room_id, wanted.kind, creator, first),
            ]

        def also(room: RoomRecord) -> AlsoWrite:
            return self._aliases.claim(alias, room, by)

        room = await self._writer.create_room(
            kind=wanted.kind,
            version=version,
            published=wanted.public,
            create=_create_draft(creator, wanted, version, peer),
            compose=compose,
            also=None if alias is None else also,
        )
        await self._membership.add_people(by, room, creator, later)
        return room

    def _version(self, wanted: NewRoom) -> RoomVersion:
        name = wanted.version or self._default_version
        version = ROOM_VERSIONS.get(name)
        if version is None:
            raise UnsupportedRoomVersion(
                f"There is no room version {name!r}; there are 1 to 12.", field="version"
            )
        return version


def _check(wanted: NewRoom) -> None:
    if wanted.kind not in KINDS:
        raise InvalidInput(f"A room's type is one of {', '.join(KINDS)}.", field="type")
    if wanted.public and wanted.kind != "channel":
        raise InvalidInput("Only channels can be public.", field="public")
    if wanted.kind == "channel" and not (wanted.name or "").strip():
        raise InvalidInput("A channel needs a name.", field="name")
    check_text(wanted.name, "name", MAX_NAME_CHARS)
    check_text(wanted.topic, "topic", MAX_TOPIC_CHARS)
    check_visibility(wanted.history_visibility)


def check_text(text: str | None, field: str, max_chars: int) -> None:
    """Names and topics. Raises InvalidInput."""
    if text is not None and (len(text) > max_chars or "\0" in text):
        raise InvalidInput(f"{field} has at most {max_chars} characters.", field=field)


def check_visibility(visibility: str | None) -> None:
    if visibility is not None and visibility not in VISIBILITIES:
        raise InvalidInput(
            f"History visibility is one of {', '.join(VISIBILITIES)}.", field="history_visibility"
        )


def _create_draft(
    creator: Person, wanted: NewRoom, version: RoomVersion, peer: Person | None
) -> Draft:
    content: dict[str, Any] = {"room_version": version.name, KIND_FIELD: wanted.kind}
    if not version.implicit_creator:
        content["creator"] = creator.user_id
    if version.privileged_creators and peer is not None:
        # Both people of a conversation have the same say in it.
        content["additional_creators"] = [peer.user_id]
    return Draft(
        room_id=None, sender=creator.user_id, type="m.room.create", state_key="", content=content
    )


def _first_drafts(
    room_id: RoomID,
    creator: Person,
    wanted: NewRoom,
    version: RoomVersion,
    alias: RoomAlias | None,
    peer: Person | None,
) -> list[Draft]:
    """`createRoom`: creator's join, power levels, alias, preset, name, topic."""
    admins = [one.user_id for one in (creator, peer) if one is not None]
    states: list[_State] = [("m.room.power_levels", default_levels(version, admins))]
    if alias is not None:
        states.append(("m.room.canonical_alias", {"alias": alias}))
    states += [
        ("m.room.join_rules", {"join_rule": "public" if wanted.public else "invite"}),
        (
            "m.room.history_visibility",
            {"history_visibility": wanted.history_visibility or "shared"},
        ),
        ("m.room.guest_access", {"guest_access": "forbidden"}),
    ]
    if wanted.encrypted:
        states.append(("m.room.encryption", {"algorithm": MEGOLM}))
    if wanted.name:
        states.append(("m.room.name", {"name": wanted.name.strip()}))
    if wanted.topic:
        states.append(("m.room.topic", {"topic": wanted.topic.strip()}))
    me = creator.user_id
    join = state_draft(room_id, me, "m.room.member", member_content(creator, "join"), me)
    return [join, *(state_draft(room_id, me, kind, content) for kind, content in states)]


def default_levels(version: RoomVersion, admins: Iterable[UserID]) -> dict[str, Any]:
    """`createRoom` "power_level_content_override": the defaults, and who is admin."""
    return {
        "users": {} if version.privileged_creators else dict.fromkeys(admins, ADMIN_LEVEL),
        "users_default": 0,
        "events": {
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.server_acl": 100,
            "m.room.encryption": 100,
            # C-S API v1.19 "Room upgrades": from room version 12 on, above every level.
            "m.room.tombstone": 150 if version.privileged_creators else 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": 0,
    }


def state_draft(
    room_id: RoomID,
    sender: UserID,
    event_type: str,
    content: Mapping[str, Any],
    state_key: str = "",
) -> Draft:
    """A state event to be."""
    return Draft(
        room_id=room_id, sender=sender, type=event_type, state_key=state_key, content=content
    )
