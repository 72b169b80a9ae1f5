"""Servers to play on. Starting one takes seconds, so the plays of a worker share theirs."""

from collections.abc import AsyncIterator, Iterator
from secrets import token_hex

import pytest

from tests.support.live_server import GENEROUS, STRICT, LiveServer, running
from tests.support.play import Play


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Open to everybody, with generous limits. A play may restart it."""
    with running(tmp_path_factory.mktemp("server"), GENEROUS) as started:
        yield started


@pytest.fixture(scope="session")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """For those who are invited, with limits that are soon reached."""
    with running(tmp_path_factory.mktemp("strict-server"), STRICT) as started:
        yield started


@pytest.fixture
async def play(server: LiveServer) -> AsyncIterator[Play]:
    async with Play(server, token_hex(3)) as begun:
        yield begun


@pytest.fixture
async def strict_play(strict_server: LiveServer) -> AsyncIterator[Play]:
    async with Play(strict_server, token_hex(3)) as begun:
        yield begun
