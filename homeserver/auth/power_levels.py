"""The rules of m.room.power_levels: nobody gives or takes power that they do not have.

Rule numbers are those of room version 12. Versions 6 to 11 call rule 10 their rule 9. Rule 10.4 is
new in version 12, rules 10.1 and 10.2 in version 10; without them what follows moves up.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from homeserver.auth.auth_state import AuthState
from homeserver.auth.user_ids import is_user_id
from homeserver.auth.verdict import ACCEPTED, Accepted, Rejected, Rule
from homeserver.events.content import Level, creators_of, read_level
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion

_SINGLE_LEVELS = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)

# Before v10 a level of any type may stand in the event. Nobody has the power to introduce one
# that cannot be compared; anybody may replace it.
_UNREADABLE = math.inf


class _Change(NamedTuple):
    """An entry added (no current level), changed, or removed (no new level)."""

    key: str
    current: Level | None
    new: Level | None


def authorise_power_levels(event: Event, room: AuthState) -> Accepted | Rejected:
    """Rule 10."""
    broken = _broken_form(event, room.create)
    current = room.power_levels_event
    # 10.5: nothing to compare with
    if broken is None and current is not None:
        broken = _broken_change(event, current.content, room.levels.user(event.sender))
    # 10.11
    return ACCEPTED if broken is None else Rejected(broken)


def _broken_form(event: Event, create: Event) -> Rule | None:
    """Rules 10.1 to 10.4."""
    content, version = event.content, event.version
    if version.integer_power_levels and (broken := _broken_types(content, version)) is not None:
        return broken
    # 10.3 (v1 to v5: 10.1)
    users = content.get("users", {})
    if not _is_level_map(users, version) or not all(map(is_user_id, users)):
        return Rule.POWER_LEVELS_USERS_INVALID
    # 10.4, since v12
    if version.privileged_creators and not creators_of(create).isdisjoint(users):
        return Rule.POWER_LEVELS_LIST_CREATOR
    return None


def _broken_types(content: Mapping[str, Any], version: RoomVersion) -> Rule | None:
    """Rules 10.1 and 10.2, since v10."""
    # 10.1
    single_levels = (content[name] for name in _SINGLE_LEVELS if name in content)
    if any(read_level(level, version) is None for level in single_levels):
        return Rule.POWER_LEVELS_NOT_INTEGER
    # 10.2
    level_maps = (content[name] for name in ("events", "notifications") if name in content)
    if not all(_is_level_map(levels, version) for levels in level_maps):
        return Rule.POWER_LEVELS_MAP_NOT_INTEGERS
    return None


def _is_level_map(value: object, version: RoomVersion) -> bool:
    return isinstance(value, Mapping) and all(
        read_level(level, version) is not None for level in value.values()
    )


def _broken_change(event: Event, current: Mapping[str, Any], sender_level: Level) -> Rule | None:
    """Rules 10.6 to 10.10, where `current` is the content of the event to be replaced."""
    return (
        _broken_single_level(event, current, sender_level)
        or _broken_event_level(event, current, sender_level)
        or _broken_user_level(event, current, sender_level)
    )


def _broken_single_level(
    event: Event, current: Mapping[str, Any], sender_level: Level
) -> Rule | None:
    """Rule 10.6. What is absent has no value here, not its default: an addition is judged by the
    new value alone, a removal by the current one, as in the rules that follow.
    """
    before, after = (
        {name: content[name] for name in _SINGLE_LEVELS if name in content}
        for content in (current, event.content)
    )
    changes = list(_changes(before, after, event.version))
    # 10.6.1
    if any(_is_above(change.current, sender_level) for change in changes):
        return Rule.POWER_LEVELS_CHANGE_ABOVE_SENDER
    # 10.6.2
    if any(_is_above(change.new, sender_level) for change in changes):
        return Rule.POWER_LEVELS_SET_ABOVE_SENDER
    return None


def _broken_event_level(
    event: Event, current: Mapping[str, Any], sender_level: Level
) -> Rule | None:
    """Rules 10.7 and 10.8; `notifications` since v6."""
    names = ["events"]
    if event.version.notifications_levels_checked:
        names.append("notifications")
    changes = [
        change
        for name in names
        for change in _changes(current.get(name), event.content.get(name), event.version)
    ]
    # 10.7.1
    if any(_is_above(change.current, sender_level) for change in changes):
        return Rule.POWER_LEVELS_CHANGE_EVENT_ABOVE_SENDER
    # 10.8.1
    if any(_is_above(change.new, sender_level) for change in changes):
        return Rule.POWER_LEVELS_SET_EVENT_ABOVE_SENDER
    return None


def _broken_user_level(
    event: Event, current: Mapping[str, Any], sender_level: Level
) -> Rule | None:
    """Rules 10.9 and 10.10."""
    changes = list(_changes(current.get("users"), event.content.get("users"), event.version))
    others = (change for change in changes if change.key != event.sender)
    # 10.9.1
    if any(other.current is not None and other.current >= sender_level for other in others):
        return Rule.POWER_LEVELS_CHANGE_USER_NOT_BELOW_SENDER
    # 10.10.1
    if any(_is_above(change.new, sender_level) for change in changes):
        return Rule.POWER_LEVELS_SET_USER_ABOVE_SENDER
    return None


def _is_above(level: Level | None, sender_level: Level) -> bool:
    return level is not None and level > sender_level


def _changes(before: object, after: object, version: RoomVersion) -> Iterator[_Change]:
    """The entries whose level differs; what is no object (before v10) has no entries."""
    old = before if isinstance(before, Mapping) else {}
    new = after if isinstance(after, Mapping) else {}
    for key in {**old, **new}:
        old_level, new_level = _level(old, key, version), _level(new, key, version)
        if old_level != new_level:
            yield _Change(key, None if old_level == _UNREADABLE else old_level, new_level)


def _level(levels: Mapping[str, Any], key: str, version: RoomVersion) -> Level | None:
    if key not in levels:
        return None
    level = read_level(levels[key], version)
    return _UNREADABLE if level is None else level
