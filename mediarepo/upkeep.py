"""What is done for media once in a while."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from homeserver.errors import Unavailable
from mediarepo.downloads import Downloads
from mediarepo.files import Files

_FLUSH_S = 60.0
_FLUSHES_A_SWEEP = 60

log = structlog.get_logger(__name__)


class Upkeep:
    """Runs in every process that serves media: what several of them do at once does no harm."""

    def __init__(self, *, files: Files, downloads: Downloads) -> None:
        self._files = files
        self._downloads = downloads

    async def run(self) -> None:
        """Until cancelled: once a minute what was looked at is noted, once an hour it is swept."""
        while True:
            await _attempt(self._files.recover)
            for _ in range(_FLUSHES_A_SWEEP):
                await asyncio.sleep(_FLUSH_S)
                await _attempt(self._downloads.flush)


async def _attempt(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except Unavailable as error:
        log.warning("media_upkeep_postponed", reason=str(error))
    except Exception:
        # Whatever is wrong with one file must not end the care for others for good.
        log.exception("media_upkeep_failed")
