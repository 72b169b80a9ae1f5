"""Errors of the native protocol: codes, the REST body, the reasons of a closed WebSocket."""

from enum import IntEnum, StrEnum
from typing import Self

from schema.wire.base import Answer


class ErrorCode(StrEnum):
    """What went wrong, for programs; `message` says it to people."""

    status: int
    """Of a REST answer."""
    meaning: str

    def __new__(cls, code: str, status: int, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.meaning = meaning
        return member

    INVALID_ROOM = "INVALID_ROOM", 404, "No such room, or none that the caller may see."
    INVALID_MESSAGE = "INVALID_MESSAGE", 404, "No such message, or none that the caller may see."
    INVALID_USER = "INVALID_USER", 404, "No such user."
    NOT_FOUND = "NOT_FOUND", 404, "Something else that was named does not exist: a path, a session."
    INVALID_INPUT = "INVALID_INPUT", 400, "Malformed or out of range; `field` says where."
    INVALID_FRAME = "INVALID_FRAME", 400, "Not a frame: no JSON object with a `type`."
    UNKNOWN_FRAME = "UNKNOWN_FRAME", 400, "The server does not know frames of this `type`."
    METHOD_NOT_ALLOWED = (
        "METHOD_NOT_ALLOWED",
        405,
        "The path has other methods; the header `Allow` lists them.",
    )
    UNAUTHENTICATED = "UNAUTHENTICATED", 401, "No valid token, password or ticket."
    FORBIDDEN = "FORBIDDEN", 403, "A rule of the room or of the server forbids it."
    ENCRYPTION_REQUIRED = (
        "ENCRYPTION_REQUIRED",
        403,
        "Messages of this room must be encrypted: send `encrypted`.",
    )
    PASSWORD_REQUIRED = (
        "PASSWORD_REQUIRED",
        403,
        "Only whoever knows the account's password may; `password` is missing or wrong.",
    )
    WRONG_BACKUP_VERSION = (
        "WRONG_BACKUP_VERSION",
        403,
        "Keys go into the newest backup only, and this is another.",
    )
    RATE_LIMITED = "RATE_LIMITED", 429, "Too fast; `retry_after_ms` says when to try again."
    TOO_LARGE = "TOO_LARGE", 413, "Over a size limit."
    CONFLICT = (
        "CONFLICT",
        409,
        "Collides with what exists, such as an e-mail address that is taken.",
    )
    UNAVAILABLE = "UNAVAILABLE", 503, "The server cannot answer now; trying again later helps."
    CURSOR_TOO_OLD = (
        "CURSOR_TOO_OLD",
        410,
        "More was missed than the server repeats: load the rooms over REST.",
    )
    TOO_MANY_CONNECTIONS = (
        "TOO_MANY_CONNECTIONS",
        429,
        "The user has as many open connections as one may have.",
    )
    INTERNAL = "INTERNAL", 500, "A defect of the server; its log has the request ID of the answer."


class ErrorBody(Answer):
    """The body of every REST answer with a status of 400 or above."""

    code: ErrorCode
    message: str
    """A sentence for people."""
    field: str | None = None
    """INVALID_INPUT: dotted path of what cannot be used, such as `members.3`."""
    retry_after_ms: int | None = None
    """RATE_LIMITED and UNAVAILABLE: when to try again."""


class CloseCode(IntEnum):
    """Why the server closes a WebSocket. RFC 6455, 7.4: 4000 to 4999 are the application's."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    GOING_AWAY = 1001, "The server stops. Connect again later, with the cursor."
    TOO_BIG = 1009, "A frame was larger than the server takes."
    RESTART = 1012, "The server restarts. Connect again soon, with the cursor."
    UNAUTHENTICATED = 4001, "The token is invalid, has expired, or its session was revoked."
    PROTOCOL = 4002, "What came was no text frame."
    TOO_SLOW = 4008, "The client read too slowly. Connect again with the cursor: nothing is lost."
    TOO_MANY_CONNECTIONS = 4009, "The user has as many open connections as one may have."
    FLOODING = 4029, "Far too many frames."
