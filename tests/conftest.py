"""Fixtures for tests that need a database."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from homeserver.storage.database import Database
from tests.support.exercised import Exercised
from tests.support.postgres import fresh_database, shared_postgres


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Exercised())


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a Postgres server for this run; databases on it come from `database_dsn`."""
    base = tmp_path_factory.getbasetemp()
    # With xdist each worker has a directory of its own inside the run's.
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with shared_postgres(run / "postgres") as dsn:
        yield dsn


@pytest.fixture
async def database_dsn(postgres: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database."""
    async with fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    connected = await Database.connect(database_dsn, max_connections=8)
    yield connected
    await connected.close()
