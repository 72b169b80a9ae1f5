"""The settings as a flat list, in the order of the models: `server.name`, `server.bind_addr`, …"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc, getsource
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from homeserver.config.models import Config, Section

ENV_PREFIX = "FOYER__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key. `section` is "server" or "bridges.whatsapp", `name` the key in it."""

    section: str
    name: str
    default: Any
    secret: bool
    model: type[Section]

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def description(self) -> str:
        """What stands below the key in its model."""
        return _descriptions(self.model).get(self.name, "")

    @property
    def environment(self) -> str:
        return environment_name(self.key)


def environment_name(key: str) -> str:
    """The variable that sets a key: FOYER__SERVER__NAME for server.name."""
    return ENV_PREFIX + key.upper().replace(".", "__")


def sections(model: type[Section] = Config, path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Every table that has keys of its own, with its dotted path."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            inner = f"{path}.{name}" if path else name
            if any(True for _ in settings_of(section, inner)):
                yield inner, section
            yield from sections(section, inner)


def settings_of(section: type[Section], path: str) -> Iterator[Setting]:
    """The keys that stand in one table."""
    for name, field in section.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            yield _setting(section, path, name, field)


def all_settings() -> Iterator[Setting]:
    for path, section in sections():
        yield from settings_of(section, path)


def _setting(model: type[Section], section: str, name: str, field: FieldInfo) -> Setting:
    return Setting(
        section=section,
        name=name,
        default=field.default,
        secret=field.annotation is SecretStr,
        model=model,
    )


@cache
def _descriptions(model: type[Section]) -> MappingProxyType[str, str]:
    """By key. Read when somebody asks: pydantic would read the source at each start."""
    (definition,) = ast.parse(getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for each, below in pairwise(definition.body):
        match each, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = cleandoc(text)
    return MappingProxyType(found)
