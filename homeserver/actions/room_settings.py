"""What a room is called, who finds it, and its end: settings, deletion, upgrade.

Source: C-S API v1.19 "Room events", "Room upgrades".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from homeserver.actions.create_room import (
    KIND_FIELD,
    MAX_NAME_CHARS,
    MAX_TOPIC_CHARS,
    check_text,
    check_visibility,
    state_draft,
)
from homeserver.actions.lookups import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_content,
    member_key,
    require_member,
)
from homeserver.actions.membership import ADMIN_LEVEL, CHUNK, Membership
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed
from homeserver.events.build import Draft
from homeserver.events.content import history_visibility_of, join_rule_of
from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, ServerName, StateKey, UserID
from homeserver.requester import Requester
from homeserver.rooms.batch import AlsoWrite
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import aliases, memberships, rooms
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.streams.people import Person
from homeserver.streams.room_records import CHANGED_TOPIC

DELETED_TYPE = "chat.foyer.deleted"
"""State event that ends a room on this server; members leave after it."""

MAX_URL_CHARS = 500
PAGE = 1_000

_NAME: StateKey = ("m.room.name", "")
_TOPIC: StateKey = ("m.room.topic", "")
_AVATAR: StateKey = ("m.room.avatar", "")
_VISIBILITY: StateKey = ("m.room.history_visibility", "")
# C-S API v1.19 "Room upgrades": what a server takes along.
_CARRIED: tuple[StateKey, ...] = (
    POWER_LEVELS,
    JOIN_RULES,
    _VISIBILITY,
    _NAME,
    _TOPIC,
    _AVATAR,
    ("m.room.guest_access", ""),
    ("m.room.server_acl", ""),
    ("m.room.encryption", ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """New settings; None leaves one as it is, "" removes a name, topic or picture.

    members: everybody who shall be in the room; the caller always stays.
    """

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None
    members: Sequence[UUID] | None = None
    public: bool | None = None
    history_visibility: str | None = None


class RoomSettings:
    """Changes to rooms as a whole."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        membership: Membership,
        server_name: ServerName,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._membership = membership
        self._server_name = server_name
        self._bus = bus
        self._clock = clock

    async def update(self, by: Requester, room_uuid: UUID, changes: Changes) -> RoomRecord:
        """Changes what is given. Raises NotFound, NotAllowed, InvalidInput."""
        room = await self._lookups.room(room_uuid)
        _check(room, changes)
        leaving, joining = await self._member_changes(by, room, changes.members)

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            return [
                state_draft(room.room_id, by.user_id, key[0], content)
                for key, content in _wanted(changes)
                if _differs(head, key, content)
            ]

        keys = [key for key, _ in _wanted(changes)]
        needs = (member_key(by.user_id), *keys)
        also = None
        if changes.public is not None:
            also = _publish(room, published=changes.public)
        await self._writer.append(room, Append(compose=compose, needs=needs, also=also))
        if also is not None:
            self._changed(room)
        if joining:
            await self._membership.add(by, room_uuid, joining)
        for user in leaving:
            await self._membership.remove(by, room_uuid, user)
        return room

    async def delete(self, by: Requester, room_uuid: UUID) -> None:
        """Ends a room for everybody on this server. For the room's admins."""
        room = await self._lookups.room(room_uuid)

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if levels_of(head).user(by.user_id) < ADMIN_LEVEL:
                raise NotAllowed("Only an admin of a room can delete it.")
            return (state_draft(room.room_id, by.user_id, DELETED_TYPE, {}),)

        async def mark(db: Connection) -> None:
            await rooms.mark_deleted(db, room.room_nid, self._clock.now_ms())
            await aliases.delete_of_room(db, room.room_nid)

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
        await self._writer.append(room, Append(compose=compose, needs=needs, also=mark))
        self._changed(room)
        await self.empty(room)

    async def empty(self, room: RoomRecord) -> None:
        """Lets all users of this server leave a deleted room; continues where it was cut off."""
        while True:
            local = await self._local_members(room, limit=CHUNK)
            if not local:
                return

            def compose(head: RoomHead, local: Sequence[UserID] = tuple(local)) -> Sequence[Draft]:
                return [
                    state_draft(room.room_id, user_id, "m.room.member", _DELETED_LEAVE, user_id)
                    for user_id in local
                    if head.event(member_key(user_id)) is not None
                ]

            needs = [member_key(user_id) for user_id in local]
            await self._writer.append(room, Append(compose=compose, needs=needs))

    async def upgrade(self, by: Requester, room_uuid: UUID, version_name: str) -> RoomRecord:
        """Replaces a room by one of another version, with its settings, names and members."""
        room = await self._lookups.room(room_uuid)
        version = ROOM_VERSIONS.get(version_name)
        if version is None:
            raise InvalidInput(f"There is no room version {version_name!r}.", field="version")
        creator = await self._lookups.person(by.user_uuid)
        carried = await self._carried(by, room)

        def compose(room_id: RoomID) -> Sequence[Draft]:
            join = member_content(creator, "join")
            return [
                state_draft(room_id, by.user_id, "m.room.member", join, by.user_id),
                *_carried_drafts(room_id, by.user_id, carried, version),
            ]

        create: dict[str, Any] = {
            "room_version": version.name,
            KIND_FIELD: room.kind,
            "predecessor": {"room_id": room.room_id},
        }
        if not version.implicit_creator:
            create["creator"] = by.user_id
        successor = await self._writer.create_room(
            kind=room.kind,
            version=version,
            published=room.published,
            create=Draft(
                room_id=None,
                sender=by.user_id,
                type="m.room.create",
                state_key="",
                content=create,
            ),
            compose=compose,
        )
        await self._close(by, room, successor)
        await self._bring_members(by, room, successor, creator)
        return successor

    async def _carried(
        self, by: Requester, room: RoomRecord
    ) -> list[tuple[StateKey, dict[str, Any]]]:
        """The state that goes along. Raises NotAllowed for who may not end the room."""
        carried: list[tuple[StateKey, dict[str, Any]]] = []

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            levels = levels_of(head)
            if levels.user(by.user_id) < levels.required_for("m.room.tombstone", is_state=True):
                raise NotAllowed("Your role in this room does not let you upgrade it.")
            carried[:] = [
                (key, dict(event.content))
                for key in _CARRIED
                if (event := head.event(key)) is not None
            ]
            return ()

        needs = (member_key(by.user_id), CREATE, *_CARRIED)
        await self._writer.append(room, Append(compose=compose, needs=needs))
        return carried

    async def _close(self, by: Requester, room: RoomRecord, successor: RoomRecord) -> None:
        """C-S API v1.19 "Room upgrades" server behaviour 4 and 5: tombstone, names move along."""
        content = {"body": "This room has been replaced", "replacement_room": successor.room_id}

        def compose(_head: RoomHead) -> Sequence[Draft]:
            return (state_draft(room.room_id, by.user_id, "m.room.tombstone", content),)

        async def move(db: Connection) -> None:
            await aliases.move(db, room.room_nid, successor.room_nid)
            await rooms.set_published(db, room.room_nid, published=False)

        await self._writer.append(room, Append(compose=compose, also=move))
        self._changed(room)

    async def _bring_members(
        self, by: Requester, room: RoomRecord, successor: RoomRecord, creator: Person
    ) -> None:
        after = 0
        while True:
            async with self._database.connection() as db:
                members = await memberships.of_room(
                    db, room.room_nid, ("join",), after=after, limit=PAGE
                )
            if not members:
                return
            after = members[-1].user_nid
            people = await self._lookups.active(
                [member.user_nid for member in members if member.user_nid != by.user_nid]
            )
            await self._membership.add_people(by, successor, creator, people)

    async def _local_members(self, room: RoomRecord, *, limit: int) -> list[UserID]:
        async with self._database.connection() as db:
            return await memberships.local_of_room(
                db, room.room_nid, ("join", "invite", "knock"), self._server_name, limit=limit
            )

    async def _member_changes(
        self, by: Requester, room: RoomRecord, wanted: Sequence[UUID] | None
    ) -> tuple[list[UUID], list[UUID]]:
        """Who has to leave and who has to come, so that exactly the wanted ones are members."""
        if wanted is None:
            return [], []
        await self._lookups.people(wanted)
        async with self._database.connection() as db:
            current = await memberships.uuids_of_room(db, room.room_nid, ("join", "invite"))
        kept = {*wanted, by.user_uuid}
        return (
            [uuid for uuid in current if uuid not in kept],
            [uuid for uuid in dict.fromkeys(wanted) if uuid not in current],
        )

    def _changed(self, room: RoomRecord) -> None:
        self._bus.announce(CHANGED_TOPIC, str(room.uuid))


_DELETED_LEAVE = {"membership": "leave", "reason": "The room was deleted."}


def _check(room: RoomRecord, changes: Changes) -> None:
    check_text(changes.name, "name", MAX_NAME_CHARS)
    check_text(changes.topic, "topic", MAX_TOPIC_CHARS)
    check_text(changes.avatar_url, "avatar_url", MAX_URL_CHARS)
    check_visibility(changes.history_visibility)
    if changes.avatar_url and not changes.avatar_url.startswith(("https://", "http://", "mxc://")):
        raise InvalidInput("avatar_url is an https, http or mxc address.", field="avatar_url")
    if room.kind == "channel" and changes.name is not None and not changes.name.strip():
        raise InvalidInput("A channel needs a name.", field="name")
    if changes.public and room.kind != "channel":
        raise InvalidInput("Only channels can be public.", field="public")
    if room.kind == "direct" and changes.members is not None:
        raise InvalidInput("The members of a direct conversation do not change.", field="members")


def _wanted(changes: Changes) -> Iterator[tuple[StateKey, dict[str, Any]]]:
    """The state events that the changes amount to."""
    if changes.name is not None:
        yield _NAME, {"name": changes.name.strip()}
    if changes.topic is not None:
        yield _TOPIC, {"topic": changes.topic.strip()}
    if changes.avatar_url is not None:
        yield _AVATAR, {"url": changes.avatar_url} if changes.avatar_url else {}
    if changes.public is not None:
        yield JOIN_RULES, {"join_rule": "public" if changes.public else "invite"}
    if changes.history_visibility is not None:
        yield _VISIBILITY, {"history_visibility": changes.history_visibility}


def _differs(head: RoomHead, key: StateKey, content: dict[str, Any]) -> bool:
    event = head.event(key)
    if key == JOIN_RULES:
        return bool(join_rule_of(event) != content["join_rule"])
    if key == _VISIBILITY:
        return bool(history_visibility_of(event) != content["history_visibility"])
    return (event.content if event is not None else {}) != content


def _publish(room: RoomRecord, *, published: bool) -> AlsoWrite:
    async def write(db: Connection) -> None:
        await rooms.set_published(db, room.room_nid, published=published)

    return write


def _carried_drafts(
    room_id: RoomID,
    sender: UserID,
    carried: Sequence[tuple[StateKey, dict[str, Any]]],
    version: RoomVersion,
) -> Iterator[Draft]:
    for key, content in carried:
        if key == POWER_LEVELS and version.privileged_creators:
            # Room v12 auth rule 10.4: creators are not listed among the users.
            users = dict(content.get("users", {}))
            users.pop(sender, None)
            content["users"] = users
        yield state_draft(room_id, sender, key[0], content)
