"""Downloads for those with a token. Source: authed-content-repo.yaml, v1.19."""

from collections.abc import Iterator

from aiohttp import web

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Query, Reply, Route
from homeserver.requester import Requester
from mediarepo.content_repo import DEFAULT_TIMEOUT_MS, address_of
from mediarepo.preview_endpoint import PreviewEndpoint, PreviewQuery
from mediarepo.sending import PRIVATE
from mediarepo.services import MediaServices
from mediarepo.thumbnail_sending import ThumbnailQuery


class Download(Query):
    """How long the file may take to be uploaded."""

    timeout_ms: int = DEFAULT_TIMEOUT_MS


class AuthedContentRepo:
    """Files for people of this server, guests included."""

    def __init__(self, *, services: MediaServices) -> None:
        self._uploads = services.uploads
        self._downloads = services.downloads
        self._sending = services.sending
        self._thumbnails = services.thumbnail_sending
        self._previews = PreviewEndpoint(previews=services.previews, settings=services.settings)

    async def get_content_authed(
        self, call: Call[Download, NoBody], _by: Requester, request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, request, None)

    async def get_content_override_name_authed(
        self, call: Call[Download, NoBody], _by: Requester, request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, request, call.parameters["fileName"])

    async def get_content_thumbnail_authed(
        self, call: Call[ThumbnailQuery, NoBody], by: Requester, request: web.Request
    ) -> web.StreamResponse:
        target = call.query.target
        found, file = await self._downloads.find(address_of(call), timeout_ms=call.query.timeout_ms)
        return await self._thumbnails.send(
            request, found, file, target, cache=PRIVATE, owner=by.user_nid
        )

    async def get_url_preview_authed(
        self, call: Call[PreviewQuery, NoBody], by: Requester
    ) -> Reply:
        return await self._previews.answer(call, by)

    async def get_config_authed(self, _call: Call[NoQuery, NoBody], _by: Requester) -> Json:
        return {"m.upload.size": self._uploads.max_bytes}

    async def _send(
        self, call: Call[Download, NoBody], request: web.Request, filename: str | None
    ) -> web.StreamResponse:
        found, file = await self._downloads.find(address_of(call), timeout_ms=call.query.timeout_ms)
        return await self._sending.send(request, found, file, filename=filename)


def routes(services: MediaServices) -> Iterator[Route]:
    repo = AuthedContentRepo(services=services)
    for path, run in (
        ("v1/media/download/{serverName}/{mediaId}", repo.get_content_authed),
        (
            "v1/media/download/{serverName}/{mediaId}/{fileName}",
            repo.get_content_override_name_authed,
        ),
    ):
        yield Route(method="GET", path=path, run=run, query=Download, guests=True, streams=True)
    yield Route(
        method="GET",
        path="v1/media/thumbnail/{serverName}/{mediaId}",
        run=repo.get_content_thumbnail_authed,
        query=ThumbnailQuery,
        guests=True,
        streams=True,
    )
    yield Route(
        method="GET",
        path="v1/media/preview_url",
        run=repo.get_url_preview_authed,
        query=PreviewQuery,
    )
    yield Route(method="GET", path="v1/media/config", run=repo.get_config_authed, guests=True)
