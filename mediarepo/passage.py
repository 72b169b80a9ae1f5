"""Bytes from a file to a connection, of which none is held in this process.

A slow reader then costs a task and a few descriptors, however large the file is. What the kernel
has in its cache goes through one buffer at once, without a thread; the rest the kernel itself
passes on, in a thread that waits for the disk. Only for connections that carry bytes as they are:
those with TLS in the process do not.
"""

import asyncio
import os
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from mediarepo.ranges import Span
from mediarepo.threads import in_thread

_AT_ONCE = 8_388_608
"""What one call passes on at most, so that a fast reader does not keep a thread for himself."""
_CACHED_AT_ONCE = 1_048_576
"""The same for what is in the cache: it takes a third of a millisecond of everybody's time."""
_BUFFER = memoryview(bytearray(262_144))
"""Of what is read right before it is written, so all can share it."""
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""preadv(2): fails rather than wait for the disk; None where systems do not know it."""
_FAST_BYTES = 65_536
_PATIENCE_MS = 2
"""How long a thread waits for a reader who took so much: a wake-up of the loop costs more."""


class Ended(Exception):
    """The file ended before its end."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a file on its way to a connection. file, connection: descriptors."""

    file: int
    connection: int
    part: Span

    async def run(self, executor: Executor, *, is_closed: Callable[[], bool]) -> None:
        """Sends all of it; nobody else may write to the connection meanwhile.

        executor: threads that wait for the disk. is_closed: whether one of both sides has hung up.
        Raises ConnectionError, Ended, OSError.
        """
        start, end = self.part.start, self.part.end
        with _duplicate(self.connection) as own:
            while start < end:
                passed = _pass_cached(self.file, own, start, end)
                if passed is None:
                    passed = await in_thread(executor, _pass_some, self.file, own, start, end)
                start += passed
                if start < end:
                    await _writable(own)
                if is_closed():
                    raise ConnectionResetError("The connection was closed.")


@contextmanager
def _duplicate(connection: int) -> Iterator[int]:
    """Another descriptor of it: event loops do not let others watch those of their transports."""
    own = os.dup(connection)
    try:
        yield own
    finally:
        os.close(own)


def _pass_cached(file: int, connection: int, start: int, end: int) -> int | None:
    """How many bytes were sent, until the connection takes no more or the cache has none; None:
    it has none at all, or nobody can tell.
    """
    if _NOWAIT is None:
        return None
    sent, most = 0, min(end - start, _CACHED_AT_ONCE)
    while sent < most:
        part = _BUFFER[: most - sent]
        try:
            count = os.preadv(file, [part], start + sent, _NOWAIT)
        except OSError:  # also where the file system does not know it
            return sent or None
        if count == 0:
            raise Ended
        try:
            written = os.write(connection, part[:count])
        except BlockingIOError:
            return sent
        sent += written
        if written < count:
            return sent
    return sent


def _pass_some(file: int, connection: int, start: int, end: int) -> int:
    """How many bytes were sent, until the connection takes no more."""
    sent, paused_at, most = 0, 0, min(end - start, _AT_ONCE)
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    while sent < most:
        try:
            count = os.sendfile(connection, file, start + sent, most - sent)
        except BlockingIOError:
            if sent - paused_at < _FAST_BYTES or not poll.poll(_PATIENCE_MS):
                break
            paused_at = sent
            continue
        if count == 0:
            raise Ended
        sent += count
    return sent


async def _writable(connection: int) -> None:
    """Until the connection takes more, or is broken."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection)


def plain_socket(transport: asyncio.BaseTransport | None) -> int | None:
    """The descriptor of a connection that carries bytes as they are; None: it is none."""
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None
    found: socket.socket | None = transport.get_extra_info("socket")
    return None if found is None or found.fileno() < 0 else found.fileno()


async def flushed(request: web.BaseRequest) -> None:
    """Until all that was written to a connection so far has left this process."""
    transport = request.transport
    if transport is not None and transport.get_write_buffer_size():
        await asyncio.sleep(0)  # what was written in this turn of the loop goes at its end
    if transport is not None and transport.get_write_buffer_size():
        transport.set_write_buffer_limits(high=0)
        try:
            await request.writer.drain()
        finally:
            transport.set_write_buffer_limits()
    if transport is None or transport.is_closing():
        raise ConnectionResetError("The connection was closed.")
