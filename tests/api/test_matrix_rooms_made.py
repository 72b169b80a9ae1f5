"""Making rooms over the Matrix API (create_room.yaml)."""

from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, matrix_server


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


class TestCreateRoom:
    """createRoom."""

    async def test_a_room_is_made(self, server):
        alice = await server.registers("alice")
        bob = await server.registers("bob")
        room = await alice.creates_room(name="Garden", topic="Flowers", invite=[bob.user_id])
        await bob.joins(room)
        await bob.says(room, "hello")
        first = await alice.sets(room, "m.room.name", {"name": "x"})
        assert await alice.sets(room, "m.room.name", {"name": "x"}) == first
