"""The media repository, wired: for the homeserver's process, or for one of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_bytes

from clientapi.authentication import Authenticator
from clientapi.rate_limits import RateLimits
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from mediarepo.arrivals import Arrivals
from mediarepo.describing import Describing
from mediarepo.downloads import Downloads
from mediarepo.known import KnownMedia
from mediarepo.links import Links
from mediarepo.pictures import Pictures, build_pictures
from mediarepo.remote import RemoteMedia
from mediarepo.sending import Sending
from mediarepo.services import MediaServices
from mediarepo.small_files import SmallFiles
from mediarepo.stores import Stores, build_stores
from mediarepo.thumbnail_sending import ThumbnailSending
from mediarepo.upkeep import Upkeep
from mediarepo.uploads import Uploaded, UploadLimits, Uploads

_MIB = 1_048_576
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Everything about media."""

    services: MediaServices
    stores: Stores
    upkeep: Upkeep
    pictures: Pictures

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled; what it holds on to it then lets go."""
        return (self._run, self.pictures.run)

    async def _run(self) -> None:
        try:
            await self.upkeep.run()
        finally:
            self.stores.close()


def build_media(
    *,
    config: Config,
    database: Database,
    bus: Bus,
    remote: RemoteMedia,
    link_key: bytes,
    authenticator: Authenticator,
    rate_limits: RateLimits,
    clock: Clock,
) -> Media:
    """Builds every object once, by name."""
    stores = build_stores(config=config, database=database, clock=clock)
    server_name = ServerName(config.server.name)
    known = KnownMedia(clock=clock)
    arrivals = Arrivals(bus=bus, changed=known.forget)
    downloads = Downloads(
        database=database,
        files=stores.files,
        remote=remote,
        known=known,
        arrivals=arrivals,
        server_name=server_name,
        max_bytes=config.storage.max_attachment_size_mb * _MIB,
        max_wait_ms=round(config.media.max_wait_seconds * 1000),
        clock=clock,
    )
    small_files = SmallFiles()
    pictures = build_pictures(
        config=config,
        database=database,
        files=stores.files,
        small_files=small_files,
        spool=stores.spool,
        clock=clock,
    )

    async def make_thumbnails(uploaded: Uploaded) -> None:
        await pictures.thumbnails.expect(uploaded.file, uploaded.content_type)

    uploads = Uploads(
        database=database,
        files=stores.files,
        known=known,
        arrivals=arrivals,
        limits=_limits(config),
        server_name=server_name,
        clock=clock,
        random_bytes=token_bytes,
        follow=make_thumbnails,
    )
    sending = Sending(files=stores.files, executor=stores.executor, small_files=small_files)
    return Media(
        services=MediaServices(
            uploads=uploads,
            downloads=downloads,
            sending=sending,
            previews=pictures.previews,
            describing=Describing(database=database, files=stores.files, imaging=pictures.imaging),
            thumbnail_sending=ThumbnailSending(
                thumbnails=pictures.thumbnails, sending=sending, server_name=server_name
            ),
            links=Links(key=link_key, clock=clock),
            settings=config.media,
            clock=clock,
            authenticator=authenticator,
            rate_limits=rate_limits,
        ),
        stores=stores,
        upkeep=Upkeep(
            database=database,
            files=stores.files,
            downloads=downloads,
            settings=config.media,
            clock=clock,
        ),
        pictures=pictures,
    )


def _limits(config: Config) -> UploadLimits:
    settings = config.media
    return UploadLimits(
        max_bytes=config.storage.max_attachment_size_mb * _MIB,
        user_bytes=settings.quota_user_mb * _MIB,
        day_bytes=settings.quota_day_mb * _MIB,
        at_once=settings.uploads_at_once,
        pending=settings.pending_uploads,
        pending_ms=settings.pending_hours * _HOUR_MS,
    )
