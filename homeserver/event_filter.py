"""Filters of events: as clients write them, and which events they let through. Pure.

Source: C-S API v1.19 "Filtering", EventFilter and RoomEventFilter; `related_by_senders` and
`related_by_rel_types` as MSC3440 has them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from homeserver.errors import InvalidInput
from homeserver.events.event import Event

MAX_ENTRIES: Final = 1_000
"""Of each list in a filter."""
MAX_FILTER_CHARS: Final = 65_536
_MAX_NAME_CHARS = 1_024
_MAX_REMEMBERED_TYPES = 256

Glob = tuple[str, ...]
"""A pattern as the texts between its asterisks."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EventFilter:
    """Which events of one kind. None for a list: all; an empty one lets nothing through, and what
    a `not_` list has stays out in any case. `limit`: None where the client gave none.
    """

    types: tuple[Glob, ...] | None = None
    not_types: tuple[Glob, ...] = ()
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()
    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()
    contains_url: bool | None = None
    related_by_senders: frozenset[str] | None = None
    related_by_rel_types: frozenset[str] | None = None
    limit: int | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    _types: dict[str, bool] = field(default_factory=dict)

    @property
    def allows_all(self) -> bool:
        """Whether there is nothing that it leaves out."""
        return self.allows_all_of_room and self.rooms is None and not self.not_rooms

    @property
    def allows_all_of_room(self) -> bool:
        """Whether it leaves out nothing in a room that it allows."""
        return (
            self.types is None
            and self.senders is None
            and self.contains_url is None
            and not (self.not_types or self.not_senders or self.is_by_relations)
        )

    @property
    def allows_none(self) -> bool:
        """Whether nothing can pass it."""
        return self.types == () or self.senders == frozenset() or self.rooms == frozenset()

    @property
    def is_by_relations(self) -> bool:
        """Whether it asks what relates to an event, which the event itself does not tell."""
        return self.related_by_senders is not None or self.related_by_rel_types is not None

    def allows_type(self, event_type: str) -> bool:
        """By the type alone; remembered, for there are few of them."""
        known = self._types.get(event_type)
        if known is None:
            if len(self._types) >= _MAX_REMEMBERED_TYPES:
                self._types.clear()
            known = self._types[event_type] = self._judge_type(event_type)
        return known

    def allows_sender(self, sender: str) -> bool:
        return sender not in self.not_senders and (self.senders is None or sender in self.senders)

    def allows_room(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)

    def allows(self, event_type: str, sender: str, *, has_url: bool) -> bool:
        """An event of a room that is allowed. has_url: its content has a key `url`."""
        return (
            self.allows_type(event_type)
            and self.allows_sender(sender)
            and (self.contains_url is None or self.contains_url == has_url)
        )

    def matches(self, event: Event) -> bool:
        """The same, by all that the event itself tells."""
        return self.allows(event.type, event.sender, has_url="url" in event.content)

    def _judge_type(self, event_type: str) -> bool:
        if any(matches(glob, event_type) for glob in self.not_types):
            return False
        return self.types is None or any(matches(glob, event_type) for glob in self.types)


ALL: Final = EventFilter()


def parse(text: str) -> EventFilter:
    """A filter of room events in a query string: JSON. Raises InvalidInput."""
    if len(text) > MAX_FILTER_CHARS:
        raise InvalidInput(f"A filter has at most {MAX_FILTER_CHARS} characters.", field="filter")
    try:
        value = orjson.loads(text)
    except ValueError:
        raise InvalidInput("The filter is not JSON.", field="filter") from None
    return event_filter(value, "filter")


def event_filter(value: Any, place: str) -> EventFilter:
    """A filter from its JSON value; fields that are not known are ignored.

    place: where it stands, for errors. Raises InvalidInput.
    """
    given = object_at(value, place)
    if not given:
        return ALL
    return EventFilter(
        types=_globs(given, "types", place),
        not_types=_globs(given, "not_types", place) or (),
        senders=ids(given, "senders", place, "@"),
        not_senders=ids(given, "not_senders", place, "@") or frozenset(),
        rooms=ids(given, "rooms", place, "!"),
        not_rooms=ids(given, "not_rooms", place, "!") or frozenset(),
        contains_url=optional_flag(given, "contains_url", place),
        related_by_senders=ids(given, "related_by_senders", place, "@"),
        related_by_rel_types=ids(given, "related_by_rel_types", place, ""),
        limit=_limit(given, place),
        lazy_load_members=flag(given, "lazy_load_members", place),
        include_redundant_members=flag(given, "include_redundant_members", place),
        unread_thread_notifications=_thread_flag(given, place),
    )


def matches(glob: Glob, text: str) -> bool:
    """Whether a pattern is all of a text: its parts follow each other, whatever is between them.

    The first place for each part is as good as any, so this takes time in proportion to the text.
    Source: EventFilter, "A `*` can be used as a wildcard to match any sequence of characters".
    """
    if len(glob) == 1:
        return glob[0] == text
    first, *middle, last = glob
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def like_pattern(glob: Glob) -> str:
    """A pattern as SQL's LIKE has it."""
    return "%".join(map(_literally, glob))


def object_at(value: Any, place: str) -> Mapping[str, Any]:
    """An object; an empty one where there is none but at the top (place "")."""
    if value is None and place:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{place or 'A filter'} must be an object.", field=place)
    return value


def flag(given: Mapping[str, Any], name: str, place: str) -> bool:
    return optional_flag(given, name, place) or False


def optional_flag(given: Mapping[str, Any], name: str, place: str) -> bool | None:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(place, name, "true or false")
    return value


def ids(given: Mapping[str, Any], name: str, place: str, sigil: str) -> frozenset[str] | None:
    found = texts(given, name, place, lambda text: text.startswith(sigil))
    return None if found is None else frozenset(found)


def texts(
    given: Mapping[str, Any],
    name: str,
    place: str,
    is_right: Callable[[str], bool] = lambda _: True,
) -> Sequence[str] | None:
    """A list of names; None where there is none."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise _wrong(place, name, f"a list of at most {MAX_ENTRIES} entries")
    for each in value:
        if not isinstance(each, str) or not _is_storable(each) or not is_right(each):
            raise _wrong(place, name, "a list of identifiers or names of that kind")
    return value


def _thread_flag(given: Mapping[str, Any], place: str) -> bool:
    """Also under the name that it had as a proposal (MSC3773)."""
    return flag(given, "unread_thread_notifications", place) or flag(
        given, "org.matrix.msc3773.unread_thread_notifications", place
    )


def _limit(given: Mapping[str, Any], place: str) -> int | None:
    """ "must be an integer greater than 0"; clients that want no events write 0 all the same."""
    value = given.get("limit")
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise _wrong(place, "limit", "a number greater than 0")
    return value


def _globs(given: Mapping[str, Any], name: str, place: str) -> tuple[Glob, ...] | None:
    found = texts(given, name, place)
    return None if found is None else tuple(tuple(text.split("*")) for text in found)


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _is_storable(text: str) -> bool:
    """U+0000 is in no name, and Postgres does not take it; lone surrogates orjson refuses."""
    return len(text) <= _MAX_NAME_CHARS and "\0" not in text


def _wrong(place: str, name: str, wanted: str) -> InvalidInput:
    where = f"{place}.{name}" if place else name
    return InvalidInput(f"{where} must be {wanted}.", field=where)
