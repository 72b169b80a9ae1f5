"""Rooms as members see them who read in them lately, in memory: who reads on asks for no state.

Kept are rooms of which a member may see everything, as is usual. What changes that is the room's
history visibility and his own membership, which the tail tells before the answer to whoever changed
them goes out; where the graph forks, state is settled between branches, so all is looked up again.
"""

from collections import OrderedDict
from collections.abc import Sequence

from homeserver.identifiers import ServerName, UserID, server_of
from homeserver.storage.database import Connection
from homeserver.streams.tail import Committed, EventTail
from homeserver.views import history
from homeserver.views.history import ReadableRoom
from homeserver.visibility import MEMBER_TYPE, VISIBILITY_TYPE

CAPACITY = 2_000
_MAX_CHANGES = 100
"""Of visibility and membership, in a room that is kept."""


class ReadableRooms:
    """A bounded cache; those not asked for the longest leave first."""

    def __init__(
        self, *, tail: EventTail, server_name: ServerName, capacity: int = CAPACITY
    ) -> None:
        self._tail = tail
        self._server_name = server_name
        self._capacity = capacity
        self._rooms: OrderedDict[tuple[int, UserID], ReadableRoom] = OrderedDict()
        self._readers: dict[int, set[UserID]] = {}
        self._changes = 0
        tail.subscribe(self._happened)

    def peek(self, room_nid: int, reader: UserID) -> ReadableRoom | None:
        """The room, if it is in memory."""
        key = room_nid, reader
        room = self._rooms.get(key)
        if room is None or not self._tail.is_caught_up:
            return None
        self._rooms.move_to_end(key)
        return room

    async def of(self, db: Connection, room_nid: int, reader: UserID) -> ReadableRoom:
        """The room, in any case. At most one query."""
        known = self.peek(room_nid, reader)
        if known is not None:
            return known
        changes = self._changes
        room = await history.of_room(db, room_nid, reader)
        if changes == self._changes and _is_usual(room):
            self._keep(room)
        return room

    def _keep(self, room: ReadableRoom) -> None:
        self._rooms[room.room_nid, room.reader] = room
        self._readers.setdefault(room.room_nid, set()).add(room.reader)
        if len(self._rooms) > self._capacity:
            self._drop(*next(iter(self._rooms)))

    def _happened(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            room_nid, event = committed.room.room_nid, committed.stored.event
            is_settled = committed.stored.facts.fork_nid is not None or (
                server_of(event.sender) != self._server_name
            )
            if is_settled or (event.is_state and event.type == VISIBILITY_TYPE):
                self._changes += 1
                for reader in tuple(self._readers.get(room_nid, ())):
                    self._drop(room_nid, reader)
            elif event.is_state and event.type == MEMBER_TYPE:
                self._changes += 1
                reader = UserID(event.state_key or "")
                if (room_nid, reader) in self._rooms:
                    self._drop(room_nid, reader)

    def _drop(self, room_nid: int, reader: UserID) -> None:
        del self._rooms[room_nid, reader]
        readers = self._readers[room_nid]
        readers.discard(reader)
        if not readers:
            del self._readers[room_nid]


def _is_usual(room: ReadableRoom) -> bool:
    return (
        room.is_member
        and room.is_all_visible
        and len(room.visibility) + len(room.membership) <= _MAX_CHANGES
    )
