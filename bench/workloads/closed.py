"""Sixty-four senders who wait for their answers: how many messages a second become safe?

The bare reference takes turns with Foyer, so that both see the same machine.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from statistics import median
from uuid import uuid4

from bench import bare
from bench.chorus import Pace, RESTSender, Say, WebSocketSender, sing
from bench.figures import Figure, at_least, latency_figures
from bench.lab import Lab
from bench.metering import usage_figures
from bench.population import Address, Person, groups_of, make_room, register
from bench.processes import Server
from bench.rest import RESTClient
from bench.texts import texts

SENDERS = 64
PER_ROOM = 2
ROUNDS = 9
SECONDS = 3.0
WARM_UP_S = 1.0
TEXTS = 5000
LEAST_SHARE = 60.0

Seat = tuple[Person, str]
"""Somebody and the room in which they write."""

Chorus = AbstractAsyncContextManager[list[Say]]


async def measure_websocket(lab: Lab) -> list[Figure]:
    return await _measure(lab, _on_websockets, least_per_second=2000)


async def measure_rest(lab: Lab) -> list[Figure]:
    return await _measure(lab, _over_rest, least_per_second=1500)


async def _measure(
    lab: Lab, chorus_of: Callable[[Address, list[Seat]], Chorus], *, least_per_second: float
) -> list[Figure]:
    async with lab.foyer() as server, lab.bare() as reference:
        seats = await _seats(server.address)
        async with (
            chorus_of(server.address, seats) as chorus,
            _against_the_bare(reference.address) as bare_chorus,
        ):
            written = cycle(list(islice(texts(seed=3), TEXTS)))
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(await _round(lab, chorus, written, server))
                theirs.append(await _round(lab, bare_chorus, written, reference))
    return _figures(ours, theirs, least_per_second)


async def _round(lab: Lab, chorus: list[Say], written: Iterator[str], server: Server) -> Pace:
    seconds = lab.seconds(SECONDS)
    return await sing(chorus, written, warm_up_s=WARM_UP_S, seconds=seconds, pid=server.pid)


def _figures(ours: list[Pace], theirs: list[Pace], least_per_second: float) -> list[Figure]:
    """Rates, and the share of each round, are medians of the rounds."""
    rate = median(pace.per_second for pace in ours)
    bare_rate = median(pace.per_second for pace in theirs)
    share = median(
        our.per_second / their.per_second for our, their in zip(ours, theirs, strict=True)
    )
    return [
        Figure("messages", sum(pace.count for pace in ours)),
        Figure("rate", rate, "messages/s", at_least(least_per_second)),
        Figure("bare rate", bare_rate, "messages/s"),
        Figure("share of the bare rate", 100 * share, "%", at_least(LEAST_SHARE)),
        *_details("", ours),
        *_details("bare ", theirs),
    ]


def _details(prefix: str, paces: list[Pace]) -> list[Figure]:
    seconds = (latency for pace in paces for latency in pace.latencies)
    usage = sum((pace.usage for pace in paces[1:]), paces[0].usage)
    figures = usage_figures(usage, sum(pace.count for pace in paces))
    return latency_figures(f"{prefix}answer", seconds) + [
        Figure(f"{prefix}{figure.name}", figure.value, figure.unit) for figure in figures
    ]


async def _seats(address: Address) -> list[Seat]:
    people = await register(address, SENDERS)
    rooms = [(await make_room(address, pair), pair) for pair in groups_of(PER_ROOM, people)]
    return [(person, room) for room, pair in rooms for person in pair]


@asynccontextmanager
async def _on_websockets(address: Address, seats: list[Seat]) -> AsyncIterator[list[Say]]:
    async with AsyncExitStack() as stack:
        senders = []
        for person, room in seats:
            sender = WebSocketSender(room)
            await sender.connect(address, person)
            stack.callback(sender.abort)
            senders.append(sender)
        yield [sender.say for sender in senders]


@asynccontextmanager
async def _over_rest(address: Address, seats: list[Seat]) -> AsyncIterator[list[Say]]:
    async with AsyncExitStack() as stack:
        senders = []
        for person, room in seats:
            client = await stack.enter_async_context(RESTClient(address))
            senders.append(RESTSender(client, f"/api/rooms/{room}/messages", person.token))
        yield [sender.say for sender in senders]


@asynccontextmanager
async def _against_the_bare(address: Address) -> AsyncIterator[list[Say]]:
    async with AsyncExitStack() as stack:
        senders = []
        for _ in range(SENDERS):
            client = await stack.enter_async_context(RESTClient(address))
            senders.append(RESTSender(client, bare.PATH, room=str(uuid4())))
        yield [sender.say for sender in senders]
