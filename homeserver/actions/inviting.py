"""Invitations, which the invited may accept or decline.

Source: C-S API v1.19 "Joining rooms" (invite), "Invite permission".
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from homeserver.actions.lookups import Lookups
from homeserver.actions.member_events import (
    NOTHING,
    MemberEvents,
    content_of,
    member_draft,
    members_only,
)
from homeserver.actions.standing import require_active
from homeserver.errors import InviteBlocked, NotAllowed
from homeserver.events.content import membership_of
from homeserver.events.event import Event
from homeserver.identifiers import EventID, ServerName, UserID, native_uuid, server_of
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.storage import invite_permissions
from homeserver.storage.database import Database
from homeserver.streams.people import Person


class Inviting:
    """Asking people into rooms."""

    def __init__(
        self,
        *,
        database: Database,
        member_events: MemberEvents,
        lookups: Lookups,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._member_events = member_events
        self._lookups = lookups
        self._server_name = server_name

    async def invite(
        self,
        by: Requester,
        room_uuid: UUID,
        user_id: UserID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        at_ms: int | None = None,
    ) -> EventID:
        """The event of the invitation, or of the one that there is. extra: content of the event.

        at_ms: when it shall have happened.
        Raises NotFound for an unknown room or user, NotAllowed, InviteBlocked.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        (person,) = await self.people([user_id])
        blocked = await self.blocked([person])

        def judge(_head: RoomHead, current: Event | None) -> bool:
            if membership_of(current) == "invite":
                return False
            if blocked and membership_of(current) != "join":
                raise InviteBlocked(f"{user_id} wants no invitations.")
            return True

        content = content_of(person, "invite", extra)
        draft = member_draft(room, by.user_id, user_id, content, at_ms)
        return await self._member_events.put(room, draft, members_only(room, by, judge))

    async def people(self, user_ids: Sequence[UserID]) -> list[Person]:
        """Who they are, each once. Raises NotAllowed for users of other servers, NotFound."""
        for user_id in user_ids:
            if server_of(user_id) != self._server_name:
                raise NotAllowed(f"{user_id} is of another server; this one talks to no others.")
        return await self._lookups.people([native_uuid(user_id) for user_id in user_ids])

    async def blocked(self, people: Collection[Person]) -> frozenset[int]:
        """The numbers of those who want no invitations."""
        async with self._database.connection() as db:
            return await invite_permissions.blocking(db, [person.user_nid for person in people])
