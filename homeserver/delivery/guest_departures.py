"""Guests leave rooms that let no guests in any more.

Source: C-S API v1.19 "Guest Access", server behaviour: "the server MUST set those users'
`m.room.member` state to `leave`".
"""

import asyncio
from collections.abc import Sequence

import structlog

from homeserver.delivery.departures import let_leave
from homeserver.errors import Unavailable
from homeserver.events.stored import StoredEvent
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import memberships, state_history
from homeserver.storage.database import Database
from homeserver.streams.room_records import RoomRecords
from homeserver.streams.tail import Committed, EventTail

GUEST_ACCESS = "m.room.guest_access"
SWEEP_S = 3_600.0
PAGE = 100

log = structlog.get_logger(__name__)


class GuestDepartures:
    """Looks at a room when its guest access changes, and at all of them once in a while.

    The memberships themselves are the list of what is left to do, so nothing is lost in a crash.
    """

    def __init__(
        self, *, database: Database, rooms: RoomRecords, writer: RoomWriter, tail: EventTail
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._writer = writer
        self._changed: set[int] = set()
        self._wake = asyncio.Event()
        tail.subscribe(self._note)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once(None)
                await self._look_at_changes()
            except Unavailable as error:
                log.warning("guest_departures_postponed", reason=str(error))
                await asyncio.sleep(1)

    async def _look_at_changes(self) -> None:
        """Until it is time to look at everything. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SWEEP_S
        while loop.time() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()
            while self._changed:
                await self.once(self._changed.pop())

    async def once(self, room_nid: int | None) -> None:
        """Every guest who should leave has left. room_nid: only that room. Raises Unavailable."""
        after = (0, 0)
        while True:
            async with self._database.connection() as db:
                guests = await memberships.of_guests(db, room_nid, after=after, limit=PAGE)
                if not guests:
                    return
                state = await state_history.current(
                    db, {guest[0] for guest in guests}, (GUEST_ACCESS,)
                )
            for nid, user_nid, user_id in guests:
                after = (nid, user_nid)
                room = await self._rooms.by_nid(nid)
                if room is not None and not _lets_guests_in(state.get((nid, GUEST_ACCESS))):
                    await let_leave(self._writer, room, user_id)

    def _note(self, committed: Sequence[Committed]) -> None:
        for each in committed:
            if each.stored.event.type == GUEST_ACCESS and each.stored.event.is_state:
                self._changed.add(each.room.room_nid)
                self._wake.set()


def _lets_guests_in(stored: StoredEvent | None) -> bool:
    return stored is not None and stored.event.content.get("guest_access") == "can_join"
