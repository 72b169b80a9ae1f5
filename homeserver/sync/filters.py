"""What a client wants to hear of in a sync. Pure.

Source: C-S API v1.19 "Filtering", `definitions/sync_filter.yaml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.errors import InvalidInput
from homeserver.event_filter import ALL, EventFilter, event_filter, flag, ids, object_at, texts

DEFAULT_TIMELINE_LIMIT: Final = 10
MAX_LIMIT: Final = 500
"""Most events of a room that one answer has; whoever asks for more gets so many."""


@dataclass(frozen=True, slots=True, eq=False)
class SyncFilter:
    """A whole filter. Compared by identity: the same definition is parsed once.

    fields: of events, as paths; None: all. federation: events in the format of servers.
    """

    fields: tuple[tuple[str, ...], ...] | None = None
    federation: bool = False
    presence: EventFilter = ALL
    account_data: EventFilter = ALL
    include_leave: bool = False
    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()
    timeline: EventFilter = ALL
    state: EventFilter = ALL
    ephemeral: EventFilter = ALL
    room_account_data: EventFilter = ALL

    @property
    def timeline_limit(self) -> int:
        limit = self.timeline.limit
        return DEFAULT_TIMELINE_LIMIT if limit is None else max(1, min(limit, MAX_LIMIT))

    @property
    def is_plain(self) -> bool:
        """Whether events are written as everybody's are."""
        return self.fields is None and not self.federation

    @property
    def lazy(self) -> bool:
        """C-S API v1.19 "Lazy-loading room members": only the `state` part has it."""
        return self.state.lazy_load_members

    @property
    def redundant_members(self) -> bool:
        return self.state.include_redundant_members

    @property
    def threads(self) -> bool:
        """Clients set it in `timeline`; `unread_thread_notifications` is in all room filters."""
        return self.timeline.unread_thread_notifications

    def allows_room(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)


EVERYTHING = SyncFilter()


def parse_filter(definition: Any) -> SyncFilter:
    """Raises InvalidInput, with the field that is wrong."""
    given = object_at(definition, "")
    room = object_at(given.get("room"), "room")
    return SyncFilter(
        fields=_fields(given),
        federation=_federation(given),
        presence=event_filter(given.get("presence"), "presence"),
        account_data=event_filter(given.get("account_data"), "account_data"),
        include_leave=flag(room, "include_leave", "room"),
        rooms=ids(room, "rooms", "room", "!"),
        not_rooms=ids(room, "not_rooms", "room", "!") or frozenset(),
        timeline=event_filter(room.get("timeline"), "room.timeline"),
        state=event_filter(room.get("state"), "room.state"),
        ephemeral=event_filter(room.get("ephemeral"), "room.ephemeral"),
        room_account_data=event_filter(room.get("account_data"), "room.account_data"),
    )


def narrowed(content: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """An object with these paths only. Paths that it does not have are left out."""
    result: dict[str, Any] = {}
    for path in paths:
        _copy(content, result, path)
    return result


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: Sequence[str]) -> None:
    for step in path[:-1]:
        inner = source.get(step)
        if not isinstance(inner, dict):
            return
        source = inner
        below = target.setdefault(step, {})
        if below is inner:
            return  # all of it was asked for already
        target = below
    if path[-1] in source:
        target[path[-1]] = source[path[-1]]


def _fields(given: Mapping[str, Any]) -> tuple[tuple[str, ...], ...] | None:
    found = texts(given, "event_fields", "")
    return None if found is None else tuple(_path(text) for text in found)


def _path(text: str) -> tuple[str, ...]:
    r"""Appendices "Dot-separated property paths": `\.` is a dot in a name, `\\` a backslash."""
    steps, step, escaped = [], "", False
    for character in text:
        if escaped:
            step += character if character in ".\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ".":
            steps.append(step)
            step = ""
        else:
            step += character
    return (*steps, step + "\\" * escaped)


def _federation(given: Mapping[str, Any]) -> bool:
    value = given.get("event_format", "client")
    if value not in ("client", "federation"):
        raise InvalidInput("event_format must be client or federation.", field="event_format")
    return bool(value == "federation")
