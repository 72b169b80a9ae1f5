"""What a room is called, who finds it, and its end: settings, deletion, upgrade.

Source: C-S API v1.19 "Room events", "Room upgrades".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from homeserver.actions.create_room import (
    MAX_NAME_CHARS,
    MAX_TOPIC_CHARS,
    check_text,
    check_visibility,
    state_draft,
)
from homeserver.actions.lookups import (
    CREATE,
    ENCRYPTION,
    JOIN_RULES,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_content,
    member_key,
    membership_in,
    require_member,
)
from homeserver.actions.membership import ADMIN_LEVEL, CHUNK, IN_THE_ROOM, Membership
from homeserver.actions.standing import require_active
from homeserver.actions.succession import Succession
from homeserver.actions.upgrading import NEEDED, Inheritance, closing
from homeserver.auth.verdict import Rule
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed, UnsupportedRoomVersion
from homeserver.events.build import Draft
from homeserver.events.content import MEGOLM, history_visibility_of, join_rule_of
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, ServerName, StateKey, UserID
from homeserver.requester import Requester
from homeserver.rooms.batch import AlsoWrite
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.refusal import RuleBroken
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import aliases, memberships, rooms
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.streams.people import People, Person
from homeserver.streams.room_records import CHANGED_TOPIC

DELETED_TYPE = "chat.foyer.deleted"
"""State event that ends a room on this server; members leave after it."""

MAX_URL_CHARS = 500
PAGE = 1_000

_NAME: StateKey = ("m.room.name", "")
_TOPIC: StateKey = ("m.room.topic", "")
_AVATAR: StateKey = ("m.room.avatar", "")
_VISIBILITY: StateKey = ("m.room.history_visibility", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """New settings; None leaves one as it is, "" removes a name, topic or picture.

    members: everybody who shall be in the room; the caller always stays. encrypted: only True
    changes anything.
    """

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None
    members: Sequence[UUID] | None = None
    public: bool | None = None
    history_visibility: str | None = None
    encrypted: bool | None = None


@dataclass(frozen=True, slots=True)
class _MemberChanges:
    """actor: who asks for them."""

    actor: Person
    joining: Sequence[Person] = ()
    leaving: Sequence[Person] = ()

    def first(self, count: int) -> list[Person]:
        return [self.actor, *self.joining[:count], *self.leaving[:count]]


class RoomSettings:
    """Changes to rooms as a whole."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        people: People,
        membership: Membership,
        succession: Succession,
        server_name: ServerName,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._people = people
        self._membership = membership
        self._succession = succession
        self._server_name = server_name
        self._bus = bus
        self._clock = clock

    async def update(self, by: Requester, room_uuid: UUID, changes: Changes) -> RoomRecord:
        """Changes what is given. Raises NotFound, NotAllowed, InvalidInput."""
        require_active(by)
        room = await self._lookups.room(room_uuid)
        _check(room, changes)
        who = await self._member_changes(by, room, changes.members)

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if changes.public not in (None, room.published):
                _require_level(head, by, JOIN_RULES)
            if changes.encrypted is False and head.event(ENCRYPTION) is not None:
                raise InvalidInput("A room stays encrypted.", field="encrypted")
            settings = [
                state_draft(room.room_id, by.user_id, key[0], content)
                for key, content in _wanted(changes)
                if _differs(head, key, content)
            ]
            return [
                *settings,
                *self._membership.adding(room, head, who.actor, who.joining[:CHUNK]),
                *self._membership.removing(room, head, who.actor, who.leaving[:CHUNK]),
            ]

        keys = [key for key, _ in _wanted(changes)]
        if changes.encrypted is False:
            keys.append(ENCRYPTION)
        needs = [CREATE, POWER_LEVELS, *keys, *map(_member_of, who.first(CHUNK))]
        await self._change(room, Append(compose=compose, needs=needs), public=changes.public)
        await self._membership.add_people(by, room, who.actor, who.joining[CHUNK:])
        await self._membership.remove_people(by, room, who.actor, who.leaving[CHUNK:])
        return room

    async def _change(self, room: RoomRecord, request: Append, *, public: bool | None) -> None:
        """Also where the room's state is as wanted and only its record differs."""
        if public is None:
            await self._writer.append(room, request)
            return
        publish = _publish(room, published=public)
        if not await self._writer.append(room, replace(request, also=publish)):
            await self._database.retrying(publish)
        self._changed(room)

    async def delete(self, by: Requester, room_uuid: UUID) -> None:
        """Ends a room for everybody on this server. For the room's admins."""
        require_active(by)
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
                    if membership_in(head, user_id) in IN_THE_ROOM
                ]

            needs = [member_key(user_id) for user_id in local]
            await self._writer.append(room, Append(compose=compose, needs=needs))

    async def upgrade(
        self,
        by: Requester,
        room_uuid: UUID,
        version_name: str,
        *,
        creators: frozenset[UserID] | None = None,
        with_members: bool = True,
    ) -> RoomRecord:
        """Replaces a room by one of another version, with its settings and names.

        creators: who shall be creators besides the caller, where the version has several; None:
        those who were. with_members: everybody is in the new room at once, as in a team chat; else
        each follows by himself. Raises NotFound, NotAllowed, UnsupportedRoomVersion.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        version = ROOM_VERSIONS.get(version_name)
        if version is None:
            raise UnsupportedRoomVersion(
                f"There is no room version {version_name!r}.", field="version"
            )
        creator = await self._lookups.person(by.user_uuid)
        inheritance = await self._inheritance(by, room, creators)

        def compose(room_id: RoomID) -> Sequence[Draft]:
            join = member_content(creator, "join")
            return [
                state_draft(room_id, by.user_id, "m.room.member", join, by.user_id),
                *inheritance.drafts(room_id, version),
            ]

        successor = await self._writer.create_room(
            kind=room.kind,
            version=version,
            published=room.published,
            create=inheritance.create(version),
            compose=compose,
        )
        await self._close(by, room, successor)
        await self._succession.follow([creator], room, successor)
        if with_members:
            await self._bring_members(by, room, successor, creator)
        return successor

    async def _inheritance(
        self, by: Requester, room: RoomRecord, creators: frozenset[UserID] | None
    ) -> Inheritance:
        """What goes along. Raises NotAllowed for who may not end the room."""
        found: list[Inheritance] = []

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            levels = levels_of(head)
            if levels.user(by.user_id) < levels.required_for("m.room.tombstone", is_state=True):
                raise NotAllowed("Your role in this room does not let you upgrade it.")
            found.append(Inheritance.of(room, head, by.user_id, creators))
            return ()

        needs = (member_key(by.user_id), *NEEDED)
        await self._writer.append(room, Append(compose=compose, needs=needs))
        return found[-1]

    async def _close(self, by: Requester, room: RoomRecord, successor: RoomRecord) -> None:
        """Tombstone and names, in one transaction (behaviours 4 to 6)."""

        def compose(head: RoomHead) -> Sequence[Draft]:
            return list(closing(head, room, by.user_id, successor.room_id))

        async def move(db: Connection) -> None:
            await aliases.move(db, room.room_nid, successor.room_nid)
            await rooms.set_published(db, room.room_nid, published=False)

        needs = (CREATE, POWER_LEVELS)
        await self._writer.append(room, Append(compose=compose, needs=needs, also=move))
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
            await self._succession.follow(people, room, successor)

    async def _local_members(self, room: RoomRecord, *, limit: int) -> list[UserID]:
        async with self._database.connection() as db:
            return await memberships.local_of_room(
                db, room.room_nid, IN_THE_ROOM, self._server_name, limit=limit
            )

    async def _member_changes(
        self, by: Requester, room: RoomRecord, wanted: Sequence[UUID] | None
    ) -> _MemberChanges:
        """Who has to leave and who has to come, so that exactly the wanted ones are members."""
        if wanted is None:
            return _MemberChanges(await self._lookups.person(by.user_uuid))
        async with self._database.connection() as db:
            current = await memberships.uuids_of_room(db, room.room_nid, ("join", "invite"))
        kept = {*wanted, by.user_uuid}
        joining = [uuid for uuid in dict.fromkeys(wanted) if uuid not in current]
        actor, *others = await self._lookups.people([by.user_uuid, *joining])
        await self._membership.check_welcome(others)
        leaving = await self._people.by_uuids([uuid for uuid in current if uuid not in kept])
        return _MemberChanges(actor, others, [*leaving.values()])

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
    if changes.encrypted:
        yield ENCRYPTION, {"algorithm": MEGOLM}


def _differs(head: RoomHead, key: StateKey, content: dict[str, Any]) -> bool:
    event = head.event(key)
    if key == JOIN_RULES:
        return bool(join_rule_of(event) != content["join_rule"])
    if key == ENCRYPTION:
        # How often sessions rotate is left as it is.
        return event is None
    if key == _VISIBILITY:
        return bool(history_visibility_of(event) != content["history_visibility"])
    return (event.content if event is not None else {}) != content


def _member_of(person: Person) -> StateKey:
    return member_key(person.user_id)


def _require_level(head: RoomHead, by: Requester, key: StateKey) -> None:
    """For what changes the directory although the room's state may stay as it is."""
    levels = levels_of(head)
    if levels.user(by.user_id) < levels.required_for(key[0], is_state=True):
        raise RuleBroken(Rule.EVENT_LEVEL)


def _publish(room: RoomRecord, *, published: bool) -> AlsoWrite:
    async def write(db: Connection) -> None:
        await rooms.set_published(db, room.room_nid, published=published)

    return write
