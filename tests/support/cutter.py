"""A way to a service on this machine that can be cut.

async with cutter("http://127.0.0.1:8333") as wire:
    wire.url            # leads there
    wire.max_up = 10    # ... until so many bytes have gone up: then every connection ends
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_PIECE_BYTES = 65_536


class Cutter:
    """max_up, max_down: bytes to the service and from it, over all connections; None: any.
    unanswered: how requests begin whose answers never come through.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._up = self._down = 0
        self.url = ""
        self.max_up: int | None = None
        self.max_down: int | None = None
        self.unanswered: bytes | None = None

    def mends(self) -> None:
        """Everything comes through again."""
        self.max_up = self.max_down = self.unanswered = None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._host, self._port)
        waiting = asyncio.Event()
        pumps = [
            asyncio.ensure_future(self._upwards(reader, there[1], waiting)),
            asyncio.ensure_future(self._downwards(there[0], writer, waiting)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for each in (writer, there[1]):
                each.transport.abort()

    async def _upwards(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE_BYTES):
                self._up += len(piece)
                if self.max_up is not None and self._up > self.max_up:
                    return
                if self.unanswered is not None and piece.startswith(self.unanswered):
                    waiting.set()
                writer.write(piece)
                await writer.drain()

    async def _downwards(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE_BYTES):
                self._down += len(piece)
                if waiting.is_set() or (self.max_down is not None and self._down > self.max_down):
                    return
                writer.write(piece)
                await writer.drain()


@asynccontextmanager
async def cutter(url: str) -> AsyncIterator[Cutter]:
    place = urlsplit(url)
    wire = Cutter(str(place.hostname), int(place.port or 80))
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield wire
