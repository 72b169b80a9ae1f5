"""What the content of state events means to the rules of a room.

Accepted events may hold anything in places that no rule looked at, so a reading never fails: a
level that cannot be read counts as absent.
Source: Matrix v1.19 "Room Versions"; event schemas of m.room.power_levels, m.room.create, ….
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final, Self

from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import UserID
from homeserver.values import value

Level = int | float
"""A power level: an integer, or INFINITE."""

INFINITE: Final = math.inf
"""The power level of room creators since room version 12."""

# Room v1 "`m.room.power_levels` events accept values as strings".
_STRINGY_LEVEL = re.compile(r"\s*[+-]?[0-9]+\s*")

_CREATOR_WITHOUT_LEVELS = 100
_NAMED_DEFAULTS = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}
_NOTIFICATION_DEFAULT = 50
_VISIBILITIES = frozenset({"world_readable", "shared", "invited", "joined"})
_NOTHING: Mapping[str, Any] = {}


MEGOLM = "m.megolm.v1.aes-sha2"
"""The one algorithm by which rooms are encrypted."""


@value
class RoomEncryption:
    """How messages of a room are encrypted. rotation: when a sender begins another session."""

    algorithm: str = MEGOLM
    rotation_period_ms: int | None = None
    rotation_period_msgs: int | None = None


def encryption_of(event: Event | None) -> RoomEncryption | None:
    """Of m.room.encryption; None: the room is not encrypted. "Once a room is encrypted, it cannot
    be turned off": whatever the event says, and even if it is redacted.
    """
    if event is None:
        return None
    algorithm = event.content.get("algorithm")
    return RoomEncryption(
        algorithm if isinstance(algorithm, str) else MEGOLM,
        _count(event.content.get("rotation_period_ms")),
        _count(event.content.get("rotation_period_msgs")),
    )


def _count(number: Any) -> int | None:
    return number if type(number) is int and number > 0 else None


def read_level(value: Any, version: RoomVersion) -> int | None:
    """The power level that a JSON value stands for; None if it stands for none."""
    if type(value) is int:
        return value
    if version.integer_power_levels:
        return None
    if isinstance(value, str) and _STRINGY_LEVEL.fullmatch(value):
        return _integer(value)
    # Room v1 "`m.room.power_levels` events accept values as floats": truncated
    if isinstance(value, float) and not version.strict_canonical_json and math.isfinite(value):
        return int(value)
    return None


def creators_of(create: Event) -> frozenset[UserID]:
    """The room's creators: one, or from room version 12 as many as it names."""
    if not create.version.implicit_creator:
        creator = create.content.get("creator")
        return frozenset({UserID(creator)} if isinstance(creator, str) else ())
    additional = create.content.get("additional_creators")
    if not additional or not create.version.privileged_creators:
        return frozenset((create.sender,))
    return frozenset({create.sender, *_strings(additional)})


def join_rule_of(event: Event | None) -> str:
    """`join_rule` of m.room.join_rules; "invite" without one, "" for what is no string: unknown
    join rules let nobody in.
    """
    return _string_of(event, "join_rule", absent="invite", unreadable="")


def membership_of(event: Event | None) -> str:
    """`membership` of m.room.member; "leave" without one."""
    return _string_of(event, "membership", absent="leave", unreadable="leave")


def history_visibility_of(event: Event | None) -> str:
    """`history_visibility` of m.room.history_visibility; "shared" without one or with one that
    is not understood. Source: C-S API v1.19 "Room history visibility".
    """
    visibility = _string_of(event, "history_visibility", absent="shared", unreadable="shared")
    return visibility if visibility in _VISIBILITIES else "shared"


@value(kw_only=True)
class PowerLevels:
    """Who may do what in a room. Reads what is asked, when it is asked."""

    content: Mapping[str, Any]
    """Content of m.room.power_levels; empty if the room has none."""
    version: RoomVersion
    creators: frozenset[UserID]
    explicit: bool
    """Whether the room has an m.room.power_levels event."""

    @classmethod
    def of(cls, event: Event | None, create: Event) -> Self:
        """event: the room's m.room.power_levels, if any."""
        return cls(
            content=_NOTHING if event is None else event.content,
            version=create.version,
            creators=creators_of(create),
            explicit=event is not None,
        )

    def is_creator(self, user_id: str) -> bool:
        return user_id in self.creators

    def user(self, user_id: str) -> Level:
        """The power level of a user."""
        if user_id in self.creators:
            if self.version.privileged_creators:
                return INFINITE
            if not self.explicit:
                return _CREATOR_WITHOUT_LEVELS
        level = self._entry("users", user_id)
        return self.named("users_default") if level is None else level

    def required_for(self, event_type: str, *, is_state: bool) -> int:
        """Server-server API "Definitions": the required power level of an event type."""
        level = self._entry("events", event_type)
        if level is None:
            return self.named("state_default" if is_state else "events_default")
        return level

    def named(self, name: str) -> int:
        """A level that has a name of its own: `ban`, `users_default`, …"""
        level = self.content.get(name)
        if type(level) is not int:
            level = read_level(level, self.version)
        return _NAMED_DEFAULTS[name] if level is None else level

    def notification(self, kind: str) -> int:
        """The level needed to trigger a notification, for instance of kind "room"."""
        level = self._entry("notifications", kind)
        return _NOTIFICATION_DEFAULT if level is None else level

    @property
    def ban(self) -> int:
        return self.named("ban")

    @property
    def kick(self) -> int:
        return self.named("kick")

    @property
    def redact(self) -> int:
        return self.named("redact")

    @property
    def invite(self) -> int:
        return self.named("invite")

    def _entry(self, table: str, key: str) -> int | None:
        entries = self.content.get(table)
        return read_level(entries.get(key), self.version) if isinstance(entries, dict) else None


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return None


def _string_of(event: Event | None, key: str, *, absent: str, unreadable: str) -> str:
    value = absent if event is None else event.content.get(key, absent)
    return value if isinstance(value, str) else unreadable


def _strings(value: Any) -> set[UserID]:
    items = value if isinstance(value, list) else ()
    return {UserID(item) for item in items if isinstance(item, str)}
