"""What is made of pictures and links: processes, thumbnails and previews, and the care for them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_bytes

import structlog

from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.errors import Unavailable
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from mediarepo.files import Files
from mediarepo.imaging.imaging import Imaging
from mediarepo.previews.addresses import AddressPolicy
from mediarepo.previews.fetching import Fetcher
from mediarepo.previews.looking import Looking
from mediarepo.previews.previews import Previews
from mediarepo.small_files import SmallFiles
from mediarepo.spool import Spool
from mediarepo.thumbnails import Thumbnails

_SWEEP_S = 3_600.0
_FIRST_SWEEP_S = 300.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """All of it."""

    imaging: Imaging
    thumbnails: Thumbnails
    fetcher: Fetcher
    previews: Previews

    async def run(self) -> None:
        """Until cancelled: removes what is old. Then all processes have ended."""
        try:
            await asyncio.sleep(_FIRST_SWEEP_S)
            while True:
                await _attempt(self.thumbnails.sweep)
                await _attempt(self.previews.sweep)
                await asyncio.sleep(_SWEEP_S)
        finally:
            await self.close()

    async def close(self) -> None:
        """Gives up what is being made."""
        await self.thumbnails.close()
        await self.previews.close()
        await self.fetcher.close()
        await self.imaging.close()


async def _attempt(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except Unavailable as error:
        log.warning("picture_upkeep_postponed", reason=str(error))
    except Exception:
        # Whatever is wrong with one of them must not end the care for others for good.
        log.exception("picture_upkeep_failed")


def build_pictures(
    *,
    config: Config,
    database: Database,
    files: Files,
    small_files: SmallFiles,
    spool: Spool,
    clock: Clock,
) -> Pictures:
    """Builds every object once. No process is started before there is a picture."""
    imaging = Imaging(settings=config.media.thumbnails)
    fetcher = _fetcher(config)
    looking = Looking(
        fetcher=fetcher,
        files=files,
        spool=spool,
        imaging=imaging,
        settings=config.media.previews,
    )
    return Pictures(
        imaging=imaging,
        thumbnails=Thumbnails(
            database=database,
            files=files,
            spool=spool,
            imaging=imaging,
            small_files=small_files,
            settings=config.media.thumbnails,
            clock=clock,
        ),
        fetcher=fetcher,
        previews=Previews(
            database=database,
            files=files,
            looking=looking,
            settings=config.media.previews,
            is_limited=config.rate_limits.enabled,
            server_name=ServerName(config.server.name),
            clock=clock,
            random_bytes=token_bytes,
        ),
    )


def _fetcher(config: Config) -> Fetcher:
    settings = config.media.previews
    return Fetcher(
        policy=AddressPolicy(allowed=settings.allowed_networks, denied=settings.denied_networks),
        ports=settings.ports,
        accept_language=settings.accept_language,
        timeout_s=settings.timeout_seconds,
    )
