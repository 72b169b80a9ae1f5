"""What the models are made of: base classes, identifiers, texts, times."""

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

NOT_FOUND_ERROR = "not_found"
"""Type of the validation error of an identifier that cannot be one; its context has the kind."""

MAX_MESSAGE_BYTES = 60_000
"""What no setting can exceed: an event as a whole has at most 65,536 bytes."""

_AVATAR_SCHEMES = frozenset({"http", "https", "mxc"})


class Request(BaseModel):
    """What a client sends. Fields that it does not know are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class ExactRequest(Request):
    """What a client sends, where a misspelt field would lose data: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Query(BaseModel):
    """Parameters of a query string: text that is converted."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Answer(BaseModel):
    """What the server sends. Newer servers may add fields; a client ignores what it knows not."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def _naming(kind: str) -> WrapValidator:
    """Text that is no UUID names nothing: the same error as an identifier nobody has."""

    def parse(value: object, parse_uuid: ValidatorFunctionWrapHandler) -> UUID:
        try:
            parsed: UUID = parse_uuid(value)
        except ValidationError:
            if not isinstance(value, str):
                raise
            raise PydanticCustomError(
                NOT_FOUND_ERROR, "{sentence}", {"kind": kind, "sentence": not_found_sentence(kind)}
            ) from None
        return parsed

    return WrapValidator(parse)


def not_found_sentence(kind: str) -> str:
    """`Room not found`."""
    return f"{kind.capitalize()} not found"


def _without_nul(text: str) -> str:
    """PostgreSQL's text has no NUL, and no message means one."""
    if "\0" in text:
        raise PydanticCustomError("text", "must not contain NUL characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("text", "must not be blank")
    return _without_nul(text)


def _avatar_url(text: str) -> str:
    """Empty, or an address that a client may load: no `javascript:`, no `data:`."""
    url = urlsplit(_without_nul(text))
    if text and (url.scheme not in _AVATAR_SCHEMES or not url.netloc):
        raise PydanticCustomError("url", "must be an http, https or mxc address, or empty")
    return text


RoomUUID = Annotated[UUID, _naming("room")]
MessageUUID = Annotated[UUID, _naming("message")]
UserUUID = Annotated[UUID, _naming("user")]

_NO_NUL_PATTERN = r"^[^\u0000]*$"
_NOT_BLANK_PATTERN = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

Text = Annotated[
    str, AfterValidator(_without_nul), Field(json_schema_extra={"pattern": _NO_NUL_PATTERN})
]
"""Any text without NUL."""

FilledText = Annotated[
    str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": _NOT_BLANK_PATTERN})
]
"""Text that has something else than white space."""

MessageText = Annotated[FilledText, Field(max_length=MAX_MESSAGE_BYTES)]
"""Content of a message. The server's setting limits its bytes further."""

ReactionKey = Annotated[FilledText, Field(max_length=255)]
AvatarURL = Annotated[Text, AfterValidator(_avatar_url), Field(max_length=1000)]

Ref = Annotated[FilledText, Field(max_length=64)]
"""A client's own name for a request. One that repeats in a session is the same request."""

Timestamp = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
"""RFC 3339 in UTC; `schema.wire.times.timestamp` makes them, with milliseconds."""

Cursor = Annotated[str, Field(max_length=64)]
"""How far a connection has come; opaque."""
