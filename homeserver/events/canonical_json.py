"""Canonical JSON: the one byte sequence that hashes and signatures cover.

Source: Matrix v1.19 appendices, "Canonical JSON". orjson with sorted keys writes exactly that form
for everything that the section allows. Room versions 1 to 5 may contain what it does not allow
(floats, integers of any size), and must work nevertheless; those take a slower, exact way.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import orjson

from homeserver.errors import InvalidInput

MAX_INTEGER = 2**53 - 1
"""Largest magnitude of an integer in canonical JSON."""

MAX_DEPTH = 200
"""Levels of objects and arrays. orjson writes 254; the rest is for what we wrap around events."""

_EXPONENT_FROM = 1e16

# A number with a fraction or an exponent, or so long that it may not fit into 64 bits. What looks
# like one inside a string costs time, but changes nothing.
_UNUSUAL_NUMBER = re.compile(rb"[:,\[][ \t\r\n]*-?(?:[0-9]{19}|[0-9]+[.eE])")


def encode(value: Any) -> bytes:
    """The canonical JSON of a JSON value. Floats, which canonical JSON does not know, are written
    as Python writes them (50.0, not 50): so other servers hashed them while they were allowed.
    Raises InvalidInput for what is not JSON: lone surrogates, keys that are no strings, nesting
    deeper than MAX_DEPTH. (NaN, which `decode` never makes, is null.)
    """
    try:
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return _encode_exactly(value)
    _check_depth(canonical, value)
    return _encode_exactly(value) if _has_unusual_number(canonical) else canonical


def encode_strict(value: Any) -> bytes:
    """The same, faster, for values that `check_strict` has accepted."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def compact(written: bytes) -> bytes:
    """The same bytes in a block of their size, for those that stay in memory: orjson writes into
    blocks of several KB, and leaves the rest of them empty.
    """
    return bytes(memoryview(written))


def decode(raw: bytes) -> Any:
    """The JSON value in `raw`, integers of any size exact; of duplicate keys the last one counts.
    Raises InvalidInput for what is not JSON, and for nesting deeper than MAX_DEPTH.
    """
    try:
        value = orjson.loads(raw)
        _check_depth(raw, value)
        if _has_unusual_number(raw):
            value = json.loads(raw.decode(), parse_float=_read_float)
    except ValueError as error:
        raise InvalidInput(f"not valid JSON: {error}") from None
    return value


def decode_strict(raw: bytes) -> Any:
    """The same, faster, for values that `check_strict` has accepted."""
    return orjson.loads(raw)


def check_strict(value: Any) -> None:
    """Room versions since 6 enforce canonical JSON.
    Raises InvalidInput, with the dotted path of the first offender as its field, for floats,
    integers outside ±(2^53 - 1), lone surrogates, and nesting deeper than MAX_DEPTH.
    """
    _check(value, MAX_DEPTH)


def _check(value: Any, depth_left: int) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise InvalidInput("integers must be within ±(2^53 - 1)")
    elif isinstance(value, dict):
        _check_members(value, value.items(), depth_left)
    elif isinstance(value, list | tuple):
        _check_members((), enumerate(value), depth_left)
    elif value is not None:
        raise InvalidInput(f"canonical JSON has no {type(value).__name__}")


def _check_members(keys: Iterable[Any], members: Iterable[Any], depth_left: int) -> None:
    if not depth_left:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")
    for key in keys:
        if not isinstance(key, str):
            raise InvalidInput("keys of objects must be strings")
        if not key.isascii():
            check_text(key)
    for key, member in members:
        if type(member) is str and member.isascii():
            continue
        try:
            _check(member, depth_left - 1)
        except InvalidInput as error:
            error.field = f"{key}.{error.field}".removesuffix(".")
            raise


def check_text(text: str) -> None:
    """Raises InvalidInput for lone surrogates, which have no UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput("lone surrogates are not Unicode text") from None


def _check_depth(raw: bytes, value: Any) -> None:
    """Text with few brackets cannot be deep, which settles nearly all cases."""
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    if level:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list | tuple) else ()


def _has_unusual_number(raw: bytes) -> bool:
    # A number that is the whole document has nothing before it.
    return _UNUSUAL_NUMBER.search(b":" + raw) is not None


def _read_float(text: str) -> int | float:
    """The appendix reads 1e10 as the integer 10000000000."""
    value = float(text)
    return int(value) if "e" in text.lower() and value.is_integer() else value


def _encode_exactly(value: Any) -> bytes:
    """The form of `encode`, with integers of any size and floats."""
    try:
        text = json.dumps(
            _exact(value, MAX_DEPTH), ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}") from None


def _exact(value: Any, depth_left: int) -> Any:
    if isinstance(value, float):
        return _exact_float(value)
    if isinstance(value, str | int | None):
        return value
    if not isinstance(value, dict | list | tuple):
        raise InvalidInput(f"JSON has no {type(value).__name__}")
    if not depth_left:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        return [_exact(item, depth_left - 1) for item in value]
    if not all(isinstance(key, str) for key in value):
        raise InvalidInput("keys of objects must be strings")
    return {key: _exact(item, depth_left - 1) for key, item in value.items()}


def _exact_float(value: float) -> int | float:
    """No exponents: from 1e16 on, Python would write one."""
    if not math.isfinite(value):
        raise InvalidInput(f"JSON has no {value}")
    return int(value) if abs(value) >= _EXPONENT_FROM else value
