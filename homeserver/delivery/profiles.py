"""The rooms of who changes his name or picture show it.

Source: C-S API v1.19 "Events on Change of Profile Information".
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from homeserver.actions.lookups import member_content, member_key, membership_in
from homeserver.errors import NotFound, Unavailable
from homeserver.events.build import Draft
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.refusal import RuleBroken
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import memberships, profile_changes
from homeserver.storage.database import Database
from homeserver.storage.profile_changes import PendingProfile
from homeserver.streams.bus import Bus
from homeserver.streams.people import Person, person_of
from homeserver.streams.room_records import RoomRecords

SWEEP_S = 60.0
PAGE = 100
ROOMS_AT_ONCE = 10

log = structlog.get_logger(__name__)


class Profiles:
    """Writes membership events with changed profiles: at once, and what was left over by a crash.

    A change stands in the database until all rooms show it, so nothing is lost; a room that shows
    it already gets no event, so nothing is done twice.
    """

    def __init__(
        self, *, database: Database, rooms: RoomRecords, writer: RoomWriter, bus: Bus
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._writer = writer
        self._wake = asyncio.Event()
        bus.subscribe("profile-changed", lambda _: self._wake.set())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("profiles_postponed", reason=str(error))
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def once(self) -> None:
        """All rooms show what was changed before. Raises Unavailable."""
        after = 0
        while True:
            async with self._database.connection() as db:
                changes = await profile_changes.pending(db, after=after, limit=PAGE)
            if not changes:
                return
            for change in changes:
                await self._show(change)
            after = changes[-1].user.user_nid

    async def _show(self, change: PendingProfile) -> None:
        person = person_of(change.user)
        async with self._database.connection() as db:
            room_nids = await memberships.rooms_of(db, person.user_nid, "join")
        for start in range(0, len(room_nids), ROOMS_AT_ONCE):
            some = room_nids[start : start + ROOMS_AT_ONCE]
            await asyncio.gather(*(self._show_in(room_nid, person) for room_nid in some))
        async with self._database.connection() as db:
            await profile_changes.done(db, change)

    async def _show_in(self, room_nid: int, person: Person) -> None:
        room = await self._rooms.by_nid(room_nid)
        if room is None:
            return
        draft = Draft(
            room_id=room.room_id,
            sender=person.user_id,
            type="m.room.member",
            state_key=person.user_id,
            content=member_content(person, "join"),
        )

        def compose(head: RoomHead) -> Sequence[Draft]:
            current = head.event(member_key(person.user_id))
            if current is None or membership_in(head, person.user_id) != "join":
                return ()
            return () if _shown(current.content) == _shown(draft.content) else (draft,)

        try:
            await self._writer.append(
                room, Append(compose=compose, needs=(member_key(person.user_id),))
            )
        except (RuleBroken, NotFound) as error:
            log.warning("profile_refused", user_id=person.user_id, reason=str(error))


def _shown(content: Mapping[str, Any]) -> tuple[Any, Any]:
    return content.get("displayname"), content.get("avatar_url")
