"""What the documents promise about every answer and frame, checked against what really came."""

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from schema.operations import ALL_OPERATIONS, Operation
from schema.wire.errors import ErrorBody, ErrorCode
from schema.wire.server_frames import SERVER_FRAMES

Json = Any
Frame = dict[str, Any]

_FRAME_MODELS: Mapping[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in SERVER_FRAMES
}
_EVERYWHERE = frozenset(
    {
        ErrorCode.INVALID_INPUT,
        ErrorCode.TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.UNAVAILABLE,
    }
)
"""Codes that every operation may answer with. INTERNAL is not among them: it is a defect."""


class Answer:
    """What a REST request was answered with."""

    def __init__(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.raw = raw

    @property
    def json(self) -> Json:
        return json.loads(self.raw) if self.raw else None

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal."""
        assert self.status >= 400, self
        return self.status, self.json["code"]

    def __repr__(self) -> str:
        return f"<{self.status} {self.raw[:500]!r}>"


def check_frame(raw: str) -> Frame:
    """The frame, if the schema knows it as it is: every field, and no null that should be left
    out. Raises AssertionError.
    """
    frame: Frame = json.loads(raw)
    model = _FRAME_MODELS.get(frame.get("type", ""))
    assert model is not None, raw
    parsed = model.model_validate_json(raw, extra="forbid")
    spare = [name for name, value in _nulls(frame) if _is_optional(parsed, name)]
    assert not spare, f"{spare} should be left out: {raw}"
    return frame


def check_answer(method: str, path: str, answer: Answer) -> None:
    """The documents promise this answer. Raises AssertionError."""
    assert answer.headers.get("X-Request-ID"), answer
    operation = _operation(method, path)
    if operation is None:
        return
    if answer.status >= 400:
        error = ErrorBody.model_validate_json(answer.raw, extra="forbid")
        assert answer.status == error.code.status, answer
        allowed = {*_EVERYWHERE, *operation.errors}
        if not operation.public:
            allowed.add(ErrorCode.UNAUTHENTICATED)
        assert error.code in allowed, f"{operation.name} does not promise {answer}"
        return
    assert answer.status in operation.answers, f"{operation.name} does not promise {answer}"
    promised = operation.answers[answer.status]
    if promised is None:
        assert answer.raw == b"", answer
    elif method != "HEAD" and promised is not bytes:
        TypeAdapter(promised).validate_json(answer.raw, extra="forbid")


def _operation(method: str, path: str) -> Operation[Any, Any, Any] | None:
    for pattern, operation in _ROUTES:
        if operation.method == method and pattern.fullmatch(path):
            return operation
    return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path))


# Fixed paths before those with names in them: /api/users/me is no user's ID.
_ROUTES = sorted(
    ((_pattern(operation.path), operation) for operation in ALL_OPERATIONS),
    key=lambda route: "{" in route[1].path,
)


def _nulls(value: Json, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], None]]:
    if isinstance(value, dict):
        return [null for key, inner in value.items() for null in _nulls(inner, (*path, key))]
    return [(path, None)] if value is None else []


def _is_optional(model: BaseModel, path: tuple[str, ...]) -> bool:
    """Whether the field that a path of names leads to may be left out."""
    for name in path[:-1]:
        model = getattr(model, name)
    return not type(model).model_fields[path[-1]].is_required()
