"""What is made of pictures and links: processes, thumbnails and previews, and the care for them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from homeserver.errors import Unavailable
from mediarepo.imaging.imaging import Imaging
from mediarepo.thumbnails import Thumbnails

_SWEEP_S = 3_600.0
_FIRST_SWEEP_S = 300.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """All of it."""

    imaging: Imaging
    thumbnails: Thumbnails

    async def run(self) -> None:
        """Until cancelled: removes what is old. Then all processes have ended."""
        try:
            await asyncio.sleep(_FIRST_SWEEP_S)
            while True:
                await _attempt(self.thumbnails.sweep)
                await asyncio.sleep(_SWEEP_S)
        finally:
            await self.thumbnails.close()
            await self.imaging.close()


async def _attempt(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except Unavailable as error:
        log.warning("sweep_postponed", reason=str(error))
