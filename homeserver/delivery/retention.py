"""What nobody needs any more goes: rooms that were deleted long ago, forks of states, receipts of
threads that say nothing any more, and what people kept here who have no account any more.

Sessions, invitation codes and sightings are swept by `homeserver.actions.account_upkeep`.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from homeserver.clock import Clock
from homeserver.errors import Refused, Unavailable
from homeserver.events.stored import RoomRecord
from homeserver.storage import account_data, purging, receipts, room_state
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.streams.room_counters import WINDOW
from homeserver.streams.room_records import CHANGED_TOPIC

SWEEP_S = 3_600.0
ROOMS_AT_ONCE = 100
ROWS_AT_ONCE = 1_000
PAUSE_S = 0.05
"""Between two batches, so that those who wait for the database come before this."""

_DAY_MS = 86_400_000

RemoveSome = Callable[[Connection, int, int], Awaitable[bool]]
"""Removes some rows about a room, by its number and a limit; True: those were all."""

log = structlog.get_logger(__name__)


class Retention:
    """Sweeps once an hour; what was cut off goes on the next time.

    keep_deleted_days: for so long a deleted room can still be brought back by hand. empty: lets
    everybody leave a deleted room, for rooms where that was cut off.
    """

    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        clock: Clock,
        keep_deleted_days: float,
        empty: Callable[[RoomRecord], Awaitable[None]],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._keep_deleted_ms = round(keep_deleted_days * _DAY_MS)
        self._empty = empty
        self._pause_s = pause_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("retention_postponed", reason=str(error))
            except Exception:
                # Whatever is wrong with one room must not end the sweeping of others for good.
                log.exception("retention_failed")
            await asyncio.sleep(SWEEP_S)

    async def once(self) -> None:
        """Everything that can go is gone. Raises Unavailable."""
        await self._empty_left_over()
        while rooms := await self._purgeable():
            for room in rooms:
                await self._purge(room)
        await self._forget_deactivated()
        await self._forget_threads()
        forks = await self._database.retrying(room_state.sweep_forks)
        if forks:
            log.info("forks_swept", count=forks)

    async def _purgeable(self) -> list[RoomRecord]:
        before_ms = self._clock.now_ms() - self._keep_deleted_ms
        async with self._database.connection() as db:
            return await purging.deleted_before(db, before_ms, ROOMS_AT_ONCE)

    async def _purge(self, room: RoomRecord) -> None:
        await self._remove(purging.purge_events, room)
        await self._remove(purging.purge_rows, room)
        await self._database.retrying(lambda db: purging.purge_room(db, room.room_nid))
        self._bus.announce(CHANGED_TOPIC, str(room.uuid))
        log.info("room_purged", room_id=room.room_id)

    async def _remove(self, some: RemoveSome, room: RoomRecord) -> None:
        """Batch after batch, each in a transaction of its own."""

        async def batch(db: Connection) -> bool:
            return await some(db, room.room_nid, ROWS_AT_ONCE)

        while True:
            if await self._database.retrying(batch):
                return
            await asyncio.sleep(self._pause_s)

    async def _forget_deactivated(self) -> None:
        async def batch(db: Connection) -> bool:
            return await account_data.purge_deactivated(db, ROWS_AT_ONCE)

        while True:
            if await self._database.retrying(batch):
                return
            await asyncio.sleep(self._pause_s)

    async def _forget_threads(self) -> None:
        """Who reads everything by threads would keep a receipt for each of them for good."""
        rooms = [0]
        while rooms:
            after = rooms[-1]
            async with self._database.connection() as db:
                rooms = await receipts.rooms_with_threads(db, after, ROOMS_AT_ONCE)
            for room_nid in rooms:
                await self._forget_threads_of(room_nid)

    async def _forget_threads_of(self, room_nid: int) -> None:
        async def batch(db: Connection) -> bool:
            return await receipts.purge_threads(db, room_nid, newest=WINDOW, limit=ROWS_AT_ONCE)

        while True:
            done = await self._database.retrying(batch)
            await asyncio.sleep(self._pause_s)
            if done:
                return

    async def _empty_left_over(self) -> None:
        async with self._database.connection() as db:
            rooms = await purging.not_emptied(db, ROOMS_AT_ONCE)
        for room in rooms:
            try:
                await self._empty(room)
            except Refused as error:
                log.warning("deleted_room_not_empty", room_id=room.room_id, reason=str(error))
