"""The one table that turns errors into codes, and codes into bodies and frames.

The status of each code stands with it in `schema.wire.errors`.
Both native façades use it: REST renders a `Problem` as a body with a status, the WebSocket as an
error frame. What is not a FoyerError is a defect: INTERNAL, for the caller without details.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from homeserver.errors import (
    Conflict,
    EncryptionRequired,
    FoyerError,
    InvalidInput,
    LimitExceeded,
    NotAuthenticated,
    NotFound,
    PasswordRequired,
    Refused,
    TooLarge,
    Unavailable,
    Unusable,
    WrongBackupVersion,
)
from schema.wire.base import NOT_FOUND_ERROR
from schema.wire.errors import ErrorCode

_CODES: Mapping[type[Exception], ErrorCode] = MappingProxyType(
    {
        LimitExceeded: ErrorCode.RATE_LIMITED,
        NotAuthenticated: ErrorCode.UNAUTHENTICATED,
        EncryptionRequired: ErrorCode.ENCRYPTION_REQUIRED,
        PasswordRequired: ErrorCode.PASSWORD_REQUIRED,
        WrongBackupVersion: ErrorCode.WRONG_BACKUP_VERSION,
        Refused: ErrorCode.FORBIDDEN,
        InvalidInput: ErrorCode.INVALID_INPUT,
        TooLarge: ErrorCode.TOO_LARGE,
        Conflict: ErrorCode.CONFLICT,
        Unusable: ErrorCode.INVALID_INPUT,
        NotFound: ErrorCode.NOT_FOUND,
        Unavailable: ErrorCode.UNAVAILABLE,
    }
)
"""The code of each error; the nearest class above it counts."""

_NOT_FOUND_CODES: Mapping[str, ErrorCode] = MappingProxyType(
    {
        "room": ErrorCode.INVALID_ROOM,
        "message": ErrorCode.INVALID_MESSAGE,
        "user": ErrorCode.INVALID_USER,
    }
)

_UNAVAILABLE_RETRY_MS = 1000
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as a client is told about it. `field` is a dotted path or ""."""

    code: ErrorCode
    message: str
    field: str = ""
    retry_after_ms: int | None = None

    @property
    def status(self) -> int:
        return self.code.status

    @property
    def is_defect(self) -> bool:
        """Whether it is this server's fault and belongs into its log."""
        return self.code is ErrorCode.INTERNAL

    def body(self) -> dict[str, Any]:
        """A `schema.wire.errors.ErrorBody`."""
        return {"code": self.code.value, "message": self.message, **self._details()}

    def frame(self, ref: str | None = None) -> dict[str, Any]:
        """A `schema.wire.server_frames.ErrorFrame`."""
        frame = {"type": "error", **self.body()}
        return frame if ref is None else {**frame, "ref": ref}

    def headers(self) -> dict[str, str]:
        """RFC 9110: WWW-Authenticate (11.6.1), and Retry-After in whole seconds (10.2.3)."""
        headers = {}
        if self.code is ErrorCode.UNAUTHENTICATED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_ms is not None:
            headers["Retry-After"] = str(max(1, -(-self.retry_after_ms // 1000)))
        return headers

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = {}
        if self.field:
            details["field"] = self.field
        if self.retry_after_ms is not None:
            details["retry_after_ms"] = self.retry_after_ms
        return details


def problem_of(error: BaseException, *, request_id: str = "") -> Problem:
    """What a client is told about an error.

    request_id: of the answer, for errors that the caller can only report.
    """
    code = _code_of(error)
    if code is ErrorCode.INTERNAL:
        return _defect(request_id)
    return Problem(
        code=code,
        message=str(error),
        field=error.field if isinstance(error, InvalidInput) else "",
        retry_after_ms=_retry_after_ms(error),
    )


def _code_of(error: BaseException) -> ErrorCode:
    if isinstance(error, NotFound):
        return _NOT_FOUND_CODES.get(error.kind, ErrorCode.NOT_FOUND)
    ancestors = type(error).__mro__
    return next((_CODES[each] for each in ancestors if each in _CODES), ErrorCode.INTERNAL)


def _defect(request_id: str) -> Problem:
    where = f"; its log has more under the request ID {request_id}" if request_id else ""
    return Problem(code=ErrorCode.INTERNAL, message=f"The server made a mistake{where}")


def _retry_after_ms(error: BaseException) -> int | None:
    if isinstance(error, LimitExceeded):
        return error.retry_after_ms
    return _UNAVAILABLE_RETRY_MS if isinstance(error, Unavailable) else None


def input_error(error: ValidationError, *, what: str = "body") -> FoyerError:
    """What is wrong with a body or a query, from the first thing that is.

    An identifier that cannot be one is the same NotFound as one that nobody has; anything else
    is InvalidInput. what: the word for the whole, when no field of it is to blame.
    """
    return _first_error(_details_of(error), what, path_begin=0)


def input_sentence(error: ValidationError, *, what: str) -> tuple[str, str]:
    """The first thing that is wrong: pydantic's type of error, and a sentence about it."""
    first = _details_of(error)[0]
    path = ".".join(str(part)[:_MAX_NAME_LENGTH] for part in first["loc"])
    return first["type"], _sentence(first, path, what)


def frame_problem(error: ValidationError) -> Problem:
    """What is wrong with a frame that `parse_client_frame` refused."""
    details = _details_of(error)
    match details[0]:
        case {"type": "union_tag_invalid", "ctx": {"tag": str(name)}}:
            sentence = f"There are no frames of the type {name[:_MAX_NAME_LENGTH]!r}"
            return Problem(code=ErrorCode.UNKNOWN_FRAME, message=sentence)
        case {"type": "union_tag_not_found"}:
            return Problem(code=ErrorCode.INVALID_FRAME, message="type is missing")
        case {"loc": ()} as whole:
            return Problem(code=ErrorCode.INVALID_FRAME, message=_sentence(whole, "", "frame"))
        case _:
            # pydantic begins the path of every field with the type of the frame.
            return problem_of(_first_error(details, "frame", path_begin=1))


def _details_of(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _first_error(details: Sequence[ErrorDetails], what: str, *, path_begin: int) -> FoyerError:
    first = next((each for each in details if each["type"] != NOT_FOUND_ERROR), details[0])
    if first["type"] == NOT_FOUND_ERROR:
        return NotFound(first["msg"], kind=first["ctx"]["kind"])
    path = ".".join(str(part)[:_MAX_NAME_LENGTH] for part in first["loc"][path_begin:])
    return InvalidInput(_sentence(first, path, what), field=path)


def _sentence(detail: ErrorDetails, path: str, what: str) -> str:
    """`limit should be less than or equal to 200`, without the value."""
    subject = path or f"The {what}"
    match detail["type"]:
        case "missing":
            return f"{subject} is missing"
        case "extra_forbidden":
            return f"{subject} is not a field that is known here"
        case "json_invalid":
            return f"The {what} is not JSON: {detail['ctx']['error']}"
        case _:
            return f"{subject} {_predicate(detail['msg'])}"


def _predicate(message: str) -> str:
    """Pydantic begins with "Input" or the name of a type; errors of our own with a verb."""
    _, should, rest = message.partition("should ")
    return f"{should}{rest}" if should else message
