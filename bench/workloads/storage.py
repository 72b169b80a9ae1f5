"""A hundred thousand messages: how much does one take in the database?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from time import perf_counter

import asyncpg

from bench.chorus import Say, WebSocketSender, recite
from bench.database import database_bytes, opened, table_bytes
from bench.figures import NONE, Figure, at_most
from bench.lab import Lab
from bench.metering import Meter, usage_figures
from bench.population import Address, groups_of, make_room, register
from bench.texts import texts

MESSAGES = 100_000
PEOPLE = 80
MEMBERS = 10
IN_FLIGHT = 8
PATIENCE_S = 120.0


async def measure(lab: Lab) -> list[Figure]:
    """Every member of every room writes, several messages at a time."""
    written = list(islice(texts(seed=4), lab.count(MESSAGES)))
    async with (
        lab.foyer() as server,
        _chorus(server.address) as chorus,
        opened(lab.data_dir) as db,
    ):
        tables_before, before = await table_bytes(db), await database_bytes(db)
        meter, began = Meter(server.pid), perf_counter()
        await recite(chorus, iter(written))
        usage, seconds = meter.read(), perf_counter() - began
        missing = await _until_searchable(db, len(written))
        after, tables = await database_bytes(db), await table_bytes(db)
    grown = {name: bytes_ - tables_before[name] for name, bytes_ in tables.items()}
    return [
        Figure("messages", len(written)),
        Figure("characters of a message", sum(map(len, written)) / len(written)),
        Figure("rate", len(written) / seconds, "messages/s"),
        Figure("not searchable", missing, target=NONE),
        Figure("bytes per message", (after - before) / len(written), "B", at_most(2048)),
        *(
            Figure(f"of these in {name}", grown[name] / len(written), "B")
            for name in sorted(grown, key=lambda name: -grown[name])
            if grown[name] > 0
        ),
        *usage_figures(usage, len(written)),
    ]


@asynccontextmanager
async def _chorus(address: Address) -> AsyncIterator[list[Say]]:
    people = await register(address, PEOPLE)
    async with AsyncExitStack() as stack:
        chorus: list[Say] = []
        for members in groups_of(MEMBERS, people):
            room = await make_room(address, members)
            for member in members:
                sender = WebSocketSender(room)
                await sender.connect(address, member)
                stack.callback(sender.abort)
                chorus += [sender.say] * IN_FLIGHT
        yield chorus


async def _until_searchable(db: asyncpg.Connection, messages: int) -> int:
    """Waits for the search index; the number of messages that it lacks in the end."""
    deadline = perf_counter() + PATIENCE_S
    while perf_counter() < deadline:
        indexed: int = await db.fetchval("SELECT count(*) FROM message_search")
        if indexed >= messages:
            break
        await asyncio.sleep(0.5)
    return max(0, messages - indexed)
