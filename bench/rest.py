"""A lean HTTP client: one connection that is kept, one request at a time, answers with a length or
in chunks.

A general client costs the load generator more CPU time than the request costs the server.
"""

import asyncio
import re
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import orjson

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_STATUS = slice(9, 12)


class Refused(Exception):
    """An answer that is no success."""


class Answer(NamedTuple):
    status: int
    body: bytes


class RESTClient(asyncio.Protocol):
    """A connection to a server's REST interface, as somebody with an access token or as nobody."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, *self._address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._transport is not None:
            self._transport.close()

    async def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """The parsed answer. Raises Refused, OSError."""
        sent = b"" if body is None else orjson.dumps(body)
        answer = await self.request(head(method, path, token), sent)
        if answer.status >= 300:
            raise Refused(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return orjson.loads(answer.body) if answer.body else None

    async def request(self, request_head: bytes, body: bytes) -> Answer:
        """request_head: from `head`, so that it can be made once for many requests."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionResetError("the server hung up")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (request_head, len(body), body))
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave as asyncio's, but do not descend from them.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        begin = end + len(_END_OF_HEAD)
        body = _body(self._received, end, begin)
        if body is None:
            return
        status = int(self._received[_STATUS])
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server hung up"))


def _body(received: bytes, end: int, begin: int) -> bytes | None:
    """end: of the head; begin: of the body. None: there is more to come."""
    if _CHUNKED.search(received, 0, end):
        # The end of the last chunk cannot stand in JSON, which has no line breaks in its text.
        return _joined(received[begin:]) if received.endswith(_LAST_CHUNK, begin - 2) else None
    length = _LENGTH.search(received, 0, end)
    body = received[begin:]
    return body if len(body) >= (int(length[1]) if length else 0) else None


def _joined(chunks: bytes) -> bytes:
    """What the chunks hold together."""
    parts, place = [], 0
    while True:
        line_end = chunks.index(b"\r\n", place)
        size = int(chunks[place:line_end].partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        begin = line_end + 2
        parts.append(chunks[begin : begin + size])
        place = begin + size + 2


def head(method: str, path: str, token: str = "") -> bytes:
    """The head of a request, but for the length of its body."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    return "".join(f"{line}\r\n" for line in lines).encode()
