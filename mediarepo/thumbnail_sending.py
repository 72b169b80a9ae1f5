"""Thumbnails as answers. Source: C-S API v1.19 "Thumbnails"; `getContentThumbnailAuthed`."""

from aiohttp import web

from clientapi.matrix.endpoint import Query
from homeserver.errors import ImageTooLarge, NotFound, RemoteTooLarge
from homeserver.identifiers import ServerName
from homeserver.storage.media import MediaRecord
from homeserver.storage.media_files import FileRecord
from mediarepo.headers import disposition
from mediarepo.imaging.imaging import NOBODY
from mediarepo.imaging.sizes import Method, Target, choose, requested
from mediarepo.sending import Sending
from mediarepo.thumbnails import Thumbnail, Thumbnails

DEFAULT_TIMEOUT_MS = 20_000
"""C-S API v1.19 `timeout_ms`."""


class ThumbnailQuery(Query):
    """What is wanted. animated: none that moves unless it is asked for."""

    width: int
    height: int
    method: Method = "scale"
    animated: bool = False
    timeout_ms: int = DEFAULT_TIMEOUT_MS

    @property
    def target(self) -> Target:
        """Raises InvalidInput."""
        return choose(requested(self.width, self.height), self.method, animated=self.animated)


class OpenThumbnailQuery(ThumbnailQuery):
    """`allow_redirect` changes nothing: this server sends every file itself."""

    allow_remote: bool = True


class ThumbnailSending:
    """Answers with thumbnails of what was found."""

    def __init__(
        self, *, thumbnails: Thumbnails, sending: Sending, server_name: ServerName
    ) -> None:
        self._thumbnails = thumbnails
        self._sending = sending
        self._server_name = server_name

    async def send(
        self,
        request: web.Request,
        found: MediaRecord,
        picture: FileRecord,
        target: Target,
        *,
        cache: str,
        owner: int = NOBODY,
    ) -> web.StreamResponse:
        """cache: a `Cache-Control` header. owner: who asks (a `user_nid`).

        Raises NotAnImage, ImageTooLarge, ImagingFailed; RemoteTooLarge; LimitExceeded, Unavailable;
        NotFound when the file is lost.
        """
        thumbnail = await self._of(found, picture, target, owner)
        try:
            return await self._send(request, thumbnail, cache)
        except NotFound:
            # It was swept after it had been looked up; the row is gone as well.
            self._thumbnails.forget(picture, target)
            thumbnail = await self._of(found, picture, target, owner)
            return await self._send(request, thumbnail, cache)

    async def _of(
        self, found: MediaRecord, picture: FileRecord, target: Target, owner: int
    ) -> Thumbnail:
        try:
            return await self._thumbnails.of(picture, target, owner=owner)
        except ImageTooLarge as error:
            if found.origin == self._server_name:
                raise
            raise RemoteTooLarge(str(error)) from error

    async def _send(
        self, request: web.Request, thumbnail: Thumbnail, cache: str
    ) -> web.StreamResponse:
        headers = {
            "Content-Type": thumbnail.content_type,
            "Content-Disposition": _disposition(thumbnail.content_type),
            "Cache-Control": cache,
        }
        return await self._sending.send_file(
            request, thumbnail.file, headers, modified_ms=thumbnail.created_at
        )


def _disposition(content_type: str) -> str:
    """`inline; filename=thumbnail.png`."""
    return disposition(content_type, f"thumbnail.{content_type.rpartition('/')[2]}")
