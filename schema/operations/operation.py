"""What a REST operation is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schema.wire.base import Query, Request
from schema.wire.errors import ErrorCode

P = TypeVar("P", bound=Query)
Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=Request)

Tag = str
"""The part of the documents that an operation stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[P, Q, B]):
    """One method of one path.

    answers: type of the body by status of success; None: no body; bytes: a file.
    errors: codes besides those that every operation may answer with.
    public: whether it works without an access token.
    takes_file: whether the body is a file, whatever `body` says.
    """

    name: str
    tag: Tag
    summary: str
    method: str
    path: str
    params: type[P]
    query: type[Q]
    body: type[B]
    answers: Mapping[int, Any]
    errors: tuple[ErrorCode, ...] = ()
    public: bool = False
    takes_file: bool = False

    @property
    def status(self) -> int:
        """The usual status of success."""
        return min(self.answers, key=list(self.answers).index)
