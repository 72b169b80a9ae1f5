"""A server with the Matrix API, and two people on it; files that need another define their own."""

from collections.abc import AsyncIterator

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


@pytest.fixture
async def alice(server: MatrixServer) -> MatrixUser:
    return await server.registers("alice")


@pytest.fixture
async def bob(server: MatrixServer) -> MatrixUser:
    return await server.registers("bob")
