"""From a method and a path to a route: a tree of path segments.

Segments are told apart before they are decoded, so an encoded slash belongs to its segment; an
empty last segment is a value too (the state key of `…/state/m.room.name/`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from homeserver.values import value

T = TypeVar("T")


@value
class Found(Generic[T]):
    """What serves a path. parameters: decoded, by name. path: with names instead of values."""

    target: T
    parameters: Mapping[str, str]
    path: str


@dataclass(slots=True)
class _Node(Generic[T]):
    """Where a path may go on, and what serves it if it ends here, by method."""

    fixed: "dict[str, _Node[T]]" = field(default_factory=dict)
    variable: "_Node[T] | None" = None
    names: tuple[str, ...] = ()
    path: str = ""
    targets: dict[str, T] = field(default_factory=dict)


class Router(Generic[T]):
    """Paths like `/a/{name}/b`; a fixed segment goes before a variable one."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        """Raises ValueError for a method and a path that something serves already."""
        node, names = self._root, []
        for segment in path.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.variable = node = node.variable or _Node()
            else:
                node = node.fixed.setdefault(segment, _Node())
        if method in node.targets:
            raise ValueError(f"{method} {path} is served already")
        node.names, node.path = tuple(names), path
        node.targets[method] = target

    def find(self, method: str, raw_path: str) -> Found[T] | frozenset[str]:
        """Or the methods that the path has; none: there is nothing at this path."""
        found = _walk(self._root, raw_path.split("/"), 0, ())
        if found is None:
            return frozenset()
        node, values = found
        target = node.targets.get(method)
        if target is None:
            return frozenset(node.targets)
        return Found(target, _decoded(node.names, values), node.path)


def _walk(
    node: _Node[T], segments: list[str], index: int, values: tuple[str, ...]
) -> tuple[_Node[T], tuple[str, ...]] | None:
    if index == len(segments):
        return (node, values) if node.targets else None
    following = node.fixed.get(segments[index])
    if following is not None:
        found = _walk(following, segments, index + 1, values)
        if found is not None:
            return found
    if node.variable is None:
        return None
    return _walk(node.variable, segments, index + 1, (*values, segments[index]))


def _decoded(names: Iterable[str], values: Iterable[str]) -> dict[str, str]:
    return {
        name: unquote(value) if "%" in value else value
        for name, value in zip(names, values, strict=True)
    }
