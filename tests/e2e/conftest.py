"""A real server that everybody may register on."""

from collections.abc import Iterator

import pytest

from tests.support.live_server import GENEROUS, LiveServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("server"), GENEROUS) as started:
        yield started
    problems = started.problems()
    assert not problems, problems
