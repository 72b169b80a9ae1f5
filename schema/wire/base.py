"""What the models are made of: base classes, identifiers, texts, times."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

NOT_FOUND_ERROR = "not_found"
"""Type of the validation error of an identifier that cannot be one; its context has the kind."""

MAX_MESSAGE_BYTES = 60_000
"""What no setting can exceed: an event as a whole has at most 65,536 bytes."""

_NO_NUL = r"^[^\u0000]*$"
_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_PICTURE_PATH = re.compile(
    r"/api/attachments/(?P<origin>[^/?#\s]+)/(?P<media_id>[A-Za-z0-9_-]{1,255})(/[^/?#]*)?",
    re.ASCII,
)
_AVATAR_URL = (
    r"^((https?|mxc)://[^/?#\u0000]+[^\u0000]*"
    r"|/api/attachments/[^/?#\s\u0000]+/[A-Za-z0-9_-]+(/[^/?#\u0000]*)?)?$"
)
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
    """Parameters of a path or a query string: text that is converted."""

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
            raise _not_an_identifier(value, kind) from None
        return parsed

    return WrapValidator(parse)


def _not_an_identifier(value: object, kind: str) -> PydanticCustomError:
    if not isinstance(value, str):
        return PydanticCustomError("uuid_type", "must be a string with a UUID")
    context = {"kind": kind, "Kind": kind.capitalize()}
    return PydanticCustomError(NOT_FOUND_ERROR, "{Kind} not found", context)


@dataclass(frozen=True, slots=True)
class TextCheck:
    """Metadata of a text type: a check, and the same as a pattern for JSON Schema."""

    check: Callable[[str], str]
    pattern: str = _NO_NUL

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern}


def _without_nul(text: str) -> str:
    """PostgreSQL's text has no NUL, and no message means one."""
    if "\0" in text:
        raise PydanticCustomError("text", "must not contain NUL characters")
    return text


def not_blank(text: str) -> str:
    """Validator of a text that says something."""
    if not text.strip():
        raise PydanticCustomError("text", "must not be blank")
    return _without_nul(text)


def _avatar_url(text: str) -> str:
    """Empty, or an address that a client may load: no `javascript:`, no `data:`. The path of an
    attachment, on this server, is as good as its mxc address, which it becomes.
    """
    path = _PICTURE_PATH.fullmatch(_without_nul(text))
    if path is not None:
        return f"mxc://{path['origin']}/{path['media_id']}"
    url = urlsplit(text)
    if text and (url.scheme not in _AVATAR_SCHEMES or not url.netloc):
        raise PydanticCustomError(
            "url", "must be an http, https or mxc address, the path of an attachment, or empty"
        )
    return text


RoomUUID = Annotated[UUID, _naming("room")]
MessageUUID = Annotated[UUID, _naming("message")]
UserUUID = Annotated[UUID, _naming("user")]
SessionUUID = Annotated[UUID, _naming("session")]

NUL_FREE = TextCheck(_without_nul)
FILLED = TextCheck(not_blank, _NOT_BLANK)
"""Not only white space."""

MessageText = Annotated[str, Field(max_length=MAX_MESSAGE_BYTES), FILLED]
"""Content of a message. The server's setting limits its bytes further."""

MAX_ATTACHMENTS = 20


def _identifier(value: object) -> object:
    """What the upload answered may be given back as a whole."""
    return value.get("id") if isinstance(value, dict) else value


AttachmentUUID = Annotated[UUID, BeforeValidator(_identifier)]
Attachments = Annotated[tuple[AttachmentUUID, ...], Field(max_length=MAX_ATTACHMENTS)]

ReactionKey = Annotated[str, Field(max_length=100), FILLED]
AvatarURL = Annotated[str, Field(max_length=2000), TextCheck(_avatar_url, _AVATAR_URL)]

Ref = Annotated[str, Field(max_length=64), FILLED]
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
