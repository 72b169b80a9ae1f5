"""A request of sliding sync, and its answer, as values. Pure.

Source: MSC4186 "Request Body", "Response Body"; MSC3959, MSC3960, MSC3961 for the extensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.identifiers import RoomID
from homeserver.sync.sliding.lists import ListWindow, ListWish
from homeserver.sync.sliding.room_config import RoomConfig


@dataclass(frozen=True, slots=True)
class ExtensionWish:
    """What an extension shall tell of rooms. None: of all in lists, or of all subscribed to.

    since, limit: of messages to the device, where it stands and how many it wants.
    """

    lists: frozenset[str] | None = None
    rooms: frozenset[RoomID] | None = None
    since: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingRequest:
    """extensions: those that are enabled, by name."""

    conn_id: str
    pos: str | None
    timeout_ms: int
    set_presence: str
    lists: Sequence[ListWish]
    subscriptions: Mapping[RoomID, RoomConfig]
    extensions: Mapping[str, ExtensionWish]


@dataclass(slots=True, kw_only=True)
class RoomResult:
    """What is told of a room; None: nothing about it.

    timeline, required_state, stripped_state: events as JSON. is_invite: whether `stripped_state` is
    that of an invitation. lists: names of those that show it.
    """

    membership: str
    bump_stamp: int | None = None
    lists: Sequence[str] = ()
    initial: bool = False
    name: str | None = None
    is_unnamed: bool = False
    avatar: str | None = None
    has_no_avatar: bool = False
    heroes: Sequence[Mapping[str, str]] | None = None
    is_dm: bool | None = None
    required_state: Sequence[bytes] = ()
    timeline: Sequence[bytes] | None = None
    prev_batch: str | None = None
    limited: bool = False
    expanded: bool = False
    num_live: int = 0
    joined_count: int | None = None
    invited_count: int | None = None
    notification_count: int | None = None
    highlight_count: int | None = None
    stripped_state: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingAnswer:
    """extensions: bodies by name."""

    pos: str
    lists: Sequence[ListWindow]
    rooms: Mapping[RoomID, RoomResult]
    extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
