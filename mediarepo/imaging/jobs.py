"""What the server asks of an imaging process, and what it answers: a line of JSON each.

Neither side trusts the other's lines more than it must: a picture may have taken over the process.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import orjson

from mediarepo.imaging.formats import Format

MAX_LINE_BYTES = 16_384
MAX_SIDE = 65_000
"""Of a picture, in pixels."""

Wrong = Literal["not_an_image", "too_large", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one job. max_frames: of an animation; one with more is shown still.

    max_output_bytes: largest file that is written. cpu_s: computing time.
    """

    max_pixels: int
    max_frames: int
    max_output_bytes: int
    cpu_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectJob:
    """Find out what a file shows."""

    file: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbnailJob:
    """Make a smaller picture of `file` and write it to `output`, which may be there already."""

    file: str
    output: str
    width: int
    height: int
    crop: bool
    animated: bool
    limits: Limits


Job = InspectJob | ThumbnailJob


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """width, height: in pixels, as the picture is meant to be seen (turned by its EXIF data).

    content_type: what the file really is. blurhash: what to show until it is there.
    """

    width: int
    height: int
    content_type: str
    animated: bool
    blurhash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of a thumbnail job. is_original: nothing was written, because the file itself
    is the best answer: it is no larger than what was asked for. type and size are then its own.
    """

    is_original: bool
    width: int
    height: int
    content_type: str
    animated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why there is no answer."""

    wrong: Wrong


Answer = ImageFacts | Made | Problem


def encode_job(job: Job) -> bytes:
    return orjson.dumps({"kind": type(job).__name__, **asdict(job)})


def decode_job(line: bytes) -> Job:
    fields = orjson.loads(line)
    kind = fields.pop("kind")
    fields["limits"] = Limits(**fields["limits"])
    return InspectJob(**fields) if kind == InspectJob.__name__ else ThumbnailJob(**fields)


def encode_answer(answer: Answer) -> bytes:
    return orjson.dumps({"kind": type(answer).__name__, **asdict(answer)})


def decode_answer(line: bytes) -> Answer:
    """Raises ValueError for what no process of ours says."""
    fields = orjson.loads(line)
    kind = _KINDS.get(str(fields.pop("kind", ""))) if isinstance(fields, dict) else None
    if kind is None or fields.keys() != kind.__annotations__.keys():
        raise ValueError("not an answer")
    return kind(**_checked(fields))


_KINDS: dict[str, type[ImageFacts] | type[Made] | type[Problem]] = {
    each.__name__: each for each in (ImageFacts, Made, Problem)
}
_CONTENT_TYPES = frozenset(each.value for each in Format)
_BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,64}")


def _is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_SIDE


def _is_flag(value: Any) -> bool:
    return type(value) is bool


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "width": _is_side,
    "height": _is_side,
    "animated": _is_flag,
    "is_original": _is_flag,
    "content_type": lambda value: value in _CONTENT_TYPES,
    "blurhash": lambda value: isinstance(value, str) and bool(_BLURHASH.fullmatch(value)),
    "wrong": lambda value: value in get_args(Wrong),
}


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    for name, value in fields.items():
        if not _is_plain(value) or not _CHECKS[name](value):
            raise ValueError(f"{name} is not what it should be")
    return fields


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | bool)
