"""Files of the native protocol: `/api/attachments`. See schema/operations/attachments.py."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from aiohttp import BodyPartReader, web
from pydantic import ValidationError

from clientapi.errors import input_error
from clientapi.native.render import attachment
from clientapi.native.rest.endpoint import Callers, respond
from homeserver.attachments import AttachedFile
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from mediarepo.addresses import MediaAddress, parse_address
from mediarepo.content_repo import DEFAULT_TIMEOUT_MS
from mediarepo.imaging.sizes import Target, choose, requested
from mediarepo.receiving import body_of, part_of
from mediarepo.sending import PRIVATE
from mediarepo.services import MediaServices
from mediarepo.uploads import Upload, Uploaded
from schema.operations.attachments import GET_ATTACHMENT, UPLOAD_ATTACHMENT
from schema.wire.base import Query
from schema.wire.requests import NewAttachment, PictureSize

_MULTIPART = "multipart/form-data"
_PART = "file"
_UNNAMED = "file"

Q = TypeVar("Q", bound=Query)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AttachmentEndpoints:
    """Uploads and downloads of native clients."""

    def __init__(self, *, services: MediaServices) -> None:
        self._uploads = services.uploads
        self._downloads = services.downloads
        self._sending = services.sending
        self._describing = services.describing
        self._thumbnails = services.thumbnail_sending
        self._links = services.links
        self._rate_limits = services.rate_limits
        self._stalled_s = services.settings.stalled_seconds
        self._callers = Callers(
            authenticator=services.authenticator, rate_limits=services.rate_limits
        )

    async def upload_attachment(self, request: web.Request) -> web.StreamResponse:
        by = await self._callers.requester(request)
        uploaded = await self._upload(by, request)
        facts = await self._describing.describe(by, uploaded)
        file = AttachedFile(
            uri=uploaded.address.uri,
            filename=uploaded.filename or _UNNAMED,
            content_type=uploaded.content_type,
            size=uploaded.file.size,
            width=None if facts is None else facts.width,
            height=None if facts is None else facts.height,
            blurhash=None if facts is None else facts.blurhash,
        )
        return respond(UPLOAD_ATTACHMENT.status, attachment(file))

    async def get_attachment(self, request: web.Request) -> web.StreamResponse:
        by = await self._callers.requester(request)
        return await self._send(request, _address(request), by.user_nid)

    async def get_linked(self, request: web.Request) -> web.StreamResponse:
        """For those whom the homeserver sends here: a link in place of a token."""
        address = _address(request)
        user_nid = self._links.read(address, request.query.get("link", ""))
        self._rate_limits.request(user_nid)
        return await self._send(request, address, user_nid)

    async def _send(
        self, request: web.Request, address: MediaAddress, user_nid: int
    ) -> web.StreamResponse:
        target = _target(request)
        found, file = await self._downloads.find(address, timeout_ms=DEFAULT_TIMEOUT_MS)
        if target is None:
            return await self._sending.send(request, found, file)
        return await self._thumbnails.send(
            request, found, file, target, cache=PRIVATE, owner=user_nid
        )

    async def _upload(self, by: Requester, request: web.Request) -> Uploaded:
        if request.content_type == _MULTIPART:
            return await self._upload_part(by, request)
        return await self._uploads.upload(
            by,
            Upload(
                stream=body_of(request, stalled_s=self._stalled_s),
                length=request.content_length,
                content_type=request.headers.get("Content-Type"),
                filename=_filename(request),
            ),
        )

    async def _upload_part(self, by: Requester, request: web.Request) -> Uploaded:
        """Other parts before the file are passed over; what comes after it is not looked at."""
        async for part in _parts(request):
            if part.name == _PART:
                upload = Upload(
                    stream=part_of(part, stalled_s=self._stalled_s),
                    length=None,
                    content_type=part.headers.get("Content-Type"),
                    filename=part.filename,
                )
                return await self._uploads.upload(by, upload)
        raise InvalidInput("The form has no part called file.", field=_PART)


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader):
                yield part
    except (ValueError, AssertionError, RuntimeError) as error:
        raise InvalidInput("The form cannot be read.") from error


def _address(request: web.Request) -> MediaAddress:
    """Raises NotFound."""
    place = request.match_info
    return parse_address(place["server_name"], place["media_id"])


def _filename(request: web.Request) -> str | None:
    return _query(NewAttachment, request).filename


def _target(request: web.Request) -> Target | None:
    """The thumbnail that is asked for; None: the file itself. Raises InvalidInput."""
    asked = _query(PictureSize, request)
    if asked.width is None or asked.height is None:
        return None
    return choose(requested(asked.width, asked.height), asked.method, animated=asked.animated)


def _query(model: type[Q], request: web.Request) -> Q:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise input_error(error, what="query") from None


def add_native_routes(application: web.Application, services: MediaServices) -> None:
    endpoints = AttachmentEndpoints(services=services)
    router = application.router
    router.add_route("POST", UPLOAD_ATTACHMENT.path, endpoints.upload_attachment)
    for method in ("GET", "HEAD"):
        router.add_route(method, GET_ATTACHMENT.path, endpoints.get_attachment)


def add_linked_routes(
    application: web.Application, services: MediaServices, *, prefix: str
) -> None:
    """Downloads by link, where the homeserver sends its clients to (`media.public_url`)."""
    endpoints = AttachmentEndpoints(services=services)
    path = prefix + GET_ATTACHMENT.path.removeprefix(UPLOAD_ATTACHMENT.path)
    for method in ("GET", "HEAD"):
        application.router.add_route(method, path, endpoints.get_linked)
