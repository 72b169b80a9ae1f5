"""The one table that turns errors into Matrix error codes and statuses.

Source: C-S API v1.19 "Standard error response", "Common error codes", "Other error codes".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from clientapi.errors import input_sentence
from homeserver.errors import (
    AccountDeactivated,
    AccountLocked,
    AccountSuspended,
    AliasTaken,
    BadAlias,
    Conflict,
    ControlledByServer,
    DuplicateAnnotation,
    FoyerError,
    GuestsNotAllowed,
    InvalidContent,
    InvalidInput,
    InvalidRoomState,
    InvalidSignature,
    InvalidUsername,
    InviteBlocked,
    KeyTooLarge,
    LimitExceeded,
    MediaExists,
    MissingToken,
    NameReserved,
    NoIdentityServer,
    NoMasterKey,
    NoPreview,
    NotAuthenticated,
    NotBanned,
    NotFound,
    NotYetUploaded,
    OutsideNamespace,
    ProfileTooLarge,
    Refused,
    RemoteTooLarge,
    TokenExpired,
    TooLarge,
    Unavailable,
    UnknownDevice,
    UnknownPosition,
    UnsupportedRoomVersion,
    Unusable,
    UsernameTaken,
    WeakPassword,
    WrongBackupVersion,
    WrongPassword,
)

_UNAVAILABLE_RETRY_MS = 1000


class MatrixError(Exception):
    """What a client is told. `extra`: further fields of the body."""

    def __init__(
        self, status: int, errcode: str, error: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.errcode = errcode
        self.error = error
        self.extra = extra or {}

    def body(self) -> dict[str, Any]:
        return {"errcode": self.errcode, "error": self.error, **self.extra}

    def headers(self) -> dict[str, str]:
        """RFC 9110, 10.2.3: Retry-After is in whole seconds."""
        retry_after_ms = self.extra.get("retry_after_ms")
        if retry_after_ms is None:
            return {}
        return {"Retry-After": str(max(1, -(-retry_after_ms // 1000)))}


@dataclass(frozen=True, slots=True)
class _Code:
    """The code of a kind of error, and its status."""

    errcode: str
    status: int


_CODES: Mapping[type[Exception], _Code] = MappingProxyType(
    {
        LimitExceeded: _Code("M_LIMIT_EXCEEDED", 429),
        MissingToken: _Code("M_MISSING_TOKEN", 401),
        AccountLocked: _Code("M_USER_LOCKED", 401),
        AccountDeactivated: _Code("M_USER_DEACTIVATED", 403),
        WrongPassword: _Code("M_FORBIDDEN", 403),
        NotAuthenticated: _Code("M_UNKNOWN_TOKEN", 401),
        AccountSuspended: _Code("M_USER_SUSPENDED", 403),
        OutsideNamespace: _Code("M_EXCLUSIVE", 403),
        GuestsNotAllowed: _Code("M_GUEST_ACCESS_FORBIDDEN", 403),
        InviteBlocked: _Code("M_INVITE_BLOCKED", 403),
        NotBanned: _Code("M_BAD_STATE", 403),
        WrongBackupVersion: _Code("M_WRONG_ROOM_KEYS_VERSION", 403),
        NoIdentityServer: _Code("M_SERVER_NOT_TRUSTED", 403),
        Refused: _Code("M_FORBIDDEN", 403),
        InvalidContent: _Code("M_BAD_JSON", 400),
        InvalidRoomState: _Code("M_INVALID_ROOM_STATE", 400),
        BadAlias: _Code("M_BAD_ALIAS", 400),
        UnsupportedRoomVersion: _Code("M_UNSUPPORTED_ROOM_VERSION", 400),
        InvalidUsername: _Code("M_INVALID_USERNAME", 400),
        WeakPassword: _Code("M_WEAK_PASSWORD", 400),
        UnknownDevice: _Code("M_UNKNOWN_DEVICE", 400),
        InvalidSignature: _Code("M_INVALID_SIGNATURE", 400),
        NoMasterKey: _Code("M_MISSING_PARAM", 400),
        UnknownPosition: _Code("M_UNKNOWN_POS", 400),
        InvalidInput: _Code("M_INVALID_PARAM", 400),
        ControlledByServer: _Code("M_BAD_JSON", 405),
        ProfileTooLarge: _Code("M_PROFILE_TOO_LARGE", 400),
        KeyTooLarge: _Code("M_KEY_TOO_LARGE", 400),
        RemoteTooLarge: _Code("M_TOO_LARGE", 502),
        TooLarge: _Code("M_TOO_LARGE", 413),
        AliasTaken: _Code("M_ROOM_IN_USE", 400),
        DuplicateAnnotation: _Code("M_DUPLICATE_ANNOTATION", 400),
        Conflict: _Code("M_UNKNOWN", 409),
        UsernameTaken: _Code("M_USER_IN_USE", 400),
        NameReserved: _Code("M_EXCLUSIVE", 400),
        NoPreview: _Code("M_UNKNOWN", 502),
        Unusable: _Code("M_UNKNOWN", 400),
        NotFound: _Code("M_NOT_FOUND", 404),
        MediaExists: _Code("M_CANNOT_OVERWRITE_MEDIA", 409),
        NotYetUploaded: _Code("M_NOT_YET_UPLOADED", 504),
        Unavailable: _Code("M_UNKNOWN", 503),
    }
)
"""The code of each error; the nearest class above it counts."""


def matrix_error(error: BaseException, *, request_id: str = "") -> MatrixError:
    """What a client is told about an error; M_UNKNOWN with 500 for a defect of ours."""
    if isinstance(error, MatrixError):
        return error
    code = next((_CODES[each] for each in type(error).__mro__ if each in _CODES), None)
    if code is None:
        where = f"; its log has more under the request ID {request_id}" if request_id else ""
        return MatrixError(500, "M_UNKNOWN", f"The server made a mistake{where}")
    return MatrixError(code.status, code.errcode, str(error), _extra(error))


def _extra(error: BaseException) -> dict[str, Any]:
    if isinstance(error, LimitExceeded):
        return {"retry_after_ms": error.retry_after_ms}
    if isinstance(error, Unavailable):
        return {"retry_after_ms": _UNAVAILABLE_RETRY_MS}
    if isinstance(error, TokenExpired | AccountLocked):
        # C-S API v1.19 "Soft logout", "Account locking": the client keeps what it has.
        return {"soft_logout": True}
    if isinstance(error, WrongBackupVersion):
        return {"current_version": error.current_version}
    return {}


def unrecognized(methods: frozenset[str]) -> MatrixError:
    """C-S API v1.19 "M_UNRECOGNIZED": 404 for an unknown path, 405 for an unknown method."""
    if methods:
        return MatrixError(405, "M_UNRECOGNIZED", "This path does not have this method.")
    return MatrixError(404, "M_UNRECOGNIZED", "This server knows no such endpoint.")


def not_json(sentence: str = "The body is not JSON.") -> MatrixError:
    return MatrixError(400, "M_NOT_JSON", sentence)


def bad_json(sentence: str) -> MatrixError:
    return MatrixError(400, "M_BAD_JSON", sentence)


def body_error(error: ValidationError) -> FoyerError | MatrixError:
    """What is wrong with a body: M_NOT_JSON, or M_BAD_JSON with the first thing that is."""
    kind, sentence = input_sentence(error, what="body")
    return not_json(sentence) if kind == "json_invalid" else bad_json(sentence)


def query_error(error: ValidationError) -> MatrixError:
    """What is wrong with the parameters of a query."""
    kind, sentence = input_sentence(error, what="query")
    errcode = "M_MISSING_PARAM" if kind == "missing" else "M_INVALID_PARAM"
    return MatrixError(400, errcode, sentence)
