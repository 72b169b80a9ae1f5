"""Which thumbnail answers a request. Pure.

A request names any size; what is made and kept is one of few sizes, so that nobody can make the
server keep many thumbnails of a picture.
Source: C-S API v1.19 "Thumbnails".
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from homeserver.errors import InvalidInput

Method = Literal["crop", "scale"]

MAX_SIDE = 10_000
"""Nobody has a larger screen; a request for more is a mistake."""

SCALED = ((320, 240), (640, 480), (800, 600), (1600, 1200), (3200, 2400))
"""Sizes into which a picture is fitted: those that the specification recommends, then those that
dense screens ask for."""

CROPPED = (32, 96, 320, 640, 1280)
"""The longer side of what is cut out; the specification recommends 32x32 and 96x96."""

_RATIOS = tuple(
    Fraction(width, height)
    for width, height in ((1, 1), (4, 3), (3, 4), (16, 9), (9, 16), (2, 1), (1, 2), (3, 1), (1, 3))
)


@dataclass(frozen=True, slots=True)
class Size:
    """Of a picture, in pixels."""

    width: int
    height: int

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.width, self.height)

    def covers(self, other: "Size") -> bool:
        return self.width >= other.width and self.height >= other.height


@dataclass(frozen=True, slots=True)
class Target:
    """A thumbnail that may be made."""

    size: Size
    method: Method
    animated: bool = False


def requested(width: int, height: int) -> Size:
    """The size that a client asks for. Raises InvalidInput."""
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise InvalidInput(f"{name} must be between 1 and {MAX_SIDE}.", field=name)
    return Size(width, height)


@lru_cache(maxsize=4096)
def choose(wanted: Size, method: Method, *, animated: bool = False) -> Target:
    """The smallest size that is at least as large as what is wanted; else the largest there is.

    What is cut out has the nearest of a few shapes, so that there are few of them, too.
    """
    sizes = _cut_sizes(wanted.ratio) if method == "crop" else [Size(*size) for size in SCALED]
    chosen = next((size for size in sizes if size.covers(wanted)), sizes[-1])
    return Target(size=chosen, method=method, animated=animated)


def all_targets() -> frozenset[Target]:
    """Every thumbnail that a picture can have."""
    sizes: list[tuple[Method, Size]] = [("scale", Size(*size)) for size in SCALED]
    sizes += [("crop", size) for ratio in _RATIOS for size in _cut_sizes(ratio)]
    return frozenset(
        Target(size=size, method=method, animated=animated)
        for method, size in sizes
        for animated in (False, True)
    )


def _cut_sizes(ratio: Fraction) -> list[Size]:
    nearest = min(_RATIOS, key=lambda each: max(each / ratio, ratio / each))
    return [_cut(side, nearest) for side in CROPPED]


def _cut(longer: int, ratio: Fraction) -> Size:
    if ratio >= 1:
        return Size(longer, max(1, round(longer / ratio)))
    return Size(max(1, round(longer * ratio)), longer)
