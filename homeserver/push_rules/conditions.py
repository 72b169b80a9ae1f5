"""Conditions of push rules, made ready to be tried on many events.

Source: C-S API v1.19 "Conditions".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homeserver.push_rules import glob
from homeserver.push_rules.properties import BODY, EventView, parse_path
from homeserver.push_rules.rules import THE_USER, Condition

_MAX_INTEGER = 2**53 - 1
_COUNTS = "room_member_count"
_COUNT = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose rules are tried. display_name: in the event's room; None: not known."""

    user_id: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What conditions look at besides the event. member_count: None where it is not known.

    may_notify: whether the sender's power level is high enough for a kind of notification.
    """

    member_count: int | None = None
    may_notify: Callable[[str], bool] = lambda _: False


Holds = Callable[[EventView, Reader, Circumstances], bool]


def compile_condition(condition: Condition, *, predefined: bool) -> Holds:
    """predefined: of a predefined rule, in which THE_USER stands for the reader."""
    make = _KINDS.get(condition.get("kind", "")) if isinstance(condition.get("kind"), str) else None
    if make is None:
        # "Unrecognised conditions MUST NOT match any events"
        return _never
    if predefined and THE_USER in (condition.get("pattern"), condition.get("value")):
        return _about_the_user(condition)
    return make(condition)


def words_in_body(pattern: str) -> Holds:
    """The condition of content rules."""
    matches = glob.words(pattern)

    def holds(event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
        body = event.folded(BODY)
        return body is not None and matches(body)

    return holds


def _event_match(condition: Condition) -> Holds:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return _never
    path = parse_path(key)
    if path == BODY:
        return words_in_body(pattern)
    matches = glob.whole(pattern)

    def holds(event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
        text = event.folded(path)
        return text is not None and matches(text)

    return holds


def _event_property_is(condition: Condition) -> Holds:
    key, wanted = condition.get("key"), condition.get("value")
    if not isinstance(key, str) or "value" not in condition or not _is_simple(wanted):
        return _never
    path = parse_path(key)

    def holds(event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
        return _is_same(event.value(path), wanted)

    return holds


def _event_property_contains(condition: Condition) -> Holds:
    key, wanted = condition.get("key"), condition.get("value")
    if not isinstance(key, str) or "value" not in condition or not _is_simple(wanted):
        return _never
    path = parse_path(key)

    def holds(event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
        values = event.value(path)
        return isinstance(values, list) and any(_is_same(each, wanted) for each in values)

    return holds


def _about_the_user(condition: Condition) -> Holds:
    path = parse_path(condition["key"])
    contains = condition["kind"] == "event_property_contains"

    def holds(event: EventView, reader: Reader, _circumstances: Circumstances) -> bool:
        value = event.value(path)
        if contains:
            return isinstance(value, list) and reader.user_id in value
        return isinstance(value, str) and value.lower() == reader.user_id.lower()

    return holds


def _contains_display_name(_condition: Condition) -> Holds:
    def holds(event: EventView, reader: Reader, _circumstances: Circumstances) -> bool:
        body = event.folded(BODY)
        if body is None or not reader.display_name:
            return False
        return _name_in(reader.display_name, body)

    return holds


def _name_in(name: str, body: str) -> bool:
    """The name as it is: what would be a wildcard in a pattern is none in a name."""
    text = re.escape(name.lower())
    return re.search(f"(?<![A-Za-z0-9_]){text}(?![A-Za-z0-9_])", body) is not None


def counted_to(condition: Condition) -> int:
    """One more than the number that a condition compares members with; 0 for other conditions."""
    parsed = _count_in(condition) if condition.get("kind") == _COUNTS else None
    return 0 if parsed is None else int(parsed[2]) + 1


def _count_in(condition: Condition) -> "re.Match[str] | None":
    wanted = condition.get("is")
    return _COUNT.fullmatch(wanted) if isinstance(wanted, str) else None


def _room_member_count(condition: Condition) -> Holds:
    parsed = _count_in(condition)
    if parsed is None:
        return _never
    compare, number = _COMPARISONS[parsed[1] or "=="], int(parsed[2])

    def holds(_event: EventView, _reader: Reader, circumstances: Circumstances) -> bool:
        count = circumstances.member_count
        return count is not None and compare(count, number)

    return holds


def _sender_notification_permission(condition: Condition) -> Holds:
    key = condition.get("key")
    if not isinstance(key, str):
        return _never

    def holds(_event: EventView, _reader: Reader, circumstances: Circumstances) -> bool:
        return circumstances.may_notify(key)

    return holds


def _never(_event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
    return False


def _is_simple(value: Any) -> bool:
    """Text, an integer as canonical JSON has them, a boolean, or null."""
    if isinstance(value, int):
        return abs(value) <= _MAX_INTEGER
    return value is None or isinstance(value, str)


def _is_same(value: Any, wanted: Any) -> bool:
    """ "Do not cast types": in Python, True is 1."""
    return type(value) is type(wanted) and bool(value == wanted)


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": int.__eq__,
    "<": int.__lt__,
    ">": int.__gt__,
    "<=": int.__le__,
    ">=": int.__ge__,
}
_KINDS: dict[str, Callable[[Condition], Holds]] = {
    "event_match": _event_match,
    "event_property_is": _event_property_is,
    "event_property_contains": _event_property_contains,
    "contains_display_name": _contains_display_name,
    _COUNTS: _room_member_count,
    "sender_notification_permission": _sender_notification_permission,
}
