"""Many listeners on WebSockets, and when each of them heard which message."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from time import perf_counter
from types import TracebackType
from typing import Self

import orjson

from bench.population import Address, Person
from bench.websocket import WebSocketClient, connect

_CONNECTING_AT_ONCE = 32
_QUIET_S = 1.0


def numbered(number: int, text: str) -> str:
    """The content of a message that listeners recognise."""
    return f"{number} {text}"


def send_frame(room: str, content: str) -> bytes:
    return orjson.dumps({"type": "message.send", "room_id": room, "content": content})


class Listener:
    """One connection: the numbers of the messages it heard, and when, in order."""

    __slots__ = ("_audience", "numbers", "person", "socket", "times")

    def __init__(self, audience: "Audience", person: Person) -> None:
        self._audience = audience
        self.person = person
        self.numbers = array("I")
        self.times = array("d")
        self.socket: WebSocketClient | None = None

    def hear(self, payload: bytes) -> None:
        now = perf_counter()
        frame = orjson.loads(payload)
        kind = frame["type"]
        if kind == "message.new":
            self.numbers.append(int(frame["message"]["content"].partition(" ")[0]))
            self.times.append(now)
            self._audience.deliveries += 1
        elif kind == "error":
            self._audience.errors[frame["code"]] += 1
        self._audience.frames += 1

    def say(self, frame: bytes) -> None:
        assert self.socket is not None
        self.socket.send(frame)


class Audience:
    """The listeners. deliveries, frames: heard by all of them together; errors: by code."""

    def __init__(self, address: Address, people: Sequence[Person]) -> None:
        self._address = address
        self.listeners = [Listener(self, person) for person in people]
        self.deliveries = 0
        self.frames = 0
        self.errors: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        waiting = iter(self.listeners)
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTING_AT_ONCE):
                group.create_task(self._connect(waiting))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for listener in self.listeners:
            if listener.socket is not None:
                listener.socket.abort()

    async def _connect(self, waiting: Iterator[Listener]) -> None:
        for listener in waiting:
            listener.socket = await connect(
                self._address, token=listener.person.token, on_text=listener.hear
            )

    async def quiet(self) -> None:
        """Waits until nothing came for a while: who came online has been told."""
        before = -1
        while before != self.frames:
            before = self.frames
            await asyncio.sleep(_QUIET_S)

    async def hears(self, deliveries: int, *, patience_s: float) -> None:
        """Waits until there were so many deliveries, or nothing came for so long."""
        last_change, before = perf_counter(), self.deliveries
        while self.deliveries < deliveries and perf_counter() - last_change < patience_s:
            await asyncio.sleep(0.05)
            if self.deliveries != before:
                last_change, before = perf_counter(), self.deliveries

    def latencies(self, moments: Sequence[float]) -> Iterator[float]:
        """Seconds of each delivery from the moment at which its message was due."""
        for listener in self.listeners:
            for number, time in zip(listener.numbers, listener.times, strict=True):
                yield time - moments[number]

    @property
    def closed(self) -> int:
        """How many connections the server has ended."""
        return sum(
            listener.socket is not None and listener.socket.close_code is not None
            for listener in self.listeners
        )
