"""Passing requests on to `foyer media`, and its answers back, bit by bit."""

from collections.abc import Iterable
from http import HTTPStatus

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from clientapi.middleware import ADDRESS, REQUEST_ID
from homeserver.errors import Unavailable

# RFC 9110, 7.6.1: what is said to the next hop alone. The others are said anew.
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "host",
        "x-forwarded-for",
        "x-request-id",
    }
)
_SAID_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CONNECT_S = 10.0
_MAX_CONNECTIONS = 1_000
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

log = structlog.get_logger(__name__)


class Relay:
    """url: of the media repository, as this process reaches it."""

    def __init__(self, *, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Raises Unavailable when nobody is there, or nobody answers."""
        try:
            async with self._open().request(
                request.method,
                URL(self._url + request.raw_path, encoded=True),
                headers=_request_headers(request),
                data=request.content if request.body_exists else None,
                skip_auto_headers=_SAID_BY_ITSELF,
                allow_redirects=False,
            ) as answer:
                return await _pass_back(request, answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("media_repository_away", reason=str(error))
            raise Unavailable("The media repository does not answer.") from error

    async def close(self, _application: web.Application) -> None:
        """Lets connections go."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
                auto_decompress=False,
            )
        return self._session


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """What fails once it has begun can be shown only by ending before the end."""
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=_passed(answer.headers)
    )
    await response.prepare(request)
    if request.method == "HEAD" or answer.status in _NO_BODY:
        return response
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, ConnectionError) as error:
        log.warning("media_cut_off", reason=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


def _request_headers(request: web.Request) -> CIMultiDict[str]:
    headers = _passed(request.headers)
    headers["X-Request-ID"] = request[REQUEST_ID]
    if ADDRESS in request:
        headers["X-Forwarded-For"] = request[ADDRESS]
    return headers


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    named = frozenset(_named(headers.getall("Connection", ())))
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in _NOT_PASSED_ON and name.lower() not in named
    )


def _named(lines: Iterable[str]) -> Iterable[str]:
    """RFC 9110, 7.6.1: headers that `Connection` names."""
    return (name.strip().lower() for line in lines for name in line.split(","))
