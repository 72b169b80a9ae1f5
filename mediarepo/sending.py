"""Serving a file, whole or in part, bit by bit."""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from email.utils import formatdate
from functools import partial
from http import HTTPStatus

import structlog
from aiohttp import web

from homeserver.errors import StoreUnavailable
from homeserver.storage.media import MediaRecord
from homeserver.storage.media_files import FileRecord
from mediarepo.addresses import no_such_media
from mediarepo.files import Files
from mediarepo.headers import SAFE, disposition
from mediarepo.passage import Ended, Passage, flushed, plain_socket
from mediarepo.ranges import NotSatisfiable, Span, is_unchanged, wanted_span
from mediarepo.small_files import LARGEST_BYTES, SmallFiles
from mediarepo.store import Missing
from mediarepo.store.store import CHUNK_BYTES

PRIVATE = "private, max-age=31536000, immutable"
"""For those who showed a token. What an address names never changes."""
PUBLIC = "public, max-age=86400, immutable"

_MS = 1_000

log = structlog.get_logger(__name__)


class Sending:
    """Files as answers. executor: threads that wait for the disk."""

    def __init__(self, *, files: Files, executor: Executor, small_files: SmallFiles) -> None:
        self._files = files
        self._executor = executor
        self._small_files = small_files

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
        part = span or Span(0, file.size)
        try:
            if 0 < file.size <= LARGEST_BYTES:
                body = (await self._small_file(file))[part.start : part.end]
                return web.Response(status=status, headers=headers, body=body)
            response = web.StreamResponse(status=status, headers=headers)
            response.content_length = part.end - part.start
            await self._send_large(request, response, file, part)
        except (Missing, StopAsyncIteration) as error:
            log.exception("media_file_missing", sha256=file.sha256.hex(), store=file.store)
            raise no_such_media() from error
        return response

    async def _small_file(self, file: FileRecord) -> bytes:
        """Raises Missing, StoreUnavailable."""
        data = self._small_files.get(file.sha256)
        if data is None:
            data = b"".join([chunk async for chunk in self._files.open(file, end=file.size)])
            if len(data) != file.size:
                raise Missing("The file is shorter than it was.")
            self._small_files.put(file.sha256, data)
        return data

    async def _send_large(
        self,
        request: web.Request,
        response: web.StreamResponse,
        file: FileRecord,
        part: Span,
    ) -> None:
        """Raises Missing, StopAsyncIteration, StoreUnavailable: as long as nothing was sent."""
        length = part.end - part.start
        if request.method == "HEAD" or length == 0:
            await response.prepare(request)
            return
        connection = plain_socket(request.transport)
        if connection is not None and length > CHUNK_BYTES:
            async with self._files.descriptor(file) as descriptor:
                if descriptor is not None:
                    await response.prepare(request)
                    await self._pass_on(request, response, Passage(descriptor, connection, part))
                    return
        chunks = self._files.open(file, start=part.start, end=part.end)
        first = await anext(chunks)
        await response.prepare(request)
        await _write(request, response, first, chunks)

    async def _pass_on(
        self,
        request: web.Request,
        response: web.StreamResponse,
        passage: Passage,
    ) -> None:
        """What fails now can be shown only by ending before the end."""
        try:
            await flushed(request)
            await passage.run(self._executor, is_closed=partial(_is_closed, request))
            await response.write_eof()
        except ConnectionError:
            _hang_up(request)
        except (Ended, OSError) as error:
            log.warning("media_cut_off", reason=repr(error))
            _hang_up(request)


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
        _hang_up(request)


def _is_closed(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _not_satisfiable(size: int) -> web.Response:
    """RFC 9110, 15.5.17."""
    return web.Response(
        status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        headers={**SAFE, "Content-Range": f"bytes */{size}", "Cache-Control": "no-store"},
    )
