"""Thumbnails: do messages wait for them, and how fast are those that were made before?

Messages come at a fixed rate, first alone and then while thumbnails of large photos are made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from time import perf_counter

import orjson

from bench.chorus import Say, WebSocketSender
from bench.figures import Figure, at_least, at_most, latency_figures, percentile
from bench.lab import Lab
from bench.photos import photos
from bench.population import Address, Person, groups_of, make_room, register
from bench.rest import Refused, RESTClient, head
from bench.texts import texts

SENDERS = 8
PER_ROOM = 2
MESSAGES_PER_SECOND = 100.0
IDLE_S = 10.0
PHOTOS = 200
MADE_AT_ONCE = 8
KEPT_AT_ONCE = 16
CACHED_S = 3.0
MOST_TIMES_SLOWER = 2.0
LEAST_CACHED_PER_SECOND = 2500.0
SIZE = "width=640&height=480&method=scale"
_OK = 200


@dataclass(slots=True)
class Talk:
    """Messages at a fixed rate. latencies: seconds from when each was due until it was safe."""

    says: Sequence[Say]
    written: Iterator[str]
    latencies: list[float] = field(default_factory=list)

    async def go_on(self, over: asyncio.Event) -> None:
        """Until it is over. Raises what goes wrong."""
        begin = perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, say in enumerate(cycle(self.says)):
                due = begin + number / MESSAGES_PER_SECOND
                await asyncio.sleep(max(0.0, due - perf_counter()))
                if over.is_set():
                    return
                group.create_task(self._say(say, due))

    async def _say(self, say: Say, due: float) -> None:
        await say(next(self.written))
        self.latencies.append(perf_counter() - due)


async def measure(lab: Lab) -> list[Figure]:
    async with lab.foyer() as server, AsyncExitStack() as stack:
        people = await register(server.address, SENDERS)
        says = await _senders(server.address, people, stack)
        paths = await _upload(server.address, people[0], lab.count(PHOTOS))
        visitor = Visitor(server.address, people[0].token, paths)
        written = cycle(list(islice(texts(seed=5), 5000)))
        alone, beside = Talk(says, written), Talk(says, written)
        await _during(alone, asyncio.sleep(lab.seconds(IDLE_S)))
        began = perf_counter()
        await _during(beside, visitor.see_all())
        seconds = perf_counter() - began
        cached = await visitor.see_again(lab.seconds(CACHED_S))
    slower = _p95(beside.latencies) / _p95(alone.latencies)
    return [
        Figure("photos", len(paths)),
        Figure("thumbnails made", len(paths) / seconds, "thumbnails/s"),
        *latency_figures("thumbnail made", visitor.latencies),
        *latency_figures("message alone", alone.latencies),
        *latency_figures("message beside", beside.latencies),
        Figure("p95 beside, of that alone", slower, "times", at_most(MOST_TIMES_SLOWER)),
        Figure("thumbnails kept", cached, "thumbnails/s", at_least(LEAST_CACHED_PER_SECOND)),
    ]


class Visitor:
    """Looks at thumbnails. latencies: seconds of each that had to be made."""

    def __init__(self, address: Address, token: str, paths: Sequence[str]) -> None:
        self._address = address
        self._heads = [head("GET", path, token) for path in paths]
        self.latencies: list[float] = []

    async def see_all(self) -> None:
        """Each once, some at the same time."""
        waiting = iter(self._heads)

        async def see_some(client: RESTClient) -> None:
            for each in waiting:
                began = perf_counter()
                await _get(client, each)
                self.latencies.append(perf_counter() - began)

        await self._with_clients(MADE_AT_ONCE, see_some)

    async def see_again(self, seconds: float) -> float:
        """All of them over and over; how many a second."""
        end, count = perf_counter() + seconds, 0

        async def see_some(client: RESTClient) -> None:
            nonlocal count
            for each in cycle(self._heads):
                if perf_counter() > end:
                    return
                await _get(client, each)
                count += 1

        await self._with_clients(KEPT_AT_ONCE, see_some)
        return count / seconds

    async def _with_clients(
        self, count: int, work: Callable[[RESTClient], Awaitable[None]]
    ) -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for _ in range(count):
                client = await stack.enter_async_context(RESTClient(self._address))
                group.create_task(work(client))


async def _during(talk: Talk, work: Awaitable[None]) -> None:
    """Lets people talk until some work is done."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(talk.go_on(over))
        await work
        over.set()


async def _senders(address: Address, people: Sequence[Person], stack: AsyncExitStack) -> list[Say]:
    says: list[Say] = []
    for members in groups_of(PER_ROOM, people):
        room = await make_room(address, members)
        for person in members:
            sender = WebSocketSender(room)
            await sender.connect(address, person)
            stack.callback(sender.abort)
            says.append(sender.say)
    return says


async def _upload(address: Address, person: Person, count: int) -> list[str]:
    """Paths of thumbnails of new photos."""
    request = head("POST", "/_matrix/media/v3/upload", person.token)
    paths = []
    async with RESTClient(address) as client:
        for photo in photos(count):
            answer = await client.request(request, photo)
            if answer.status != _OK:
                raise Refused(f"{answer.status} {answer.body.decode()}")
            place = orjson.loads(answer.body)["content_uri"].removeprefix("mxc://")
            paths.append(f"/_matrix/client/v1/media/thumbnail/{place}?{SIZE}")
    return paths


async def _get(client: RESTClient, request: bytes) -> None:
    answer = await client.request(request, b"")
    if answer.status != _OK:
        raise Refused(f"{answer.status} {answer.body.decode()}")


def _p95(latencies: Sequence[float]) -> float:
    return percentile(sorted(latencies), 0.95)
