"""Which members each device was told of, so that it is not told again.

C-S API v1.19 "Lazy-loading room members": servers may skip redundant membership events. An answer
may get lost, so a device knows what it was told only when it comes back with that answer's token.
"""

from collections import OrderedDict

CAPACITY = 200_000


class ToldMembers:
    """Membership events by session, room and member; those told the longest ago are forgotten."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._told: OrderedDict[tuple[int, int, str], tuple[int, int]] = OrderedDict()
        self._began: OrderedDict[int, int] = OrderedDict()

    def begin(self, session_nid: int, position: int) -> None:
        """The device starts afresh at a position: it knows nothing that it was told before."""
        self._began[session_nid] = position
        self._began.move_to_end(session_nid)
        if len(self._began) > self._capacity:
            self._began.popitem(last=False)

    def knows(
        self, session_nid: int, room_nid: int, user_id: str, event_nid: int, *, since: int
    ) -> bool:
        """Whether a device that has come up to a position was told of that membership event."""
        told = self._told.get((session_nid, room_nid, user_id))
        if told is None or told[0] != event_nid:
            return False
        return self._began.get(session_nid, 0) <= told[1] <= since

    def tell(
        self, session_nid: int, room_nid: int, user_id: str, event_nid: int, position: int
    ) -> None:
        """It is told in an answer that ends at a position."""
        key = session_nid, room_nid, user_id
        told = self._told.get(key)
        if told is not None and told[0] == event_nid and told[1] >= self._began.get(session_nid, 0):
            return
        self._told[key] = event_nid, position
        self._told.move_to_end(key)
        if len(self._told) > self._capacity:
            self._told.popitem(last=False)
