"""Joining rooms and knocking on them.

Source: C-S API v1.19 "Joining rooms", "Knocking on rooms"; "Restricted rooms" of room version 8.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from homeserver.actions.lookups import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    Lookups,
    levels_of,
    membership_in,
)
from homeserver.actions.member_events import (
    NOTHING,
    MemberEvents,
    content_of,
    member_draft,
    unless_same,
)
from homeserver.actions.standing import require_active
from homeserver.actions.succession import Succession
from homeserver.auth.verdict import Rule
from homeserver.errors import GuestsNotAllowed
from homeserver.events.content import PowerLevels, join_rule_of
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, RoomID, ServerName, StateKey, UserID, native_uuid
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.refusal import RuleBroken
from homeserver.storage import memberships
from homeserver.storage.database import Connection, Database
from homeserver.streams.people import People, Person

GUEST_ACCESS: StateKey = ("m.room.guest_access", "")

_AUTHORISER = "join_authorised_via_users_server"
_NEEDS = (CREATE, POWER_LEVELS, JOIN_RULES)
_CANDIDATES = 20


class _NeedsAuthoriser(Exception):
    """The room is restricted, and its state alone does not let the person in."""

    def __init__(self, join_rules: Event, levels: PowerLevels) -> None:
        super().__init__("somebody must vouch for this join")
        self.join_rules = join_rules
        self.levels = levels


class Joining:
    """Coming into rooms of this server, by oneself."""

    def __init__(
        self,
        *,
        database: Database,
        member_events: MemberEvents,
        lookups: Lookups,
        people: People,
        succession: Succession,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._member_events = member_events
        self._lookups = lookups
        self._people = people
        self._succession = succession
        self._server_name = server_name

    async def join(
        self,
        by: Requester,
        room_uuid: UUID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        anew: bool = False,
        at_ms: int | None = None,
    ) -> tuple[RoomRecord, EventID]:
        """Joins; the room, and the event that says so. extra: further content of the event.

        anew: a member says something else about himself; else a second join changes nothing.
        at_ms: when it shall have happened.
        Raises NotFound for a room that is not here, and NotAllowed.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        content = content_of(await self._me(by), "join", extra)
        try:
            return room, await self._join(by, room, content, anew=anew, at_ms=at_ms)
        except _NeedsAuthoriser as need:
            authoriser = await self._authoriser(by, room, need)
        content = {**content, _AUTHORISER: authoriser}
        return room, await self._join(by, room, content, anew=anew, at_ms=at_ms)

    async def knock(
        self,
        by: Requester,
        room_uuid: UUID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        at_ms: int | None = None,
    ) -> tuple[RoomRecord, EventID]:
        """Asks to be let in. Raises NotFound, NotAllowed."""
        require_active(by)
        room = await self._lookups.room(room_uuid)
        content = content_of(await self._me(by), "knock", extra)
        draft = member_draft(room, by.user_id, by.user_id, content, at_ms)
        return room, await self._member_events.put(room, draft, unless_same(content))

    async def _join(
        self,
        by: Requester,
        room: RoomRecord,
        content: Mapping[str, Any],
        *,
        anew: bool,
        at_ms: int | None,
    ) -> EventID:
        authorised = _AUTHORISER in content
        needs = (*_NEEDS, GUEST_ACCESS) if by.is_guest else _NEEDS
        creations: list[Event] = []

        def judge(head: RoomHead, current: Event | None) -> bool:
            membership = membership_in(head, by.user_id)
            if membership == "join":
                return anew and current is not None and dict(current.content) != content
            if by.is_guest:
                _check_guests_may_join(head)
            if membership not in ("invite", "ban") and not authorised:
                _check_needs_no_authoriser(head, room)
            create = head.event(CREATE)
            assert create is not None
            creations.append(create)
            return True

        draft = member_draft(room, by.user_id, by.user_id, content, at_ms)
        event_id = await self._member_events.put(room, draft, judge, *needs)
        if creations:
            await self._succession.come_after(await self._me(by), creations[-1], room)
        return event_id

    async def _me(self, by: Requester) -> Person:
        person = await self._people.get(by.user_nid)
        assert person is not None
        return person

    async def _authoriser(self, by: Requester, room: RoomRecord, need: _NeedsAuthoriser) -> UserID:
        """A member who may invite, for somebody who is in one of the allowed rooms."""
        allowed = [native_uuid(room_id) for room_id in _allowed_rooms(need.join_rules)]
        async with self._database.connection() as db:
            if not await memberships.is_in_one_of(db, by.user_nid, allowed):
                raise RuleBroken(Rule.JOIN_NOT_INVITED)
            authoriser = await self._inviter(db, room, need.levels)
        if authoriser is None:
            raise RuleBroken(Rule.JOIN_AUTHORISER)
        return authoriser

    async def _inviter(
        self, db: Connection, room: RoomRecord, levels: PowerLevels
    ) -> UserID | None:
        """First those whom the power levels name: one of them is nearly always there."""
        named = await memberships.joined_among(db, room.room_nid, self._who_may_invite(levels))
        if named or levels.named("users_default") < levels.invite:
            return named[0] if named else None
        joined = await memberships.local_of_room(
            db, room.room_nid, ("join",), self._server_name, limit=_CANDIDATES
        )
        return next((user for user in joined if levels.user(user) >= levels.invite), None)

    def _who_may_invite(self, levels: PowerLevels) -> Sequence[UserID]:
        users = levels.content.get("users")
        named = [*levels.creators, *(users if isinstance(users, Mapping) else ())]
        return [
            UserID(user)
            for user in named
            if user.endswith(f":{self._server_name}") and levels.user(user) >= levels.invite
        ]


def _check_guests_may_join(head: RoomHead) -> None:
    """C-S API v1.19 "Guest Access", server behaviour."""
    event = head.event(GUEST_ACCESS)
    if event is None or event.content.get("guest_access") != "can_join":
        raise GuestsNotAllowed("Guests cannot join this room: register an account.")


def _check_needs_no_authoriser(head: RoomHead, room: RoomRecord) -> None:
    """Room v11 auth rule 4.3.5 (v12: 5.3.5), since v8."""
    event = head.event(JOIN_RULES)
    if event is not None and is_restricted(join_rule_of(event), room):
        raise _NeedsAuthoriser(event, levels_of(head))


def is_restricted(join_rule: str, room: RoomRecord) -> bool:
    """Whether members of other rooms may join without an invitation."""
    version = room.version
    return (join_rule == "restricted" and version.restricted_joins) or (
        join_rule == "knock_restricted" and version.knock_restricted
    )


def _allowed_rooms(join_rules: Event) -> Iterator[RoomID]:
    """`allow` of m.room.join_rules: conditions of other types let nobody in."""
    allow = join_rules.content.get("allow")
    for condition in allow if isinstance(allow, list) else ():
        if isinstance(condition, Mapping) and condition.get("type") == "m.room_membership":
            room_id = condition.get("room_id")
            if isinstance(room_id, str):
                yield RoomID(room_id)
