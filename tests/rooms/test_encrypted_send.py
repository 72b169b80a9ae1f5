"""What messages cost where rooms may be encrypted."""

from collections.abc import AsyncIterator

import pytest

from homeserver.errors import EncryptionRequired
from homeserver.storage.database import Database
from tests.support.queries import counted
from tests.support.server import Server, running_server


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with running_server(database) as running:
        yield running


class TestCost:
    async def test_whether_a_room_is_encrypted_is_in_memory(self, server: Server):
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "the first one may look")
        async with counted(server.database) as statements:
            await server.says(alice, room, "hello")
        assert not [each for each in statements if "room_state" in each]

    async def test_and_known_at_once(self, server: Server):
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(bob, room, "hello")
        content = {"algorithm": "m.megolm.v1.aes-sha2"}
        await server.sends(alice, room, "m.room.encryption", content, state_key="")
        with pytest.raises(EncryptionRequired):
            await server.says(bob, room, "oops")
