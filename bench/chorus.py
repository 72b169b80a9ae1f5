"""Many senders, each of which waits for the answer before it sends again: a closed loop."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import orjson

from bench.audience import send_frame
from bench.metering import Meter, Usage
from bench.population import Address, Person
from bench.rest import Refused, RESTClient, head
from bench.websocket import WebSocketClient, connect

Say = Callable[[str], Awaitable[None]]
"""Sends a text as a message, and returns when the server has answered that it is safe."""


class WebSocketSender:
    """A person who writes in one room over a WebSocket; any number of messages may be on the way.

    The answers come in the order of the messages, for the server keeps the order in a room.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._unanswered: deque[asyncio.Future[None]] = deque()
        self._socket: WebSocketClient | None = None

    async def connect(self, address: Address, person: Person) -> None:
        self._socket = await connect(address, token=person.token, on_text=self._hear)

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    async def say(self, text: str) -> None:
        assert self._socket is not None
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unanswered.append(answered)
        self._socket.send(send_frame(self._room, text))
        await answered

    def _hear(self, payload: bytes) -> None:
        frame = orjson.loads(payload)
        kind = frame["type"]
        if kind == "message.sent":
            self._unanswered.popleft().set_result(None)
        elif kind == "error":
            self._unanswered.popleft().set_exception(
                Refused(f"{frame['code']}: {frame['message']}")
            )


class RESTSender:
    """Posts messages over one connection that is kept. body: what goes along with each text."""

    def __init__(self, client: RESTClient, path: str, token: str = "", **body: Any) -> None:
        self._client = client
        self._head = head("POST", path, token)
        self._body = body

    async def say(self, text: str) -> None:
        answer = await self._client.request(
            self._head, orjson.dumps({**self._body, "content": text})
        )
        if answer.status != 201:
            raise Refused(f"{answer.status} {answer.body.decode()}")


@dataclass(slots=True)
class Pace:
    """How fast a chorus was: the messages answered within the measured time."""

    usage: Usage
    latencies: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.count / self.usage.seconds


async def sing(
    chorus: Sequence[Say], texts: Iterator[str], *, warm_up_s: float, seconds: float, pid: int
) -> Pace:
    """Everybody sends as fast as answers come; counted is what is answered after the warm-up."""
    latencies: list[float] = []
    over = asyncio.Event()

    async def voice(say: Say) -> None:
        while not over.is_set():
            began = perf_counter()
            await say(next(texts))
            latencies.append(perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for say in chorus:
            group.create_task(voice(say))
        await asyncio.sleep(warm_up_s)
        meter, before = Meter(pid), len(latencies)
        await asyncio.sleep(seconds)
        usage, after = meter.read(), len(latencies)
        over.set()
    return Pace(usage, latencies[before:after])


async def recite(chorus: Sequence[Say], texts: Iterator[str]) -> None:
    """Everybody sends as fast as answers come, until the texts are at their end."""

    async def voice(say: Say) -> None:
        for text in texts:
            await say(text)

    async with asyncio.TaskGroup() as group:
        for say in chorus:
            group.create_task(voice(say))
