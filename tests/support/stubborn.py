"""A WebSocket client that does only what it is told: it reads when it is told to, and answers no
ping before. `websockets` without its own input and output speaks the protocol.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.devices import PATIENCE_S
from tests.support.promises import Frame, check_frame

_SMALL_BUFFER = 4096
"""So that what is not read soon stays with the server."""


class StubbornDevice:
    """`frames`: those that were read. `pings`: how many pings were."""

    def __init__(
        self,
        protocol: ClientProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.frames: list[Frame] = []
        self.pings = 0
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._held: list[bytes] = []

    @classmethod
    async def opens(cls, websocket_url: str, token: str) -> Self:
        parts = urlsplit(websocket_url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (parts.hostname, parts.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=_SMALL_BUFFER)
        protocol = ClientProtocol(parse_uri(websocket_url), max_size=None)
        request = protocol.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        protocol.send_request(request)
        device = cls(protocol, reader, writer)
        await device.answers()
        await device.reads_until(lambda: protocol.state is State.OPEN)
        return device

    async def reads_until(self, is_enough: Callable[[], bool]) -> None:
        """Reads, without answering, until there was enough."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_enough():
                assert await self._read(), "the connection ended"

    async def reads_to_the_end(self) -> int | None:
        """Reads and answers until the server closes; returns its close code."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._read():
                await self.answers()
        return self._protocol.close_code

    async def answers(self) -> None:
        """Sends what the protocol demands, such as answers to the pings that were read."""
        self._held += self._protocol.data_to_send()
        self._writer.write(b"".join(self._held))
        self._held.clear()
        await self._writer.drain()

    def hangs_up(self) -> None:
        self._writer.transport.abort()

    async def _read(self) -> bool:
        """Whether there was more."""
        try:
            data = await self._reader.read(_SMALL_BUFFER)
        except ConnectionError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            self._take(event)
        self._held += self._protocol.data_to_send()
        return bool(data)

    def _take(self, event: object) -> None:
        if isinstance(event, Response):
            assert event.status_code == 101, event
        elif isinstance(event, WireFrame) and event.opcode is Opcode.TEXT:
            self.frames.append(check_frame(bytes(event.data).decode()))
        elif isinstance(event, WireFrame) and event.opcode is Opcode.PING:
            self.pings += 1
