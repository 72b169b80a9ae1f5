"""Removing people from rooms, for now or for good.

Source: C-S API v1.19 "Leaving rooms" (kick), "Banning users in a room".
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from homeserver.actions.lookups import CREATE, POWER_LEVELS, Lookups, levels_of
from homeserver.actions.member_events import (
    NOTHING,
    Judge,
    MemberEvents,
    content_of,
    member_draft,
    members_only,
)
from homeserver.actions.standing import require_active
from homeserver.errors import NotAllowed, NotBanned
from homeserver.events.content import membership_of
from homeserver.events.event import Event
from homeserver.identifiers import EventID, StateKey, UserID
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.streams.people import People

_IN_THE_ROOM = ("join", "invite", "knock")


class Moderation:
    """What members with the power for it do to the memberships of others."""

    def __init__(self, *, member_events: MemberEvents, lookups: Lookups, people: People) -> None:
        self._member_events = member_events
        self._lookups = lookups
        self._people = people

    async def kick(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        extra: Mapping[str, Any] = NOTHING,
    ) -> EventID:
        """Removes a member, or takes an invitation back. Raises NotFound, NotAllowed."""

        def judge(_head: RoomHead, current: Event | None) -> bool:
            if membership_of(current) not in _IN_THE_ROOM:
                raise NotAllowed(f"{user_id} is not in this room.")
            return True

        content = await self._content(user_id, "leave", extra)
        return await self._put(by, room_uuid, user_id, content, judge)

    async def ban(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        at_ms: int | None = None,
    ) -> EventID:
        """Removes somebody for good, also one who has never been here; a ban stays as it is.

        at_ms: when it shall have happened.
        """

        def judge(head: RoomHead, current: Event | None) -> bool:
            levels = levels_of(head)
            return membership_of(current) != "ban" or levels.user(by.user_id) < levels.ban

        content = await self._content(user_id, "ban", extra)
        needs = CREATE, POWER_LEVELS
        return await self._put(by, room_uuid, user_id, content, judge, *needs, at_ms=at_ms)

    async def unban(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        extra: Mapping[str, Any] = NOTHING,
    ) -> EventID:
        """Lifts a ban. Raises NotFound, NotAllowed, NotBanned."""

        def judge(_head: RoomHead, current: Event | None) -> bool:
            if membership_of(current) != "ban":
                raise NotBanned(f"{user_id} is not banned.")
            return True

        content = await self._content(user_id, "leave", extra)
        return await self._put(by, room_uuid, user_id, content, judge)

    async def remove(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        at_ms: int | None = None,
    ) -> EventID:
        """Whatever somebody is to the room: afterwards it is nothing.

        at_ms: when it shall have happened.
        """

        def judge(_head: RoomHead, current: Event | None) -> bool:
            if current is None:
                raise NotAllowed(f"{user_id} is not in this room.")
            return membership_of(current) != "leave"

        content = await self._content(user_id, "leave", extra)
        return await self._put(by, room_uuid, user_id, content, judge, at_ms=at_ms)

    async def _content(
        self, user_id: UserID, membership: str, extra: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return content_of(await self._people.by_user_id(user_id), membership, extra)

    async def _put(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        content: Mapping[str, Any],
        judge: Judge,
        *needs: StateKey,
        at_ms: int | None = None,
    ) -> EventID:
        require_active(by)
        room = await self._lookups.room(room_uuid)
        draft = member_draft(room, by.user_id, user_id, content, at_ms)
        return await self._member_events.put(room, draft, members_only(room, by, judge), *needs)
