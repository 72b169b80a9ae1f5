"""The OpenAPI files of the Matrix specification, to hold answers against.

    check_answer("GET", "/_matrix/client/v3/sync", 200, body)

Raises AssertionError where an answer is not what the specification promises.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPEC = Path(__file__).parents[1] / "spec"
TOKEN_ERRORS = frozenset({"M_MISSING_TOKEN", "M_UNKNOWN_TOKEN", "M_USER_LOCKED"})
CLIENT_SERVER = SPEC / "api" / "client-server"
SEEN: set[tuple[str, int]] = set()
"""Operations, by ID, and the statuses of their answers, as far as tests have got any."""


@dataclass(frozen=True)
class SpecOperation:
    """One method of one path, and where it stands."""

    operation_id: str
    method: str
    pattern: re.Pattern[str]
    file: Path
    pointer: str
    statuses: frozenset[str]

    def validator(self, status: int) -> Draft202012Validator | None:
        """None: the specification promises no JSON for this status."""
        return _validator(self.file, self.pointer, str(status))


def check_answer(method: str, raw_path: str, status: int, body: Any) -> None:
    """Errors need only be standard errors, unless the specification says more about the status;
    those about access tokens are the same everywhere (C-S API v1.19 "Using access tokens").
    """
    operation = seen(method, raw_path, status)
    if operation is None:
        # A proposal, or a mistake of the test's, which then has no success.
        assert status < 400 or isinstance(body["errcode"], str)
        return
    about_tokens = status == 401 and body.get("errcode") in TOKEN_ERRORS
    validator = None if about_tokens else operation.validator(status)
    if validator is not None:
        errors = [
            f"{list(each.absolute_path)}: {each.message}" for each in _errors(validator, body)
        ]
        assert not errors, f"{operation.operation_id} {status}: {errors}"
    elif status >= 400:
        # A challenge of user-interactive authentication has none until an attempt fails.
        is_challenge = status == 401 and "flows" in body and "errcode" not in body
        assert is_challenge or (isinstance(body["errcode"], str) and isinstance(body["error"], str))


def seen(method: str, raw_path: str, status: int) -> SpecOperation | None:
    """Notes that there was an answer; the operation that it is of."""
    operation = find(method, raw_path)
    if operation is not None:
        SEEN.add((operation.operation_id, status))
    return operation


def find(method: str, raw_path: str) -> SpecOperation | None:
    """The operation that a path belongs to; a path with fewer names fits better."""
    fitting = [
        each
        for each in operations()
        if each.method == method
        # rooms.yaml, room_state.yaml: after an empty state key "the trailing slash is optional".
        and (each.pattern.fullmatch(raw_path) or each.pattern.fullmatch(f"{raw_path}/"))
    ]
    return min(fitting, key=lambda each: each.pattern.pattern.count("[^/]"), default=None)


@cache
def operations() -> tuple[SpecOperation, ...]:
    """All of the client-server API."""
    return tuple(
        each for file in sorted(CLIENT_SERVER.glob("*.yaml")) for each in _operations_of(file)
    )


def _operations_of(file: Path) -> Iterator[SpecOperation]:
    document = load(file)
    base = document["servers"][0]["variables"]["basePath"]["default"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "operationId" not in operation:
                continue
            escaped = path.replace("~", "~0").replace("/", "~1")
            yield SpecOperation(
                operation_id=operation["operationId"],
                method=method.upper(),
                pattern=_pattern(base + path.strip()),
                file=file,
                pointer=f"/paths/{escaped}/{method}/responses",
                statuses=frozenset(operation["responses"]),
            )


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^/]+?\\\}", "[^/]*", re.escape(path)))


@cache
def load(file: Path) -> Any:
    """A YAML file, all keys as text."""
    return _with_text_keys(yaml.load(file.read_text(), Loader=yaml.CSafeLoader))


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        texts = {str(key): _with_text_keys(each) for key, each in value.items()}
        # rooms.yaml: any object, or (which is one, too) a state event.
        if {"type": "object"} in texts.get("oneOf", ()):
            texts["anyOf"] = texts.pop("oneOf")
        return texts
    if isinstance(value, list):
        return [_with_text_keys(each) for each in value]
    return value


@cache
def _registry() -> "Registry[Any]":
    return Registry(retrieve=_retrieve)


def _retrieve(uri: str) -> "Resource[Any]":
    return Resource(load(Path(unquote(uri.removeprefix("file://")))), DRAFT202012)


@cache
def _validator(file: Path, pointer: str, status: str) -> Draft202012Validator | None:
    response = load(file)
    for part in [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]:
        response = response[part]
    schema = response.get(status, {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None
    where = f"{file.as_uri()}#{pointer}/{status}/content/application~1json/schema"
    return Draft202012Validator({"$ref": where}, registry=_registry())


def _errors(validator: Draft202012Validator, body: Any) -> Iterator[Any]:
    for error in validator.iter_errors(body):
        yield from error.context or [error]
