"""How bytes go out: whole, in the order that was asked for, and never gathered in memory."""

import asyncio
import hashlib
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from homeserver.storage.database import Database
from mediarepo import passage, sending
from mediarepo.store.store import CHUNK_BYTES
from tests.support.media import DOWNLOAD, MediaServer, MediaUser, media_server, place

MIB = 1_048_576
LARGE = os.urandom(MIB) * 24
LITTLE_BYTES = 32_768
READERS = 8


@pytest.fixture
async def server(database: Database, tmp_path) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path, max_attachment_size_mb=64) as running:
        yield running


@pytest.fixture
async def alice(server) -> MediaUser:
    return await server.registers("alice")


class Reader:
    """A client that reads when it is told to, over a connection that takes little at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def asks(self, by: MediaUser, uri: str, headers: str = "") -> None:
        head = f"GET {DOWNLOAD}/{place(uri)} HTTP/1.1\r\nHost: x\r\n{headers}"
        self._writer.write(f"{head}Authorization: Bearer {by.matrix.token}\r\n\r\n".encode())

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def body(self, length: int) -> str:
        """Its SHA-256."""
        found = hashlib.sha256()
        while length:
            data = await self._reader.read(min(length, MIB))
            assert data, "it was cut off"
            found.update(data)
            length -= len(data)
        return found.hexdigest()


@asynccontextmanager
async def reader(server: MediaServer) -> AsyncIterator[Reader]:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE_BYTES)
    connection.setblocking(False)
    place = server.matrix.client.server
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (place.host, place.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=LITTLE_BYTES)
    try:
        yield Reader(reader, writer)
    finally:
        writer.transport.abort()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_open(file: Path) -> bool:
    """In this process, which the server is in."""
    links = (each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return file in links


@pytest.fixture
def waits(monkeypatch) -> asyncio.Semaphore:
    """Is released each time when a download waits until its reader takes more."""
    waiting = asyncio.Semaphore(0)
    writable = passage._writable

    async def seen(connection: int) -> None:
        waiting.release()
        await writable(connection)

    monkeypatch.setattr(passage, "_writable", seen)
    return waiting


@pytest.fixture
def requests(monkeypatch) -> list[web.Request]:
    """Those that were answered with large files."""
    seen: list[web.Request] = []
    send = sending.Sending._send_large

    async def noted(self, request, *args):
        seen.append(request)
        await send(self, request, *args)

    monkeypatch.setattr(sending.Sending, "_send_large", noted)
    return seen


@pytest.fixture(params=["in memory", "in memory in parts", "on the disk"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has the file."""
    if request.param == "on the disk":
        monkeypatch.setattr(passage, "_NOWAIT", None)
    if request.param == "in memory in parts":
        monkeypatch.setattr(os, "preadv", _in_parts(os.preadv))


def _in_parts(read: Callable[..., int]) -> Callable[..., int]:
    """As the system reads when it has half of every two MiB."""

    def preadv(file: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags and offset // MIB % 2:
            raise BlockingIOError
        return read(file, buffers, offset, flags)

    return preadv


@pytest.mark.usefixtures("kept")
class TestWhole:
    async def test_answers_come_whole_and_in_order_on_one_connection(self, server, alice):
        uri = await alice.uploads(LARGE)
        other = await alice.uploads(b"small")
        async with reader(server) as slow:
            slow.asks(alice, uri)
            slow.asks(alice, other)
            slow.asks(alice, uri, "Range: bytes=1000001-20000000\r\n")
            slow.asks(alice, uri)
            assert b" 200 OK" in await slow.head()
            assert await slow.body(len(LARGE)) == digest(LARGE)
            assert b" 200 OK" in await slow.head()
            assert await slow.body(5) == digest(b"small")
            assert b"bytes 1000001-20000000/" in await slow.head()
            assert await slow.body(19_000_000) == digest(LARGE[1_000_001:20_000_001])
            assert b" 200 OK" in await slow.head()
            assert await slow.body(len(LARGE)) == digest(LARGE)

    async def test_so_they_do_where_the_kernel_cannot_send_files(self, server, alice, monkeypatch):
        """As with TLS in the process."""
        monkeypatch.setattr(sending, "plain_socket", lambda _: None)
        uri = await alice.uploads(LARGE)
        assert (await alice.downloads(uri)).body == LARGE
        got = await alice.downloads(uri, headers={"Range": "bytes=5000000-9999999"})
        assert (got.status, got.body) == (206, LARGE[5_000_000:10_000_000])


class TestSlowReaders:
    @pytest.mark.usefixtures("kept")
    async def test_cost_no_memory_however_large_the_file_is(self, server, alice, waits, requests):
        uri = await alice.uploads(LARGE)
        async with AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(reader(server)) for _ in range(READERS)]
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
            for each in slow:
                each.asks(alice, uri)
                await waits.acquire()
            held, _ = tracemalloc.get_traced_memory()
            for request in requests:
                assert request.transport is not None
                assert request.transport.get_write_buffer_size() == 0
            for each in slow:
                await each.head()
                assert await each.body(len(LARGE)) == digest(LARGE)
        assert len(requests) == READERS
        assert held < READERS * CHUNK_BYTES

    async def test_hold_two_pieces_at_most_where_the_kernel_cannot_send_files(
        self, server, alice, monkeypatch, requests
    ):
        monkeypatch.setattr(sending, "plain_socket", lambda _: None)
        uri = await alice.uploads(LARGE)
        async with reader(server) as slow:
            slow.asks(alice, uri)
            await slow.head()
            (request,) = requests
            assert request.transport is not None
            while not request.transport.get_write_buffer_size():  # noqa: ASYNC110 - sockets fill
                await asyncio.sleep(0.01)
            most = 0
            digesting = asyncio.create_task(slow.body(len(LARGE)))
            while not digesting.done():
                most = max(most, request.transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert digesting.result() == digest(LARGE)
        assert most <= 2 * CHUNK_BYTES


class TestCutOff:
    async def test_who_hangs_up_leaves_nothing_open(self, server, alice, waits):
        uri = await alice.uploads(LARGE)
        (file,) = server.files()
        async with reader(server) as slow:
            slow.asks(alice, uri)
            await waits.acquire()
            assert is_open(file)
        while is_open(file):  # noqa: ASYNC110 - the server hears of it a moment later
            await asyncio.sleep(0.01)
        assert (await alice.downloads(uri)).body == LARGE

    async def test_a_file_that_ends_too_early_is_no_whole_answer(self, server, alice):
        uri = await alice.uploads(LARGE)
        os.truncate(server.files()[0], MIB)
        with pytest.raises(aiohttp.ClientPayloadError):
            await alice.downloads(uri)

    async def test_a_file_that_is_lost_is_not_found(self, server, alice):
        uri = await alice.uploads(LARGE)
        server.files()[0].unlink()
        got = await alice.downloads(uri)
        assert (got.status, got.errcode) == (404, "M_NOT_FOUND")
