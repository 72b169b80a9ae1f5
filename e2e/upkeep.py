"""What end-to-end encryption needs once in a while: what nobody fetches is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.storage import key_backups, sessions, to_device
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus

KEPT_DAYS = 180
"""A message that a device does not fetch for so long is lost."""
TRANSACTIONS_KEPT_DAYS = 1
_MS_OF_A_DAY = 24 * 3600 * 1000
_INTERVAL_S = 3600.0
_BATCH = 1_000

log = structlog.get_logger(__name__)


class Upkeep:
    """Runs once an hour. stale_after_days: devices not used for so long go; 0: none do."""

    def __init__(
        self, *, database: Database, bus: Bus, clock: Clock, stale_after_days: int
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._stale_after_days = stale_after_days

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("encryption_upkeep_postponed", reason=str(error))
            await asyncio.sleep(_INTERVAL_S)

    async def once(self) -> None:
        """Raises Unavailable; the next time makes up for it."""
        await self._repeat(lambda db: to_device.delete_old(db, self._before(KEPT_DAYS), _BATCH))
        await self._repeat(
            lambda db: to_device.forget_transactions(
                db, self._before(TRANSACTIONS_KEPT_DAYS), _BATCH
            )
        )
        await self._repeat(lambda db: key_backups.purge_deactivated(db, _BATCH))
        if self._stale_after_days:
            await self._end_stale()

    async def _end_stale(self) -> None:
        before_ms = self._before(self._stale_after_days)
        while True:
            ended = await self._database.retrying(
                lambda db: sessions.delete_stale(db, before_ms, _BATCH)
            )
            for session_uuid in ended:
                self._bus.announce("session-revoked", str(session_uuid))
            if len(ended) < _BATCH:
                return

    async def _repeat(self, work: Callable[[Connection], Awaitable[bool]]) -> None:
        while not await self._database.retrying(work):
            pass

    def _before(self, days: int) -> int:
        return self._clock.now_ms() - days * _MS_OF_A_DAY
