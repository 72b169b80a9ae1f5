"""The body of a request as a stream of bytes."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from homeserver.errors import InvalidInput

_CUT_OFF = (aiohttp.ClientError, ConnectionError, web.RequestPayloadError)


async def body_of(request: web.Request, *, stalled_s: float) -> AsyncIterator[bytes]:
    """What comes, as it comes. stalled_s: how long to wait for more of it.

    Raises InvalidInput when it ends before its end.
    """
    content = request.content
    try:
        while not content.at_eof():
            async with asyncio.timeout(stalled_s):
                chunk = await content.readany()
            if chunk:
                yield chunk
    except TimeoutError:
        raise InvalidInput("The upload has stalled.") from None
    except _CUT_OFF:
        raise InvalidInput("The upload was cut off.") from None
