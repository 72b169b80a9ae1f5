"""Whether a run of all tests of the API has held an answer of every operation against the
specification: each that is served and is not legacy, with a success; those that only refuse, with
a refusal. Which statuses of errors that the specification names no test shows, it only tells.

A plugin of pytest, for `tests/conftest.py`. It says nothing about runs of some of the tests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from homeserver.spec_coverage import operations as covered
from tests.support.matrix_spec import SEEN, SpecOperation, operations

API = Path(__file__).parents[1] / "api"
_KEY = "exercised_operations"


class Exercised:
    """Gathers what the workers of pytest-xdist have seen, or what this process has."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output: Mapping[str, Any] = getattr(node, "workeroutput", {})
        self.seen |= {(name, status) for name, status in output.get(_KEY, ())}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = sorted(SEEN)
            return
        self.seen |= SEEN
        if exitstatus == pytest.ExitCode.OK and _ran_all(session.config):
            _tell("Errors that no test of tests/api shows:", errors_not_shown(self.seen))
            if lacking := missing(self.seen):
                _tell("No test of tests/api shows:", lacking)
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def missing(seen: Iterable[tuple[str, int]]) -> list[str]:
    """A line for each operation that nobody has asked for as it is meant."""
    statuses = _statuses(seen)
    return sorted(
        f"{each.operation_id}: {'a success' if is_served else 'a refusal'}"
        for each, is_served in _of_interest()
        if not any((status < 400) == is_served for status in statuses.get(each.operation_id, ()))
    )


def errors_not_shown(seen: Iterable[tuple[str, int]]) -> list[str]:
    """A line for each status of an error that the specification names for an operation; those of
    rate limits are the same for all.
    """
    statuses = _statuses(seen)
    return sorted(
        f"{each.operation_id}: {status}"
        for each, is_served in _of_interest()
        for status in {int(one) for one in each.statuses if one.isdigit()} - {429}
        if is_served and status >= 400 and status not in statuses.get(each.operation_id, ())
    )


def _statuses(seen: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name, status in seen:
        found.setdefault(name, set()).add(status)
    return found


def _of_interest() -> Iterator[tuple[SpecOperation, bool]]:
    """With whether it does more than refuse."""
    served = {
        each.operation_id: each.is_served
        for each in covered()
        if each.api == "client-server" and each.where and each.tier != "legacy"
    }
    for each in operations():
        if each.operation_id in served:
            yield each, served[each.operation_id]


def _tell(heading: str, lines: Sequence[str]) -> None:
    if lines:
        print("", heading, *lines, sep="\n  ")


def _ran_all(config: pytest.Config) -> bool:
    option = config.option
    if option.keyword or option.markexpr or option.collectonly or getattr(option, "lf", False):
        return False
    asked = [Path(each).resolve() for each in config.args]
    return any(API.is_relative_to(each) for each in asked) and not config.getoption("deselect")
