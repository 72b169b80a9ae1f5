"""Making accounts over the Matrix API."""

from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, matrix_server


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


class TestRegister:
    """register."""

    async def test_who_registers_is_logged_in(self, server):
        alice = await server.registers("alice")
        who = await alice.get("v3/account/whoami")
        assert who["user_id"] == "@alice:example.org"

    async def test_a_username_is_given_once(self, server):
        await server.registers("alice")
        body = {"username": "Alice", "password": "another one", "auth": {"type": "m.login.dummy"}}
        refusal = await server.nobody.is_refused("POST", "v3/register", body, status=400)
        assert refusal == "M_USER_IN_USE"
