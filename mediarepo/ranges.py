"""Which part of a file is wanted, and whether any is. Pure. Source: RFC 9110, 13 and 14."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_RANGE = re.compile(r"(?i:bytes)[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*", re.ASCII)
_MAX_DIGITS = 18
_MS = 1000


class NotSatisfiable(Exception):
    """The part that is wanted is none of the file: status 416."""


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to, and without, `end`."""

    start: int
    end: int


def is_unchanged(headers: Mapping[str, str], etag: str, modified_ms: int) -> bool:
    """Whether the client has the file already (13.1.2, 13.1.3): status 304."""
    if "If-None-Match" in headers:
        return _names(headers["If-None-Match"], etag)
    since_ms = _date_ms(headers.get("If-Modified-Since"))
    return since_ms is not None and modified_ms // _MS * _MS <= since_ms


def wanted_span(headers: Mapping[str, str], size: int, etag: str, modified_ms: int) -> Span | None:
    """The part that is wanted; None: all of it. Several ranges in one request count as none, which
    14.2 allows. Raises NotSatisfiable.
    """
    given = _RANGE.fullmatch(headers.get("Range", ""))
    if given is None or not _same_file(headers.get("If-Range"), etag, modified_ms):
        return None
    first, last = given[1], given[2]
    if max(len(first), len(last)) > _MAX_DIGITS or not (first or last):
        return None
    if not first:
        return _suffix(int(last), size)
    start, end = int(first), int(last) + 1 if last else size
    if end <= start and last:
        return None
    if start >= size:
        raise NotSatisfiable
    return Span(start, min(end, size))


def _suffix(length: int, size: int) -> Span:
    if length == 0 or size == 0:
        raise NotSatisfiable
    return Span(max(0, size - length), size)


def _same_file(if_range: str | None, etag: str, modified_ms: int) -> bool:
    """13.1.5: a strong comparison, or exactly the date that was told."""
    if if_range is None:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range.strip() == etag
    return _date_ms(if_range) == modified_ms // _MS * _MS


def _names(if_none_match: str, etag: str) -> bool:
    """8.8.3.2: a weak comparison."""
    given = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in {"*", etag} for each in given)


def _date_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return round(parsedate_to_datetime(text).timestamp() * _MS)
    except (ValueError, TypeError, OverflowError):
        return None
