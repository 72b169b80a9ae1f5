"""sync.yaml: what a client is told, and when."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, matrix_server, q


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


class TestFirstSync:
    async def test_a_new_user_has_nothing(self, server):
        alice = await server.registers("alice")
        answer = await alice.get("v3/sync")
        assert answer["next_batch"].startswith("s")

    async def test_rooms_come_with_timeline_and_state(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(name="Tea")
        sent = await alice.says(room, "hello")
        joined = (await alice.get("v3/sync"))["rooms"]["join"][room]
        assert joined["timeline"]["events"][-1]["event_id"] == sent


class TestLongPoll:
    async def test_a_message_ends_the_wait(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(name="Tea")
        since = (await alice.get("v3/sync"))["next_batch"]
        waiting = asyncio.create_task(alice.get("v3/sync", since=since, timeout=30_000))
        sent = await alice.says(room, "hello")
        answer = await waiting
        assert [e["event_id"] for e in answer["rooms"]["join"][room]["timeline"]["events"]] == [sent]
        print(answer)
