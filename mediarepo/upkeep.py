"""What is done for media once in a while: what nobody needs any more goes.

redacted or purged event → reference gone → medium gone, after the grace → file gone
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from homeserver.clock import Clock
from homeserver.config import MediaConfig
from homeserver.errors import Unavailable
from homeserver.storage import media_expiry, media_files
from homeserver.storage.database import Connection, Database
from homeserver.storage.media_expiry import Removed
from mediarepo.downloads import Downloads
from mediarepo.files import Files

AT_ONCE = 200
"""Rows of one transaction."""

_FLUSH_S = 60.0
_FLUSHES_A_SWEEP = 60
_PAUSE_S = 0.05
"""Between two batches, so that those who wait for the database come before this."""
_DAY_MS = 86_400_000

RemoveSome = Callable[[Connection, int, int, int], Awaitable[Sequence[Removed]]]
"""Removes some media from before a moment, by it, the present moment and a limit."""

log = structlog.get_logger(__name__)


class Upkeep:
    """Runs in every process that serves media: what several of them do at once does no harm, and
    what was cut off goes on the next time.
    """

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        downloads: Downloads,
        settings: MediaConfig,
        clock: Clock,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._database = database
        self._files = files
        self._downloads = downloads
        self._settings = settings
        self._clock = clock
        self._pause_s = pause_s

    async def run(self) -> None:
        """Until cancelled: once a minute what was looked at is noted, once an hour it is swept."""
        while True:
            await _attempt(self._files.recover)
            await _attempt(self.sweep)
            for _ in range(_FLUSHES_A_SWEEP):
                await asyncio.sleep(_FLUSH_S)
                await _attempt(self._downloads.flush)

    async def sweep(self) -> None:
        """Everything that can go is gone. Raises Unavailable."""
        await self._expire_pending()
        settings = self._settings
        grace_days = settings.keep_unreferenced_days
        await self._remove("unreferenced", media_expiry.remove_unreferenced, grace_days)
        if settings.keep_unused_days:
            await self._remove("unused", media_expiry.remove_unused, settings.keep_unused_days)
        if settings.keep_local_days:
            await self._remove("old", _not_looked_at(local=True), settings.keep_local_days)
        if settings.keep_remote_days:
            await self._remove("old", _not_looked_at(local=False), settings.keep_remote_days)
        await self.discard_unused()

    async def discard_unused(self) -> int:
        """Removes files that nothing is made of any more; how many. Raises Unavailable."""
        discarded = 0
        while True:
            async with self._database.connection() as db:
                hashes = await media_files.unused(db, AT_ONCE)
            gone = [await self._files.discard(each) for each in hashes]
            discarded += sum(gone)
            if not any(gone):
                return discarded
            await asyncio.sleep(self._pause_s)

    async def _expire_pending(self) -> None:
        async def some(db: Connection) -> int:
            return await media_expiry.expire_pending(db, self._clock.now_ms(), AT_ONCE)

        while True:
            if not await self._database.retrying(some):
                return
            await asyncio.sleep(self._pause_s)

    async def _remove(self, why: str, remove: RemoveSome, days: float) -> None:
        async def some(db: Connection) -> Sequence[Removed]:
            now_ms = self._clock.now_ms()
            return await remove(db, now_ms - round(days * _DAY_MS), now_ms, AT_ONCE)

        while removed := await self._database.retrying(some):
            for each in removed:
                self._downloads.arrivals.announce(each.uuid)
            log.info("media_removed", why=why, count=len(removed))
            await asyncio.sleep(self._pause_s)


def _not_looked_at(*, local: bool) -> RemoveSome:
    async def remove(db: Connection, before_ms: int, now_ms: int, limit: int) -> list[Removed]:
        return await media_expiry.remove_not_looked_at(db, before_ms, now_ms, limit, local=local)

    return remove


async def _attempt(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except Unavailable as error:
        log.warning("media_upkeep_postponed", reason=str(error))
    except Exception:
        # Whatever is wrong with one file must not end the care for others for good.
        log.exception("media_upkeep_failed")
