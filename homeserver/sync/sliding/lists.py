"""Which rooms a list shows: a window on those of the user's rooms that pass its filters. Pure.

Source: MSC4186 "Lists", "SlidingRoomFilter".
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from homeserver.identifiers import RoomID
from homeserver.sync.sliding.room_config import RoomConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFacts:
    """A room as lists see it. activity: grows with what happens in it.

    spaces: those that the user is in and that have the room as a child.
    """

    room_nid: int
    room_id: RoomID
    membership: str
    activity: int
    is_dm: bool = False
    tags: frozenset[str] = frozenset()
    spaces: frozenset[RoomID] = frozenset()
    is_encrypted: bool = False
    room_type: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilters:
    """Wishes about rooms; None: none."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    spaces: frozenset[RoomID] | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] = frozenset()
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] = frozenset()
    name_like: str = ""

    def match(self, room: RoomFacts) -> bool:
        return self._matches_flags(room) and self._matches_sets(room)

    def _matches_flags(self, room: RoomFacts) -> bool:
        return (
            self.is_dm in (None, room.is_dm)
            and self.is_encrypted in (None, room.is_encrypted)
            and self.is_invited in (None, room.membership == "invite")
            and self.name_like.casefold() in room.name.casefold()
        )

    def _matches_sets(self, room: RoomFacts) -> bool:
        return (
            (self.spaces is None or not self.spaces.isdisjoint(room.spaces))
            and (self.room_types is None or room.room_type in self.room_types)
            and room.room_type not in self.not_room_types
            and (self.tags is None or not self.tags.isdisjoint(room.tags))
            and self.not_tags.isdisjoint(room.tags)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWish:
    """A list of a request. ranges: first and last index, both shown; None: all rooms."""

    name: str
    config: RoomConfig
    filters: ListFilters
    ranges: Sequence[tuple[int, int]] | None


@dataclass(frozen=True, slots=True)
class ListWindow:
    """How many rooms pass the filters, and those that the ranges show."""

    wish: ListWish
    count: int
    shown: tuple[tuple[tuple[int, int], tuple[RoomFacts, ...]], ...]

    @property
    def rooms(self) -> Iterable[RoomFacts]:
        """Those that are shown, each once."""
        return {room.room_nid: room for _, rooms in self.shown for room in rooms}.values()


def by_activity(rooms: Collection[RoomFacts]) -> list[RoomFacts]:
    """The one where something happened last first."""
    return sorted(rooms, key=lambda room: (-room.activity, room.room_nid))


def window(rooms: Sequence[RoomFacts], wish: ListWish) -> ListWindow:
    """rooms: all of the user's, in order."""
    passing = [room for room in rooms if wish.filters.match(room)]
    ranges = [(0, len(passing) - 1)] if wish.ranges is None else wish.ranges
    shown = tuple(
        ((first, last), tuple(passing[first : last + 1])) for first, last in ranges if last >= first
    )
    return ListWindow(wish, len(passing), shown)
