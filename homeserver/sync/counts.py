"""What syncs need of the counts of notifications."""

from collections.abc import Collection, Mapping
from typing import Protocol


class RoomCounts(Protocol):
    """How much in a room somebody was to be notified of and has not read.

    The two numbers are of all that is in the room; `threads` says how much of it is in which
    thread, by the ID of its root: notifications, highlights.
    """

    @property
    def notification_count(self) -> int: ...
    @property
    def highlight_count(self) -> int: ...
    @property
    def threads(self) -> Mapping[str, tuple[int, int]]: ...


class NotificationCounts(Protocol):
    """Where they come from."""

    def peek(self, user_nid: int, room_nid: int) -> RoomCounts | None:
        """If they are in memory."""

    async def of_rooms(
        self, user_nid: int, room_nids: Collection[int]
    ) -> Mapping[int, RoomCounts]: ...
