"""A server that everybody may register on, and a stage on it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients.stage import Stage, stage
from tests.support.live_server import GENEROUS, LiveServer, running

PATIENT = {"rooms": {"typing_timeout_seconds": 60}}
"""Who writes is shown until they stop."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("server"), GENEROUS, PATIENT) as started:
        yield started


@pytest.fixture
async def on(server: LiveServer) -> AsyncIterator[Stage]:
    begins = len(server.log)
    async with stage(server.url) as built:
        yield built
    problems = server.problems(begins)
    assert not problems, problems
