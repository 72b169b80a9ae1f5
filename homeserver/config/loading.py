"""Reading settings: the file, then the environment, then the command line; the later one wins."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from homeserver.config.models import Config
from homeserver.config.settings import ENV_PREFIX, all_settings, environment_name

_NONE: Mapping[str, object] = MappingProxyType({})
_SECRETS = frozenset(setting.key for setting in all_settings() if setting.secret)
_KEYS = frozenset(setting.key for setting in all_settings())
_FILE_SUFFIX = "_file"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value and where it was given, in the words of whoever gave it."""

    value: object
    place: str


_Source = dict[str, _Given]
"""What one source says, by dotted key."""


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NONE,
) -> Config:
    """The settings of a file (if any), the environment and the command line.

    overrides: values by dotted key, such as {"server.bind_addr": "[::]:80"}; None is "not given".
    Raises ConfigError with every problem found.
    """
    problems: list[str] = []
    merged: _Source = {}
    for source in (_from_file(path), _from_environment(environ), _from_overrides(overrides)):
        problems += _unknown_keys(source)
        merged |= _with_secrets_read(source, problems)
    config = _validate({key: merged[key] for key in merged if key in _KEYS}, problems)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _from_file(path: Path | None) -> _Source:
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None
    return {key: _Given(value, f"{path}: {key}") for key, value in _flat(tables)}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _from_environment(environ: Mapping[str, str]) -> _Source:
    return {
        variable.removeprefix(ENV_PREFIX).lower().replace("__", "."): _Given(value, variable)
        for variable, value in environ.items()
        if variable.startswith(ENV_PREFIX)
    }


def _from_overrides(overrides: Mapping[str, object]) -> _Source:
    return {
        key: _Given(value, f"command line: {key}")
        for key, value in overrides.items()
        if value is not None
    }


def _unknown_keys(source: _Source) -> list[str]:
    return [
        f"{given.place}: no such setting{_suggestion(key, given.place)}"
        for key, given in source.items()
        if key not in _KEYS and _secret_of(key) is None
    ]


def _suggestion(key: str, place: str) -> str:
    nearest = get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    if not nearest:
        return ""
    return f"; did you mean {environment_name(nearest[0]) if place.isupper() else nearest[0]}?"


def _secret_of(key: str) -> str | None:
    """The secret that `<key>_file` names a file for."""
    base = key.removesuffix(_FILE_SUFFIX)
    return base if base != key and base in _SECRETS else None


def _with_secrets_read(source: _Source, problems: list[str]) -> _Source:
    """The source with each `<key>_file` replaced by the key and what the file holds."""
    read: _Source = {}
    for key, given in source.items():
        secret = _secret_of(key)
        if secret is None:
            read[key] = given
        elif secret in source:
            problems.append(f"{given.place}: {secret} is given as well; one of them must go")
        else:
            read[secret] = _read_secret(given, problems)
    return read


def _read_secret(given: _Given, problems: list[str]) -> _Given:
    try:
        value = Path(str(given.value)).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        problems.append(f"{given.place}: {given.value} cannot be read: {reason}")
        value = ""
    return _Given(value, f"{given.place}: {given.value}")


def _validate(given: _Source, problems: list[str]) -> Config | None:
    try:
        return Config.model_validate(_nested(given))
    except ValidationError as error:
        problems += [_sentence(detail, given) for detail in error.errors(include_input=False)]
        return None


def _nested(given: _Source) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, entry in given.items():
        *path, name = key.split(".")
        table = root
        for section in path:
            table = table.setdefault(section, {})
        table[name] = entry.value
    return root


def _sentence(detail: ErrorDetails, given: _Source) -> str:
    """`foyer.toml: server.max_body_bytes: should be a valid integer`, without the value."""
    location = [str(part) for part in detail["loc"]]
    place = _place(location, given)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {message}" if place else message


def _place(location: Sequence[str], given: _Source) -> str:
    """Where the value was given that an error is about; its key if nobody gave one."""
    for length in range(len(location), 0, -1):
        key = ".".join(location[:length])
        if key in given:
            return given[key].place
    return ".".join(location)
