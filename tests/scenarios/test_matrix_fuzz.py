"""Every operation of the client-server API, asked with what schemathesis makes up.

Whatever comes, the server makes no mistake, and says what the specification promises.
"""

from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.support.live_server import LiveServer
from tests.support.matrix_fuzz import World, served

EXAMPLES = 12
CONTRADICTORY = {"getRoomStateWithKey"}
"""Their schemas are `oneOf` of two that fit the same answers."""
PLAYS = [
    pytest.param(name, mode, id=f"{name}-{mode.value}")
    for name, operation in sorted(served().items())
    for mode in operation.modes
]


@pytest.fixture
def world(server: LiveServer) -> Iterator[World]:
    begins = len(server.log)
    yield World(server.url)
    assert not server.problems(begins)


@pytest.mark.parametrize(("name", "mode"), PLAYS)
def test_answers_are_what_the_specification_promises(world, name, mode):
    operation = served()[name]
    cases = operation.cases(mode)
    checks = [not_a_server_error]
    if name not in CONTRADICTORY:
        checks.append(response_schema_conformance)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = world.is_in(data.draw(cases), data.draw)
        response = world.answers(operation, case)
        case.validate_response(response, checks=checks)
        assert is_matrix(response), (case.as_curl_command(), response.text)

    ask()


def is_matrix(response: requests.Response) -> bool:
    """A success, a standard error, or a question for more (user-interactive authentication)."""
    if response.status_code < 400:
        return True
    refusal = response.json()
    if response.status_code == 401 and "flows" in refusal:
        return True
    return isinstance(refusal.get("errcode"), str) and isinstance(refusal.get("error"), str)
