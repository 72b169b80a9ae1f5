"""Joining, leaving, adding, inviting, removing, banning; roles.

In a team chat, whom a member adds is in at once: for users of this server the invitation and the
join that answers it go into the room together. Users of other servers are invited.
Source: C-S API v1.19 "Room membership".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from homeserver.actions.inviting import Inviting
from homeserver.actions.joining import Joining
from homeserver.actions.lookups import (
    CREATE,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_content,
    member_key,
    membership_in,
    no_such_room,
    require_member,
)
from homeserver.actions.standing import require_active
from homeserver.auth.verdict import Rule
from homeserver.errors import Conflict, InvalidInput, InviteBlocked, NotAllowed, NotFound
from homeserver.events.build import Draft
from homeserver.events.content import PowerLevels
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, ServerName, server_of
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append, Compose
from homeserver.rooms.refusal import RuleBroken
from homeserver.rooms.writer import RoomWriter
from homeserver.streams.people import Person

MEMBER = "m.room.member"
ADMIN_LEVEL = 100
LEVEL_OF_ROLE = {"admin": ADMIN_LEVEL, "member": 0}
IN_THE_ROOM = ("join", "invite", "knock")
"""Memberships that leaving ends."""

_NOT_INVITED = frozenset({Rule.JOIN_NOT_INVITED, Rule.JOIN_AUTHORISER, Rule.JOIN_RULE_FORBIDS})
"""What keeps out who may not know of a room."""

CHUNK = 20
"""People who are added in one transaction: about two milliseconds of signing each."""


class Membership:
    """Who is in a room, and as what."""

    def __init__(
        self,
        *,
        writer: RoomWriter,
        lookups: Lookups,
        joining: Joining,
        inviting: Inviting,
        server_name: ServerName,
    ) -> None:
        self._writer = writer
        self._lookups = lookups
        self._joining = joining
        self._inviting = inviting
        self._server_name = server_name

    async def join(self, by: Requester, room_uuid: UUID) -> RoomRecord:
        """Joins a public room, or answers an invitation; a member's second join changes nothing.

        Raises NotFound for rooms that one is neither invited to nor may find.
        """
        require_active(by)
        try:
            room, _ = await self._joining.join(by, room_uuid)
        except RuleBroken as error:
            if error.rule in _NOT_INVITED:
                raise no_such_room() from None
            raise
        return room

    async def leave(self, by: Requester, room_uuid: UUID) -> None:
        """Leaves a room or declines an invitation."""
        room = await self._lookups.room(room_uuid)
        person = await self._lookups.person(by.user_uuid)

        def compose(head: RoomHead) -> Sequence[Draft]:
            if membership_in(head, by.user_id) not in IN_THE_ROOM:
                raise no_such_room()
            return (_membership(room, person, person, "leave"),)

        await self._append(room, compose, member_key(by.user_id))

    async def add(self, by: Requester, room_uuid: UUID, users: Sequence[UUID]) -> None:
        """Makes people members. Raises NotFound for an unknown user, and InviteBlocked, before
        anybody is added.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        await self._check_open_to_others(by, room, "user_ids")
        adder, *people = await self._lookups.people([by.user_uuid, *users])
        await self.check_welcome(people)
        await self.add_people(by, room, adder, people)

    async def add_people(
        self, by: Requester, room: RoomRecord, adder: Person, people: Sequence[Person]
    ) -> None:
        """The same with people who were looked up, some at a time."""
        for start in range(0, len(people), CHUNK):
            chunk = people[start : start + CHUNK]

            def compose(head: RoomHead, chunk: Sequence[Person] = chunk) -> Sequence[Draft]:
                require_member(head, room, by)
                return self.adding(room, head, adder, chunk)

            keys = [member_key(person.user_id) for person in (adder, *chunk)]
            await self._append(room, compose, *keys)

    async def remove_people(
        self, by: Requester, room: RoomRecord, remover: Person, people: Sequence[Person]
    ) -> None:
        """Removes several, some at a time; who is not in the room stays out."""
        for start in range(0, len(people), CHUNK):
            chunk = people[start : start + CHUNK]

            def compose(head: RoomHead, chunk: Sequence[Person] = chunk) -> Sequence[Draft]:
                require_member(head, room, by)
                return self.removing(room, head, remover, chunk)

            keys = [member_key(person.user_id) for person in (remover, *chunk)]
            await self._append(room, compose, *keys)

    def adding(
        self, room: RoomRecord, head: RoomHead, adder: Person, people: Sequence[Person]
    ) -> list[Draft]:
        """What makes people members; their entries must be known."""
        return [
            draft
            for person in people
            for draft in self._adding(room, membership_in(head, person.user_id), adder, person)
        ]

    def removing(
        self, room: RoomRecord, head: RoomHead, remover: Person, people: Sequence[Person]
    ) -> list[Draft]:
        """What takes members and invitations away; their entries must be known."""
        return [
            _membership(room, remover, person, "leave")
            for person in people
            if membership_in(head, person.user_id) in IN_THE_ROOM
        ]

    async def invite(self, by: Requester, room_uuid: UUID, user: UUID) -> None:
        """Invites someone, who may then join or decline."""
        require_active(by)
        room = await self._lookups.room(room_uuid)
        await self._check_open_to_others(by, room, "user_id")
        inviter, invited = await self._two(by, user)
        await self.check_welcome([invited])

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if membership_in(head, invited.user_id) == "join":
                raise Conflict(f"{invited.name} is a member of this room already.")
            return (_membership(room, inviter, invited, "invite"),)

        await self._append(room, compose, member_key(by.user_id), member_key(invited.user_id))

    async def remove(
        self, by: Requester, room_uuid: UUID, user: UUID, reason: str | None = None
    ) -> None:
        """Removes a member or takes an invitation back. Oneself: leaves."""
        if user == by.user_uuid:
            await self.leave(by, room_uuid)
            return
        await self._act_on(by, room_uuid, user, "leave", IN_THE_ROOM, reason)

    async def ban(
        self, by: Requester, room_uuid: UUID, user: UUID, reason: str | None = None
    ) -> None:
        """Removes someone for good."""
        if user == by.user_uuid:
            raise InvalidInput("You cannot ban yourself.", field="user_id")
        await self._act_on(by, room_uuid, user, "ban", (*IN_THE_ROOM, "leave"), reason)

    async def unban(self, by: Requester, room_uuid: UUID, user: UUID) -> None:
        """Lifts a ban; the person may come back where others may."""
        await self._act_on(by, room_uuid, user, "leave", ("ban",), None)

    async def set_role(self, by: Requester, room_uuid: UUID, user: UUID, role: str) -> None:
        """Makes a member an admin, or an admin a member."""
        require_active(by)
        room = await self._lookups.room(room_uuid)
        _, person = await self._two(by, user)
        level = LEVEL_OF_ROLE[role]

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if membership_in(head, person.user_id) != "join":
                raise _not_a_member()
            return _role_change(room, head, by, person, level)

        keys = member_key(by.user_id), member_key(person.user_id), CREATE, POWER_LEVELS
        await self._append(room, compose, *keys)

    async def _act_on(
        self,
        by: Requester,
        room_uuid: UUID,
        user: UUID,
        membership: str,
        before: Sequence[str],
        reason: str | None,
    ) -> None:
        require_active(by)
        room = await self._lookups.room(room_uuid)
        actor, target = await self._two(by, user)

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if membership_in(head, target.user_id) not in before:
                raise _not_a_member()
            return (_membership(room, actor, target, membership, reason),)

        await self._append(room, compose, member_key(by.user_id), member_key(target.user_id))

    async def check_welcome(self, people: Sequence[Person]) -> None:
        """Raises InviteBlocked where an invitation to one of the people is not."""
        blocked = await self._inviting.blocked(people) if people else frozenset()
        for person in people:
            if person.user_nid in blocked:
                raise InviteBlocked(f"{person.name} wants no invitations.")

    async def _check_open_to_others(self, by: Requester, room: RoomRecord, field: str) -> None:
        """A conversation of two stays one. Strangers do not even learn that it is there."""
        if room.kind != "direct":
            return

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            raise InvalidInput("Nobody else can join a direct conversation.", field=field)

        await self._append(room, compose, member_key(by.user_id))

    async def _two(self, by: Requester, user: UUID) -> tuple[Person, Person]:
        people = await self._lookups.people([by.user_uuid, user])
        return people[0], people[-1]

    async def _append(self, room: RoomRecord, compose: Compose, *needs: tuple[str, str]) -> None:
        await self._writer.append(room, Append(compose=compose, needs=needs))

    def first_members(
        self, room_id: RoomID, kind: str, creator: Person, people: Sequence[Person]
    ) -> list[Draft]:
        """What makes people members of a room that is being made."""
        place = _Place(room_id, kind)
        return [
            draft for person in people for draft in self._adding(place, "leave", creator, person)
        ]

    def _adding(
        self, place: "RoomRecord | _Place", membership: str, adder: Person, person: Person
    ) -> list[Draft]:
        """membership: what the person was so far."""
        if membership == "join":
            return []
        drafts = []
        if membership != "invite":
            drafts.append(_membership(place, adder, person, "invite"))
        if server_of(person.user_id) == self._server_name:
            drafts.append(_membership(place, person, person, "join"))
        return drafts


@dataclass(frozen=True, slots=True)
class _Place:
    """What membership events need to know of a room, also before there is one."""

    room_id: RoomID
    kind: str


def _membership(
    room: RoomRecord | _Place,
    actor: Person,
    target: Person,
    membership: str,
    reason: str | None = None,
) -> Draft:
    content: dict[str, Any] = dict(member_content(target, membership))
    if membership == "invite" and room.kind == "direct":
        content["is_direct"] = True
    if reason:
        content["reason"] = reason
    return Draft(
        room_id=room.room_id,
        sender=actor.user_id,
        type=MEMBER,
        state_key=target.user_id,
        content=content,
    )


def _role_change(
    room: RoomRecord, head: RoomHead, by: Requester, person: Person, level: int
) -> Sequence[Draft]:
    levels = levels_of(head)
    if levels.is_creator(person.user_id) and room.version.privileged_creators:
        if level == ADMIN_LEVEL:
            return ()
        raise NotAllowed("Who created a room stays its admin.")
    event = head.event(POWER_LEVELS)
    content = dict(event.content) if event is not None else _first_levels(head, levels)
    users = dict(content.get("users", {}))
    if users.get(person.user_id, content.get("users_default", 0)) == level:
        return ()
    users[person.user_id] = level
    if not room.version.privileged_creators and ADMIN_LEVEL not in users.values():
        raise Conflict("A room needs an admin: make somebody else one first.")
    content["users"] = users
    return (
        Draft(
            room_id=room.room_id,
            sender=by.user_id,
            type="m.room.power_levels",
            state_key="",
            content=content,
        ),
    )


def _first_levels(head: RoomHead, levels: PowerLevels) -> dict[str, Any]:
    """What holds without a power levels event, written down."""
    create = head.event(CREATE)
    assert create is not None
    if create.version.privileged_creators:
        return {}
    return {"users": {create.sender: levels.user(create.sender)}}


def _not_a_member() -> NotFound:
    return NotFound("This person is not in this room.", kind="user")
