"""Leaving rooms, and forgetting them.

Source: C-S API v1.19 "Leaving rooms".
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from homeserver.actions.lookups import Lookups
from homeserver.actions.member_events import NOTHING, MemberEvents, content_of, member_draft
from homeserver.errors import Unusable
from homeserver.events.content import membership_of
from homeserver.events.event import Event
from homeserver.identifiers import EventID
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.storage import forgotten_rooms, room_lists
from homeserver.storage.database import Connection, Database
from homeserver.streams.people import People

_IN_THE_ROOM = ("join", "invite", "knock")


class Leaving:
    """Ending one's own membership, invitation or knock."""

    def __init__(
        self, *, database: Database, member_events: MemberEvents, lookups: Lookups, people: People
    ) -> None:
        self._database = database
        self._member_events = member_events
        self._lookups = lookups
        self._people = people

    async def leave(
        self,
        by: Requester,
        room_uuid: UUID,
        extra: Mapping[str, Any] = NOTHING,
        *,
        at_ms: int | None = None,
    ) -> EventID:
        """Who has left already has nothing more to do. at_ms: when it shall have happened.

        Raises NotFound, NotAllowed."""
        room = await self._lookups.room(room_uuid)

        def judge(_head: RoomHead, current: Event | None) -> bool:
            return current is None or membership_of(current) != "leave"

        content = content_of(await self._people.get(by.user_nid), "leave", extra)
        draft = member_draft(room, by.user_id, by.user_id, content, at_ms)
        return await self._member_events.put(room, draft, judge)

    async def forget(self, by: Requester, room_uuid: UUID) -> None:
        """Wants to hear nothing more of a room that one has left. Raises NotFound, Unusable."""
        room = await self._lookups.room(room_uuid)

        async def forget(db: Connection) -> None:
            membership = await room_lists.membership(db, room.room_nid, by.user_nid)
            if membership in _IN_THE_ROOM:
                raise Unusable("You are still in this room: leave it first.")
            if membership is not None:
                await forgotten_rooms.insert(db, by.user_nid, room.room_nid)

        await self._database.retrying(forget)
