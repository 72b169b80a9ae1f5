"""Application services: who they are, and which users and aliases are theirs.

Source: Application Service API v1.19 "Registration".
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from homeserver.config import ConfigError
from homeserver.errors import InvalidIdentifier
from homeserver.identifiers import ServerName, UserID, parse_new_user_id


class _File(BaseModel):
    """Part of a registration file. Fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Namespace(_File):
    exclusive: bool
    regex: str

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        try:
            re.compile(regex)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return regex


class _Namespaces(_File):
    users: tuple[_Namespace, ...] = ()
    aliases: tuple[_Namespace, ...] = ()
    rooms: tuple[_Namespace, ...] = ()


class _Registration(_File):
    id: str = Field(min_length=1)
    url: str | None
    as_token: str = Field(min_length=1)
    hs_token: str = Field(min_length=1)
    sender_localpart: str
    namespaces: _Namespaces
    rate_limited: bool = True
    receive_ephemeral: bool = False
    protocols: tuple[str, ...] = ()

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must be an http:// or https:// address, or null")
        return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class Namespace:
    """Identifiers that begin as the expression says. exclusive: nobody else may use them."""

    pattern: re.Pattern[str]
    exclusive: bool


@dataclass(frozen=True, slots=True)
class ApplicationService:
    """A program that stands for many users. `url` None: it wants to hear nothing.

    rate_limited: whether requests of its users are counted; those of `sender` never are.
    """

    id: str
    url: str | None
    as_token: str
    hs_token: str
    sender: UserID
    users: tuple[Namespace, ...]
    aliases: tuple[Namespace, ...]
    rooms: tuple[Namespace, ...]
    rate_limited: bool
    receive_ephemeral: bool
    protocols: tuple[str, ...]

    def may_be(self, user_id: UserID) -> bool:
        """Whether it may act as this user."""
        return user_id == self.sender or _matches(self.users, user_id)

    def may_have_alias(self, alias: str) -> bool:
        return _matches(self.aliases, alias)

    def reserves_user(self, user_id: UserID) -> bool:
        """Whether nobody else may be this user."""
        return user_id == self.sender or _matches(self.users, user_id, exclusive=True)

    def reserves_alias(self, alias: str) -> bool:
        return _matches(self.aliases, alias, exclusive=True)


class ApplicationServices:
    """Those of one server."""

    def __init__(self, services: Iterable[ApplicationService] = ()) -> None:
        """Raises ConfigError where two have the same ID or the same token."""
        self._services = tuple(services)
        self._by_token = {_key(each.as_token): each for each in self._services}
        self._by_id = {each.id: each for each in self._services}
        if len(self._by_token) != len(self._services) or len(self._by_id) != len(self._services):
            raise ConfigError(["appservices: two have the same id or the same as_token."])

    def __iter__(self) -> Iterator[ApplicationService]:
        return iter(self._services)

    def by_token(self, token: str) -> ApplicationService | None:
        """The one whose `as_token` it is."""
        if not self._services:
            return None
        return self._by_token.get(_key(token))

    def by_id(self, service_id: str) -> ApplicationService | None:
        return self._by_id.get(service_id)

    def reserving_user(self, user_id: UserID) -> ApplicationService | None:
        """The one that keeps this user ID for itself."""
        return next((each for each in self._services if each.reserves_user(user_id)), None)

    def reserving_alias(self, alias: str) -> ApplicationService | None:
        """The one that keeps this room alias for itself."""
        return next((each for each in self._services if each.reserves_alias(alias)), None)


def load_application_services(
    files: Sequence[Path], server_name: ServerName
) -> ApplicationServices:
    """What registration files say. Raises ConfigError with a sentence for each thing to mend."""
    problems: list[str] = []
    services = [
        service for path in files if (service := _read(path, server_name, problems)) is not None
    ]
    if problems:
        raise ConfigError(problems)
    return ApplicationServices(services)


def _read(path: Path, server_name: ServerName, problems: list[str]) -> ApplicationService | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _service(_Registration.model_validate(content), server_name)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except ValidationError as error:
        problems += [f"{path}: {_sentence(each)}" for each in error.errors(include_input=False)]
    except InvalidIdentifier as error:
        problems.append(f"{path}: sender_localpart: {error}")
    except (yaml.YAMLError, ValueError):
        problems.append(f"{path}: is not YAML")
    return None


def _sentence(detail: Any) -> str:
    where = ".".join(map(str, detail["loc"]))
    return f"{where}: {detail['msg'].removeprefix('Value error, ').removeprefix('Input ')}"


def _service(file: _Registration, server_name: ServerName) -> ApplicationService:
    return ApplicationService(
        id=file.id,
        url=file.url,
        as_token=file.as_token,
        hs_token=file.hs_token,
        sender=parse_new_user_id(file.sender_localpart, server_name),
        users=_namespaces(file.namespaces.users),
        aliases=_namespaces(file.namespaces.aliases),
        rooms=_namespaces(file.namespaces.rooms),
        rate_limited=file.rate_limited,
        receive_ephemeral=file.receive_ephemeral,
        protocols=file.protocols,
    )


def _namespaces(given: Iterable[_Namespace]) -> tuple[Namespace, ...]:
    return tuple(Namespace(re.compile(each.regex), each.exclusive) for each in given)


def _matches(namespaces: Iterable[Namespace], text: str, *, exclusive: bool = False) -> bool:
    """exclusive: only in namespaces that are."""
    return any(
        each.pattern.match(text) is not None
        for each in namespaces
        if each.exclusive or not exclusive
    )


def _key(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
