"""The body of a request as a stream of bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import BodyPartReader, web

from homeserver.errors import InvalidInput

_PIECE_BYTES = 262_144
_CUT_OFF = (aiohttp.ClientError, ConnectionError, web.RequestPayloadError)


def body_of(request: web.Request, *, stalled_s: float) -> AsyncIterator[bytes]:
    """What comes, as it comes. stalled_s: how long to wait for more of it.

    Raises InvalidInput when it ends before its end.
    """
    content = request.content

    async def read_piece() -> bytes:
        data, _ = await content.readchunk()
        return data

    # Pieces of a body in chunks are as small as the client likes; those of others need no joining.
    read = content.readany if request.content_length is None else read_piece
    return _read(read, content.at_eof, stalled_s)


def part_of(part: BodyPartReader, *, stalled_s: float) -> AsyncIterator[bytes]:
    """The same of a part of a form."""

    async def read() -> bytes:
        return bytes(await part.read_chunk(_PIECE_BYTES))

    return _read(read, part.at_eof, stalled_s)


async def _read(
    read: Callable[[], Awaitable[bytes]], at_eof: Callable[[], bool], stalled_s: float
) -> AsyncIterator[bytes]:
    try:
        while not at_eof():
            async with asyncio.timeout(stalled_s):
                chunk = await read()
            if chunk:
                yield chunk
    except TimeoutError:
        raise InvalidInput("The upload has stalled.") from None
    except _CUT_OFF:
        raise InvalidInput("The upload was cut off.") from None
