"""Kinds of values that settings have, with the checks that a type alone does not make."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from homeserver.errors import InvalidIdentifier
from homeserver.identifiers import parse_server_name

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65_535
_MIN_JWT_SECRET_BYTES = 32

_T = TypeVar("_T")


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`host:port`, with an IPv6 address in brackets. Raises ValueError otherwise."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _MAX_PORT:
            raise ValueError("must be host:port, for example 127.0.0.1:8081 or [::1]:8081")
        return cls(match["v6"] or match["host"], int(match["port"]))


def _check_address(text: str) -> str:
    Address.parse(text)
    return text


def _check_server_name(text: str) -> str:
    try:
        return parse_server_name(text)
    except InvalidIdentifier as error:
        raise ValueError("must be a host name or address, with an optional port") from error


def _check_origin(text: str) -> str:
    """`*`, or scheme, host and port as browsers send them in Origin (RFC 6454, 6.2)."""
    url = urlsplit(text)
    if text != "*" and (not url.netloc or text != f"{url.scheme}://{url.netloc}"):
        raise ValueError('must be "*" or an origin such as https://app.example.com, without a path')
    return text


def _check_public_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.netloc or url.query or url.fragment:
        raise ValueError("must be an http:// or https:// address")
    return text.rstrip("/")


def _check_database_url(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().startswith(("postgres://", "postgresql://")):
        raise ValueError("must start with postgres:// or postgresql://")
    return secret


def _check_jwt_secret(secret: SecretStr) -> SecretStr:
    """RFC 7518, 3.2: a key for HS256 is at least as long as the hash."""
    if len(secret.get_secret_value().encode()) < _MIN_JWT_SECRET_BYTES:
        raise ValueError(f"must have at least {_MIN_JWT_SECRET_BYTES} bytes")
    return secret


def _unless_empty(check: Callable[[_T], _T]) -> Callable[[_T], _T]:
    return lambda value: check(value) if value else value


def from_text(value: Any) -> Any:
    """A list from the environment: a JSON array, or words separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json_array(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _json_array(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError("is not a JSON array") from error


def parse_moment(text: str) -> datetime:
    """`2026-01-31` or `2026-01-31T12:00:00Z`; without a time zone: UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _check_moment(text: str) -> str:
    try:
        parse_moment(text)
    except ValueError:
        raise ValueError("must be a date, or a date and time (ISO 8601)") from None
    return text


ServerNameText = Annotated[str, AfterValidator(_check_server_name)]
BindAddress = Annotated[str, AfterValidator(_check_address)]
OptionalBindAddress = Annotated[str, AfterValidator(_unless_empty(_check_address))]
PublicURL = Annotated[str, AfterValidator(_check_public_url)]
OptionalPublicURL = Annotated[str, AfterValidator(_unless_empty(_check_public_url))]
DatabaseURL = Annotated[SecretStr, AfterValidator(_unless_empty(_check_database_url))]
JWTSecret = Annotated[SecretStr, AfterValidator(_unless_empty(_check_jwt_secret))]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(from_text)
]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(from_text)]
Seconds = Annotated[float, Field(gt=0)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=_MAX_PORT)], ...], BeforeValidator(from_text)]
OptionalMoment = Annotated[str, AfterValidator(_unless_empty(_check_moment))]
Paths = Annotated[tuple[Path, ...], BeforeValidator(from_text)]
TurnURIs = Annotated[
    tuple[Annotated[str, Field(pattern=r"^turns?:\S+$")], ...], BeforeValidator(from_text)
]
Registrations = Annotated[
    Literal["closed", "token", "open"],
    BeforeValidator(lambda value: "token" if value == "invite" else value),
]
"""`invite` is the word of earlier versions for `token`."""
Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
