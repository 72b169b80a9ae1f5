"""One large file: does the server hold any of it in memory, while it comes and while 64 people read
it at the same time?

Growth is told of the process that serves, from before the file came to the most that it ever had.
What the kernel keeps of files and connections does not belong to it.
"""

import asyncio
import os
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep

import orjson

from bench import processes
from bench.figures import Figure, at_most
from bench.lab import Lab
from bench.population import Address, register
from bench.processes import FOYER_CONFIG
from bench.rest import Refused, head

SIZE_MIB = 1024
READERS = 64
SLOW_S = 10.0
MOST_GROWTH_MIB = 32.0
_MIB = 1_048_576
_SETTINGS = f"{FOYER_CONFIG}\n[storage]\nmax_attachment_size_mb = {SIZE_MIB + 1}\n"
_SLOW_BYTES, _SLOW_PAUSE_S = 16_384, 0.1
_TAKEN_AT_ONCE = 4 * _MIB


async def measure(lab: Lab) -> list[Figure]:
    size = lab.count(SIZE_MIB) * _MIB
    async with processes.foyer(lab.folder, _SETTINGS) as server:
        (person,) = await register(server.address, 1)
        await _upload(server.address, person.token, _MIB)  # all that is loaded at the first file
        memory = Memory(server.pid)
        began = perf_counter()
        path = await _upload(server.address, person.token, size)
        came_s, after_upload = perf_counter() - began, memory.most_mib
        request = head("GET", path, person.token) + b"\r\n"
        found = await asyncio.to_thread(_read_all, server.address, request, size, memory, lab)
    growth = at_most(MOST_GROWTH_MIB)
    slow, fast, read_s = found
    return [
        Figure("file", size / _MIB, "MiB"),
        Figure("upload", size / _MIB / came_s, "MiB/s"),
        Figure("memory before", memory.before_mib, "MiB"),
        Figure("most growth while it came", after_upload, "MiB", growth),
        Figure(f"most growth, {READERS} slow readers too", slow, "MiB", growth),
        Figure(f"most growth, {READERS} fast readers too", fast, "MiB", growth),
        Figure("downloads", READERS * size / _MIB / read_s, "MiB/s"),
    ]


class Memory:
    """Of a process: what it had at first, and how much more it had at most since then."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): forget the most so far
        self.before_mib = self._mib("VmRSS")

    @property
    def most_mib(self) -> float:
        return self._mib("VmHWM") - self.before_mib

    def _mib(self, name: str) -> float:
        lines = self._status.read_text().splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
        return int(kib) / 1024


async def _upload(address: Address, token: str, size: int) -> str:
    """The path that it can be downloaded from."""
    reader, writer = await asyncio.open_connection(*address)
    request = head("POST", "/_matrix/media/v3/upload", token)
    writer.write(b"%scontent-length: %d\r\nconnection: close\r\n\r\n" % (request, size))
    for piece in _pieces(size):
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    if b" 200 " not in answer[:20]:
        raise Refused(answer.decode())
    place = orjson.loads(answer.partition(b"\r\n\r\n")[2])["content_uri"].removeprefix("mxc://")
    return f"/_matrix/client/v1/media/download/{place}"


def _pieces(size: int) -> Iterator[bytes]:
    random = os.urandom(_MIB)
    for number in range(size // _MIB):
        yield number.to_bytes(8, "big") + random[8:]


def _read_all(
    address: Address, request: bytes, size: int, memory: Memory, lab: Lab
) -> tuple[float, float, float]:
    """Growth with slow readers, growth when the same ones read on fast, and how long that took."""
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.create_connection(address)) for _ in range(READERS)]
        for each in readers:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BYTES)
            each.sendall(request)
        left = [size - _begin(each) for each in readers]
        _read_slowly(readers, left, lab.seconds(SLOW_S))
        slow = memory.most_mib
        began = perf_counter()
        _read_on(readers, left)
        return slow, memory.most_mib, perf_counter() - began


def _begin(reader: socket.socket) -> int:
    """Reads the head; how much of the body came with it. Raises Refused."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += reader.recv(_SLOW_BYTES)
    if b" 200 " not in received[:20]:
        raise Refused(received.decode())
    return len(received.partition(b"\r\n\r\n")[2])


def _read_slowly(readers: Sequence[socket.socket], left: list[int], seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        for number, each in enumerate(readers):
            left[number] -= len(each.recv(min(_SLOW_BYTES, left[number])))
        sleep(_SLOW_PAUSE_S)


def _read_on(readers: Sequence[socket.socket], left: list[int]) -> None:
    """To the end, without looking at it: tcp(7), MSG_TRUNC throws it away."""
    room = bytearray(_TAKEN_AT_ONCE)
    with selectors.DefaultSelector() as selector:
        for number, each in enumerate(readers):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TAKEN_AT_ONCE)
            selector.register(each, selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select():
                number, reader = key.data, readers[key.data]
                count = reader.recv_into(
                    room, min(len(room), left[number]), socket.MSG_TRUNC | socket.MSG_DONTWAIT
                )
                left[number] -= count
                if not count and left[number]:
                    raise ConnectionResetError("a download was cut off")
                if not left[number]:
                    selector.unregister(reader)
