"""Serving a file, whole or in part, bit by bit."""

from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from http import HTTPStatus

import structlog
from aiohttp import web

from homeserver.errors import StoreUnavailable
from homeserver.storage.media import MediaRecord
from homeserver.storage.media_files import FileRecord
from mediarepo.addresses import no_such_media
from mediarepo.files import Files
from mediarepo.headers import SAFE, disposition
from mediarepo.ranges import NotSatisfiable, Span, is_unchanged, wanted_span
from mediarepo.store import Missing

PRIVATE = "private, max-age=31536000, immutable"
"""For those who showed a token. What an address names never changes."""
PUBLIC = "public, max-age=86400, immutable"

_MS = 1_000

log = structlog.get_logger(__name__)


class Sending:
    """Files as answers."""

    def __init__(self, *, files: Files) -> None:
        self._files = files

    async def send(
        self,
        request: web.Request,
        found: MediaRecord,
        file: FileRecord,
        *,
        filename: str | None = None,
        cache: str = PRIVATE,
    ) -> web.StreamResponse:
        """Answers with what was found. filename: instead of its own.

        Raises NotFound for a file that is lost, StoreUnavailable.
        """
        name = found.filename if filename is None else filename
        headers = {
            "Content-Type": found.content_type,
            "Content-Disposition": disposition(found.content_type, name),
            "Cache-Control": cache,
        }
        return await self.send_file(
            request, file, headers, modified_ms=found.uploaded_at or found.created_at
        )

    async def send_file(
        self,
        request: web.Request,
        file: FileRecord,
        headers: Mapping[str, str],
        *,
        modified_ms: int,
    ) -> web.StreamResponse:
        """Answers with a file, or with the part of it that is asked for. Raises as `send` does."""
        etag = f'"{file.sha256.hex()}"'
        everything = {
            **SAFE,
            **headers,
            "ETag": etag,
            "Last-Modified": formatdate(modified_ms // _MS, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if is_unchanged(request.headers, etag, modified_ms):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=everything)
        try:
            span = wanted_span(request.headers, file.size, etag, modified_ms)
        except NotSatisfiable:
            return _not_satisfiable(file.size)
        return await self._send_span(request, file, everything, span)

    async def _send_span(
        self, request: web.Request, file: FileRecord, headers: dict[str, str], span: Span | None
    ) -> web.StreamResponse:
        status = HTTPStatus.OK
        if span is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
        start, end = (0, file.size) if span is None else (span.start, span.end)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = end - start
        if request.method == "HEAD" or start == end:
            await response.prepare(request)
            return response
        chunks = self._files.open(file, start=start, end=end)
        try:
            # An error can be told only as long as nothing was sent.
            first = await anext(chunks)
        except (Missing, StopAsyncIteration) as error:
            log.exception("media_file_missing", sha256=file.sha256.hex(), store=file.store)
            raise no_such_media() from error
        await response.prepare(request)
        await _write(request, response, first, chunks)
        return response


async def _write(
    request: web.Request,
    response: web.StreamResponse,
    first: bytes,
    chunks: AsyncIterator[bytes],
) -> None:
    """What fails now can be shown only by ending before the end."""
    try:
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return
    except StoreUnavailable as error:
        log.warning("media_cut_off", reason=str(error))
        if request.transport is not None:
            request.transport.abort()


def _not_satisfiable(size: int) -> web.Response:
    """RFC 9110, 15.5.17."""
    return web.Response(
        status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        headers={**SAFE, "Content-Range": f"bytes */{size}", "Cache-Control": "no-store"},
    )
