"""A lean WebSocket client: whole text frames in and out, pings answered; no more of RFC 6455."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from secrets import token_bytes
from typing import cast

_FINAL = 0x80
_MASKED = 0x80
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_MASK = bytes(4)  # leaves the payload as it is, which is a mask too (5.3)
_END_OF_HEAD = b"\r\n\r\n"

OnText = Callable[[bytes], None]


class WebSocketRefused(Exception):
    """The server did not switch protocols."""


class WebSocketClient(asyncio.Protocol):
    """on_text: called with the payload of each text frame, as it arrives.

    close_code: why the server closed the connection; None while it is open.
    """

    __slots__ = ("_on_text", "_opened", "_received", "_request", "_transport", "close_code")

    def __init__(self, *, path: str, token: str, on_text: OnText) -> None:
        self._request = _handshake(path, token)
        self._on_text = on_text
        self._received = b""
        self._opened: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self.close_code: int | None = None

    async def opened(self) -> None:
        """Waits for the handshake. Raises WebSocketRefused, OSError."""
        if self._opened is not None:
            await self._opened

    def send(self, payload: bytes) -> None:
        """A text frame."""
        self._send(_TEXT, payload)

    def abort(self) -> None:
        """Ends the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave as asyncio's, but do not descend from them.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
            self._received = b""
        if self._opened is not None:
            begin = self._answered(data)
            if begin is None:
                return
        else:
            begin = 0
        self._take_frames(data, begin)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.close_code is None:
            self.close_code = 1006  # 7.1.5: no close frame came
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("the server hung up"))

    def _answered(self, data: bytes) -> int | None:
        """Where the frames begin in the answer to the handshake; None before all of it came."""
        assert self._opened is not None
        end = data.find(_END_OF_HEAD)
        if end < 0:
            self._received = data
            return None
        if data.startswith(b"HTTP/1.1 101 "):
            self._opened.set_result(None)
            self._opened = None
        else:
            self._opened.set_exception(WebSocketRefused(data.decode(errors="replace")))
        return end + len(_END_OF_HEAD)

    def _take_frames(self, data: bytes, begin: int) -> None:
        size = len(data)
        while size - begin >= 2:
            length, payload = data[begin + 1], begin + 2
            if length >= 126:
                payload += 2 if length == 126 else 8
                if payload > size:
                    break
                length = int.from_bytes(data[begin + 2 : payload], "big")
            end = payload + length
            if end > size:
                break
            self._take(data[begin], data[payload:end])
            begin = end
        self._received = data[begin:]

    def _take(self, first_byte: int, payload: bytes) -> None:
        if first_byte == _FINAL | _TEXT:
            self._on_text(payload)
        elif first_byte == _FINAL | _PING:
            self._send(_PONG, payload)
        elif first_byte == _FINAL | _CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            self.abort()

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        length = len(payload)
        if length < 126:
            header = bytes((_FINAL | opcode, _MASKED | length))
        else:
            header = bytes((_FINAL | opcode, _MASKED | 126)) + length.to_bytes(2, "big")
        self._transport.write(header + _MASK + payload)


async def connect(
    address: tuple[str, int], *, token: str, on_text: OnText, path: str = "/ws"
) -> WebSocketClient:
    """An open WebSocket. Raises WebSocketRefused, OSError."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: WebSocketClient(path=path, token=token, on_text=on_text), *address
    )
    await client.opened()
    return client


def _handshake(path: str, token: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "host: localhost",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        f"sec-websocket-key: {b64encode(token_bytes(16)).decode()}",
        f"authorization: Bearer {token}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
