"""Downloads for those with a token. Source: authed-content-repo.yaml, v1.19."""

from collections.abc import Iterator

from aiohttp import web

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Query, Reply, Route
from homeserver.errors import MissingToken
from homeserver.requester import Requester
from mediarepo.addresses import MediaAddress
from mediarepo.content_repo import DEFAULT_TIMEOUT_MS, address_of
from mediarepo.preview_endpoint import PreviewEndpoint, PreviewQuery
from mediarepo.sending import PRIVATE
from mediarepo.services import MediaServices
from mediarepo.thumbnail_sending import ThumbnailQuery


class Download(Query):
    """How long the file may take to be uploaded. link: in place of a token."""

    timeout_ms: int = DEFAULT_TIMEOUT_MS
    link: str | None = None


class AuthedThumbnailQuery(ThumbnailQuery):
    """link: in place of a token."""

    link: str | None = None


class AuthedContentRepo:
    """Files for people of this server, guests included."""

    def __init__(self, *, services: MediaServices) -> None:
        self._uploads = services.uploads
        self._downloads = services.downloads
        self._sending = services.sending
        self._thumbnails = services.thumbnail_sending
        self._links = services.links
        self._rate_limits = services.rate_limits
        self._previews = PreviewEndpoint(previews=services.previews, settings=services.settings)

    async def get_content_authed(
        self, call: Call[Download, NoBody], by: Requester | None, request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, by, request, None)

    async def get_content_override_name_authed(
        self, call: Call[Download, NoBody], by: Requester | None, request: web.Request
    ) -> web.StreamResponse:
        return await self._send(call, by, request, call.parameters["fileName"])

    async def get_content_thumbnail_authed(
        self,
        call: Call[AuthedThumbnailQuery, NoBody],
        by: Requester | None,
        request: web.Request,
    ) -> web.StreamResponse:
        target = call.query.target
        address = address_of(call)
        owner = self._reader(address, by, call.query.link)
        found, file = await self._downloads.find(address, timeout_ms=call.query.timeout_ms)
        return await self._thumbnails.send(request, found, file, target, cache=PRIVATE, owner=owner)

    async def get_url_preview_authed(
        self, call: Call[PreviewQuery, NoBody], by: Requester
    ) -> Reply:
        return await self._previews.answer(call, by)

    async def get_config_authed(self, _call: Call[NoQuery, NoBody], _by: Requester) -> Json:
        return {"m.upload.size": self._uploads.max_bytes}

    async def _send(
        self,
        call: Call[Download, NoBody],
        by: Requester | None,
        request: web.Request,
        filename: str | None,
    ) -> web.StreamResponse:
        address = address_of(call)
        self._reader(address, by, call.query.link)
        found, file = await self._downloads.find(address, timeout_ms=call.query.timeout_ms)
        return await self._sending.send(request, found, file, filename=filename)

    def _reader(self, address: MediaAddress, by: Requester | None, link: str | None) -> int:
        """Who asks, by a token or by a link: a `user_nid`. Raises MissingToken, NotAllowed."""
        if by is not None:
            return by.user_nid
        if link is None:
            raise MissingToken("An access token is missing: send it as Authorization: Bearer.")
        user_nid = self._links.read(address, link)
        self._rate_limits.request(user_nid)
        return user_nid


def routes(services: MediaServices) -> Iterator[Route]:
    repo = AuthedContentRepo(services=services)
    for path, run in (
        ("v1/media/download/{serverName}/{mediaId}", repo.get_content_authed),
        (
            "v1/media/download/{serverName}/{mediaId}/{fileName}",
            repo.get_content_override_name_authed,
        ),
    ):
        yield Route(
            method="GET",
            path=path,
            run=run,
            query=Download,
            auth=Auth.OPTIONAL,
            guests=True,
            streams=True,
        )
    yield Route(
        method="GET",
        path="v1/media/thumbnail/{serverName}/{mediaId}",
        run=repo.get_content_thumbnail_authed,
        query=AuthedThumbnailQuery,
        auth=Auth.OPTIONAL,
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
