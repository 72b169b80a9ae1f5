"""Previews of links, made when somebody first asks for them and kept for a while for all.

Source: C-S API v1.19 `getUrlPreviewAuthed`.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import structlog

from clientapi.rate_limits import TokenBuckets
from homeserver.clock import Clock
from homeserver.config.models import PreviewsConfig
from homeserver.errors import InvalidInput, LimitExceeded, NoPreview, Unavailable
from homeserver.identifiers import ServerName
from homeserver.requester import Requester
from homeserver.storage import media, url_previews
from homeserver.storage.database import Connection, Database
from homeserver.storage.media import NewMedia
from homeserver.storage.media_files import FileRecord
from homeserver.storage.url_previews import PreviewRecord
from mediarepo.addresses import MediaAddress, new_address
from mediarepo.coalescing import Once
from mediarepo.files import Files
from mediarepo.previews.fetching import FetchFailed, parse_url
from mediarepo.previews.looking import Looking, Picture, Seen

_MINUTE_S = 60
_HOUR_MS = 3_600_000
_MAX_FAILURE_MS = _HOUR_MS
_REMOVED_AT_ONCE = 1_000

log = structlog.get_logger(__name__)


class Previews:
    """What links lead to."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        looking: Looking,
        settings: PreviewsConfig,
        is_limited: bool,
        server_name: ServerName,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """is_limited: whether requests of people are counted at all."""
        self._database = database
        self._files = files
        self._looking = looking
        self._settings = settings
        self._is_limited = is_limited
        self._keep_ms = settings.keep_hours * _HOUR_MS
        self._server_name = server_name
        self._clock = clock
        self._random_bytes = random_bytes
        self._limits = TokenBuckets(
            per_second=settings.per_minute / _MINUTE_S, burst=settings.burst, clock=clock
        )
        self._making: Once[str, bytes | None] = Once()

    async def preview(self, by: Requester, address: str) -> bytes:
        """What there is at an address: a JSON object, perhaps an empty one.

        Every failure at the other end is the same error, for the differences would tell about the
        networks beside this server. Raises InvalidInput, LimitExceeded, NoPreview, Unavailable.
        """
        url = self._checked(address)
        async with self._database.connection() as db:
            kept = await url_previews.get(db, _hash(url), self._clock.now_ms())
        answer = await self._new(by, url) if kept is None else kept.answer
        if answer is None:
            raise NoPreview("Nothing could be found out about this address.")
        return answer

    async def sweep(self) -> None:
        """Removes what is too old, or too much. Raises Unavailable."""
        now_ms, keep = self._clock.now_ms(), self._settings.max_kept
        await self._remove(partial(url_previews.remove_expired, now_ms=now_ms))
        await self._remove(partial(url_previews.remove_all_but, keep=keep))

    async def close(self) -> None:
        """Gives up what is being made."""
        await self._making.close()

    async def _remove(self, remove: Callable[..., Awaitable[tuple[int, list[UUID]]]]) -> None:
        count = _REMOVED_AT_ONCE
        while count == _REMOVED_AT_ONCE:
            async with self._database.transaction() as db:
                count, pictures = await remove(db, limit=_REMOVED_AT_ONCE)
                await url_previews.remove_pictures(db, pictures, self._clock.now_ms())

    def _checked(self, address: str) -> str:
        try:
            return str(parse_url(address, self._settings.ports))
        except ValueError as error:
            raise InvalidInput(f"There are no previews of this address: {error}.") from None

    async def _new(self, by: Requester, url: str) -> bytes | None:
        if url not in self._making:
            self._check_limits(by)
        return await self._making.run(url, partial(self._make, url))

    def _check_limits(self, by: Requester) -> None:
        if self._is_limited and by.is_limited:
            wait_s = self._limits.take(by.user_nid)
            if wait_s:
                raise LimitExceeded(
                    "You ask for previews too fast.", retry_after_ms=round(wait_s * 1000)
                )
        if len(self._making) >= self._settings.max_concurrent:
            raise Unavailable("Too many previews are being made. Try again in a moment.")

    async def _make(self, url: str) -> bytes | None:
        async with AsyncExitStack() as stack:
            try:
                seen = await self._looking.look(url, stack)
            except FetchFailed as error:
                # Which links people send each other is nobody's business but theirs.
                log.debug("preview_failed", reason=str(error))
                await self._keep(url, None, None)
                return None
            return await self._keep_seen(url, seen)

    async def _keep_seen(self, url: str, seen: Seen) -> bytes:
        if seen.picture is None:
            answer = orjson.dumps(seen.properties)
            await self._keep(url, answer, None)
            return answer
        address = new_address(self._server_name, self._random_bytes)
        picture = seen.picture
        answer = orjson.dumps(seen.properties | _shown(picture, address))

        async def record(db: Connection, file: FileRecord) -> None:
            new = _new_media(picture, address, file)
            await media.insert(db, new, self._clock.now_ms())
            await self._put(db, url, answer, address.uuid)

        await self._files.store(picture.spooled, self._files.claiming(record))
        return answer

    async def _keep(self, url: str, answer: bytes | None, picture: UUID | None) -> None:
        async with self._database.transaction() as db:
            await self._put(db, url, answer, picture)

    async def _put(
        self, db: Connection, url: str, answer: bytes | None, picture: UUID | None
    ) -> None:
        now_ms = self._clock.now_ms()
        kept_ms = self._keep_ms if answer is not None else min(self._keep_ms, _MAX_FAILURE_MS)
        record = PreviewRecord(
            answer=answer, media_uuid=picture, created_at=now_ms, expires_at=now_ms + kept_ms
        )
        replaced = await url_previews.put(db, _hash(url), record)
        if replaced is not None:
            await url_previews.remove_pictures(db, [replaced], now_ms)


def _hash(url: str) -> bytes:
    return sha256(url.encode()).digest()


def _shown(picture: Picture, address: MediaAddress) -> dict[str, Any]:
    return {
        "og:image": address.uri,
        "og:image:type": picture.content_type,
        "og:image:width": picture.width,
        "og:image:height": picture.height,
        "matrix:image:size": picture.spooled.size,
    }


def _new_media(picture: Picture, address: MediaAddress, file: FileRecord) -> NewMedia:
    return NewMedia(
        origin=address.origin,
        media_id=address.media_id,
        user_nid=None,
        file=file,
        content_type=picture.content_type,
        filename=None,
        width=picture.width,
        height=picture.height,
    )
