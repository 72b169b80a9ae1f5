"""The event loop that the tests of a worker share, and fixtures for those that need a database."""

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator

import pytest
import uvloop

from homeserver.storage.database import Database
from tests.support.exercised import Exercised
from tests.support.leftovers import ended_leftovers
from tests.support.postgres import (
    close_databases,
    connected_to,
    fresh_database,
    shared_postgres,
)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Exercised())
    # The event loop that the server runs on. A loop factory would be for coroutines only, and other
    # tests that use their fixtures would get a loop, and a Postgres, of their own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pytest_collection_finish() -> None:
    """All these tests stay until the end: the garbage collector need not look for that."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def ends_what_it_begins(request: pytest.FixtureRequest) -> None:
    """Tests share a loop, but no tasks."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("leftovers")


@pytest.fixture
async def leftovers() -> AsyncIterator[None]:
    """Ends them."""
    async with ended_leftovers():
        yield


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a Postgres server for this run; databases on it come from `database_dsn`."""
    base = tmp_path_factory.getbasetemp()
    # With xdist each worker has a directory of its own inside the run's.
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with shared_postgres(run / "postgres") as dsn:
        yield dsn
        await close_databases()


@pytest.fixture
async def database_dsn(postgres: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database."""
    async with fresh_database(postgres) as dsn, ended_leftovers():
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> Database:
    """A fresh, migrated database."""
    return await connected_to(database_dsn)
