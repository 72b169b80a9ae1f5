"""What a client has on its screens, or has not yet."""

from collections.abc import Iterable
from typing import TypeVar

_Seen = TypeVar("_Seen")


class NotSeenYet(Exception):
    """It has not come to this client."""


def the(found: Iterable[_Seen]) -> _Seen:
    """The first of what was found. Raises NotSeenYet."""
    for each in found:
        return each
    raise NotSeenYet
