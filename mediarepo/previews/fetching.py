"""Asks other sites for pages and pictures, on behalf of people who may mean harm by it.

Whoever chooses a link chooses the host, and whoever owns the host chooses the addresses, the
redirects and every byte of the answer. So the address of each connection is checked at the moment
when its socket is made, whatever the name meant a moment before; redirects are followed by hand;
what comes is counted before and after it is unpacked.
"""

import asyncio
import errno
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mediarepo.previews import robots
from mediarepo.previews.addresses import AddressPolicy
from mediarepo.previews.page import Robots

USER_AGENT = "Foyer (link previews)"
MAX_URL_CHARS = 2_048

_MAX_REDIRECTS = 5
_MAX_CONNECTIONS = 100
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RESOLVER_THREADS = 8
_GZIP = 16 + zlib.MAX_WBITS
_PLAIN = frozenset({"", "identity"})
_PACKED = frozenset({"gzip", "x-gzip"})
_PIECE_BYTES = 65_536

Resolve = Callable[[str, int], Awaitable[Sequence[tuple[int, str]]]]
"""Families and addresses of a host. Raises OSError."""


class FetchFailed(Exception):
    """Nothing was fetched. Its sentence is for logs: it may tell of networks beside the server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a site sends. url: where the redirects led to. content_type: without parameters.

    chunks: the body, unpacked; FetchFailed may end it.
    """

    url: str
    content_type: str
    charset: str | None
    robots: Robots
    chunks: AsyncIterator[bytes]


def parse_url(text: str, ports: Sequence[int]) -> URL:
    """An address that may be asked, without its fragment. Raises ValueError."""
    if len(text) > MAX_URL_CHARS:
        raise ValueError("it is too long")
    url = URL(text).with_fragment(None)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("it is no http or https address")
    if url.user is not None or url.password is not None:
        raise ValueError("it contains a name or a password")
    if url.port not in ports:
        raise ValueError("its port is none that is asked")
    return url


class Fetcher:
    """Asks. resolve: finds the addresses of a host; the system's way by default."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        ports: Sequence[int],
        accept_language: str,
        timeout_s: float,
        resolve: Resolve | None = None,
    ) -> None:
        self._policy = policy
        self._ports = ports
        self._timeout_s = timeout_s
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept-Language": accept_language,
            "Accept-Encoding": "gzip",
        }
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, "resolver")
        self._resolve = resolve or self._ask_system
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(self, address: str, *, accept: str) -> AsyncIterator[Answer]:
        """The answer at an address, as long as the block lasts. accept: an `Accept` header.

        Raises FetchFailed for whatever is wrong with it, other statuses than 200 included.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._followed(address, accept) as answer:
                yield answer
        except TimeoutError as error:
            raise FetchFailed(f"{address} took too long") from error
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise FetchFailed(f"{address}: {error!r}") from error

    @asynccontextmanager
    async def _followed(self, address: str, accept: str) -> AsyncIterator[Answer]:
        url = parse_url(address, self._ports)
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._get(url, accept) as response:
                if response.status not in _REDIRECTS:
                    yield _answer(url, response)
                    return
                url = parse_url(str(url.join(_location(response))), self._ports)
        raise FetchFailed(f"{address} leads on and on")

    def _get(self, url: URL, accept: str) -> Any:
        if self._session is None:
            self._session = self._new_session()
        headers = {**self._headers, "Accept": accept}
        return self._session.get(url, headers=headers, allow_redirects=False)

    def _new_session(self) -> aiohttp.ClientSession:
        """Each request has a connection of its own, and nothing is remembered."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(resolve=self._resolve, policy=self._policy),
                use_dns_cache=False,
                force_close=True,
                limit=_MAX_CONNECTIONS,
                socket_factory=self._socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )

    def _socket(self, info: Any) -> socket.socket:
        """The last moment before a connection: what is checked here is what is connected to."""
        family, kind, protocol, _, address = info
        if not self._policy.permits_text(address[0]):
            raise OSError(errno.EACCES, "is not asked", address[0])
        return socket.socket(family, kind, protocol)

    async def _ask_system(self, host: str, port: int) -> Sequence[tuple[int, str]]:
        """In threads of its own: a name server that does not answer holds nobody else up."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [(family, str(address[0])) for family, _, _, _, address in found]


class _Resolver(AbstractResolver):
    """Of the addresses of a host those that may be asked."""

    def __init__(self, *, resolve: Resolve, policy: AddressPolicy) -> None:
        self._resolve = resolve
        self._policy = policy

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        permitted = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for family, address in await self._resolve(host, port)
            if self._policy.permits_text(address)
        ]
        if not permitted:
            raise OSError(errno.EACCES, "has no address that is asked", host)
        return permitted

    async def close(self) -> None:
        """There is nothing to close."""


def _location(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    if not location or len(location) > MAX_URL_CHARS:
        raise ValueError("a redirect to nowhere")
    return URL(location)


def _answer(url: URL, response: aiohttp.ClientResponse) -> Answer:
    if response.status != HTTPStatus.OK:
        raise FetchFailed(f"{url}: status {response.status}")
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _PLAIN | _PACKED:
        raise FetchFailed(f"{url}: Content-Encoding {encoding!r}")
    chunks = response.content.iter_any()
    return Answer(
        url=str(url),
        content_type=response.content_type.lower(),
        charset=response.charset,
        robots=robots.of_headers(response.headers.getall("X-Robots-Tag", [])),
        chunks=_unpacked(chunks) if encoding in _PACKED else chunks,
    )


async def read(answer: Answer, *, max_bytes: int, cut: bool = False) -> bytes:
    """The body, or with `cut` as much of it as may be. Raises FetchFailed for one that is larger.

    max_bytes: of the unpacked body.
    """
    body = bytearray()
    async for chunk in answer.chunks:
        body += chunk
        if len(body) > max_bytes and not cut:
            raise FetchFailed(f"{answer.url} is too large")
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


async def _unpacked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """In pieces that are small, whatever a piece of what is packed holds.

    What is packed may at no time be more than what came out of it and one piece: nobody packs like
    that, but for keeping others busy.
    """
    unpacker = zlib.decompressobj(_GZIP)
    came = left = 0
    async for packed in chunks:
        came += len(packed)
        waiting = packed
        while waiting and not unpacker.eof:
            piece = unpacker.decompress(waiting, _PIECE_BYTES)
            waiting = unpacker.unconsumed_tail
            left += len(piece)
            if piece:
                yield piece
        if came > left + _PIECE_BYTES:
            raise FetchFailed("a packed body without content")
        if unpacker.eof:
            return
