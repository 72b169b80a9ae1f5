"""A real server that everybody may register on, and people with each library on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.js_user import JsUser
from tests.e2e.people import Person, of_each_library
from tests.support.live_server import GENEROUS, LiveServer, running
from tests.support.olm_session import unique


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("server"), GENEROUS) as started:
        yield started
    problems = started.problems()
    assert not problems, problems


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what the people of a module keep."""
    return tmp_path_factory.mktemp("people")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(server: LiveServer, directory: Path) -> AsyncIterator[dict[str, Person]]:
    """A person with each library, for a whole module: they take seconds to start."""
    async with of_each_library(server.url, directory) as entered:
        yield entered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(server: LiveServer) -> AsyncIterator[JsUser]:
    """matrix-js-sdk with an identity."""
    async with JsUser.enters(server.url, unique("js")) as user:
        await user.asks("identity")
        yield user
