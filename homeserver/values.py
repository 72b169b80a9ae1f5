"""Values: small records that never change once they are made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform, overload

_Class = TypeVar("_Class", bound=type)


@overload
def value(cls: _Class, /) -> _Class: ...


@overload
def value(*, eq: bool = True, kw_only: bool = False) -> Callable[[_Class], _Class]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[Any] | None = None, /, *, eq: bool = True, kw_only: bool = False) -> Any:
    """A slotted dataclass that is frozen for the type checker, and so for this program.

    `dataclass(frozen=True)` checks each assignment again while the program runs, its own in
    `__init__` included: an object of eight fields then takes five times as long to make. For what
    is made with every message; elsewhere a frozen dataclass is as good.
    """

    def make(cls: type[Any]) -> type[Any]:
        return dataclass(slots=True, eq=eq, unsafe_hash=eq, kw_only=kw_only)(cls)

    return make if cls is None else make(cls)
