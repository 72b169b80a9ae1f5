"""Uploads, and the deprecated downloads without a token. Source: content-repo.yaml, v1.19."""

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from pydantic import Field

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Query, Reply, Route
from homeserver.requester import Requester
from homeserver.storage.media import MediaRecord
from homeserver.storage.media_files import FileRecord
from mediarepo.addresses import MediaAddress, no_such_media, parse_address
from mediarepo.preview_endpoint import PreviewEndpoint, PreviewQuery
from mediarepo.receiving import body_of
from mediarepo.sending import PUBLIC
from mediarepo.services import MediaServices
from mediarepo.thumbnail_sending import OpenThumbnailQuery
from mediarepo.uploads import Upload

DEFAULT_TIMEOUT_MS = 20_000
"""C-S API v1.19 `timeout_ms`."""


class UploadQuery(Query):
    """What the file is called."""

    filename: str | None = None


class OpenDownload(Query):
    """`allow_redirect` changes nothing: this server sends every file itself."""

    allow_remote: bool = True
    timeout_ms: int = Field(default=DEFAULT_TIMEOUT_MS)


class ContentRepo:
    """Uploads by everybody with an account, and downloads by everybody where they are allowed."""

    def __init__(self, *, services: MediaServices) -> None:
        self._uploads = services.uploads
        self._downloads = services.downloads
        self._sending = services.sending
        self._thumbnails = services.thumbnail_sending
        self._settings = services.settings
        self._previews = PreviewEndpoint(previews=services.previews, settings=services.settings)

    async def upload_content(
        self, call: Call[UploadQuery, NoBody], by: Requester, request: web.Request
    ) -> Json:
        uploaded = await self._uploads.upload(by, self._upload(call, request))
        return {"content_uri": uploaded.address.uri}

    async def create_content(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        pending = await self._uploads.create(by)
        return {"content_uri": pending.address.uri, "unused_expires_at": pending.expires_at}

    async def upload_content_to_mxc(
        self, call: Call[UploadQuery, NoBody], by: Requester, request: web.Request
    ) -> Json:
        await self._uploads.upload_to(by, address_of(call), self._upload(call, request))
        return {}

    async def get_content(
        self, call: Call[OpenDownload, NoBody], request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, request, None)

    async def get_content_override_name(
        self, call: Call[OpenDownload, NoBody], request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, request, call.parameters["fileName"])

    async def get_content_thumbnail(
        self, call: Call[OpenThumbnailQuery, NoBody], request: web.Request
    ) -> web.StreamResponse:
        target = call.query.target
        found, file = await self._find(address_of(call), call.query)
        return await self._thumbnails.send(request, found, file, target, cache=PUBLIC)

    async def get_url_preview(self, call: Call[PreviewQuery, NoBody], by: Requester) -> Reply:
        return await self._previews.answer(call, by)

    async def get_config(self, _call: Call[NoQuery, NoBody], _by: Requester) -> Json:
        return {"m.upload.size": self._uploads.max_bytes}

    async def _send(
        self, call: Call[OpenDownload, NoBody], request: web.Request, filename: str | None
    ) -> web.StreamResponse:
        found, file = await self._find(address_of(call), call.query)
        return await self._sending.send(request, found, file, filename=filename, cache=PUBLIC)

    async def _find(
        self, address: MediaAddress, query: OpenDownload | OpenThumbnailQuery
    ) -> tuple[MediaRecord, FileRecord]:
        """What may be had without a token. Raises as `Downloads.find` does."""
        if not self._settings.unauthenticated:
            raise no_such_media()
        found, file = await self._downloads.find(
            address, timeout_ms=query.timeout_ms, allow_remote=query.allow_remote
        )
        if is_frozen(self._settings.frozen_at_ms, found):
            raise no_such_media()
        return found, file

    def _upload(self, call: Call[UploadQuery, NoBody], request: web.Request) -> Upload:
        return Upload(
            stream=body_of(request, stalled_s=self._settings.stalled_seconds),
            length=request.content_length,
            content_type=request.headers.get("Content-Type"),
            filename=call.query.filename,
        )


def is_frozen(frozen_at_ms: int | None, found: MediaRecord) -> bool:
    """C-S API v1.19 "Client behaviour": what came after the freeze needs a token."""
    came_at = found.created_at if found.uploaded_at is None else found.uploaded_at
    return frozen_at_ms is not None and came_at >= frozen_at_ms


def address_of(call: Call[Any, NoBody]) -> MediaAddress:
    """Raises NotFound."""
    return parse_address(call.parameters["serverName"], call.parameters["mediaId"])


def routes(services: MediaServices) -> Iterator[Route]:
    """Version 3, and the older ones under which the same endpoints were once served."""
    repo = ContentRepo(services=services)
    base = "/_matrix/media/v3"

    def older(path: str) -> tuple[str, ...]:
        return f"/_matrix/media/r0{path}", f"/_matrix/media/v1{path}"

    yield Route(
        method="POST",
        path=f"{base}/upload",
        run=repo.upload_content,
        query=UploadQuery,
        streams=True,
        unstable=older("/upload"),
    )
    yield Route(
        method="PUT",
        path=f"{base}/upload/{{serverName}}/{{mediaId}}",
        run=repo.upload_content_to_mxc,
        query=UploadQuery,
        streams=True,
    )
    yield Route(method="POST", path="/_matrix/media/v1/create", run=repo.create_content)
    for name, run in (
        ("/download/{serverName}/{mediaId}", repo.get_content),
        ("/download/{serverName}/{mediaId}/{fileName}", repo.get_content_override_name),
    ):
        yield Route(
            method="GET",
            path=f"{base}{name}",
            run=run,
            query=OpenDownload,
            auth=Auth.NONE,
            streams=True,
            unstable=older(name),
        )
    yield Route(
        method="GET",
        path=f"{base}/thumbnail/{{serverName}}/{{mediaId}}",
        run=repo.get_content_thumbnail,
        query=OpenThumbnailQuery,
        auth=Auth.NONE,
        streams=True,
        unstable=older("/thumbnail/{serverName}/{mediaId}"),
    )
    yield Route(
        method="GET",
        path=f"{base}/preview_url",
        run=repo.get_url_preview,
        query=PreviewQuery,
        unstable=older("/preview_url"),
    )
    yield Route(method="GET", path=f"{base}/config", run=repo.get_config, unstable=older("/config"))
