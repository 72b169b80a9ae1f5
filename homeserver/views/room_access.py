"""Who may look into a room, and what state of it he sees.

Source: C-S API v1.19 "Room History Visibility", "Room Previews", "Leaving rooms"; rooms.yaml.
"""

from dataclasses import dataclass

from homeserver.errors import NotAllowed
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import forgotten_rooms
from homeserver.storage.database import Connection
from homeserver.streams.room_records import RoomRecords
from homeserver.views import history
from homeserver.views.history import ReadableRoom
from homeserver.views.readable_rooms import ReadableRooms
from homeserver.visibility import WORLD_READABLE


@dataclass(frozen=True, slots=True)
class OpenRoom:
    """A room as one reader sees it. version: of the state that he sees; None: the current one."""

    record: RoomRecord
    readable: ReadableRoom
    version: int | None = None

    @property
    def room_nid(self) -> int:
        return self.record.room_nid

    def no_later_than(self, version: int | None) -> int | None:
        """A version of the state, or that which he sees, if that one is earlier."""
        if version is None or self.version is None:
            return self.version if version is None else version
        return min(version, self.version)


class RoomAccess:
    """Opens rooms to readers."""

    def __init__(self, *, rooms: RoomRecords, readable: ReadableRooms) -> None:
        self._rooms = rooms
        self._readable = readable

    async def find(self, room_id: RoomID) -> RoomRecord:
        """A room, whoever may look into it; not while a connection is held.

        Raises NotAllowed: who is not in a room does not learn whether it is there.
        """
        uuid = native_uuid(room_id)
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise _not_in_room()
        return room

    def peek(self, by: Requester, room: RoomRecord) -> OpenRoom | None:
        """What `look` gives, if it is in memory."""
        readable = self._readable.peek(room.room_nid, by.user_id)
        return None if readable is None else OpenRoom(room, readable)

    async def look(self, db: Connection, by: Requester, room: RoomRecord) -> OpenRoom | None:
        """As its members see it, or who was one, or as everybody does; None: he may not look in.

        At most one query for a member, at most three for others.
        """
        readable = await self._readable.of(db, room.room_nid, by.user_id)
        if readable.is_member:
            return OpenRoom(room, readable)
        if readable.was_member and not await forgotten_rooms.is_forgotten(
            db, by.user_nid, room.room_nid
        ):
            return OpenRoom(room, readable, state_seen_by(readable))
        if readable.visibility and readable.visibility[-1][1] == WORLD_READABLE:
            return OpenRoom(room, await history.of_stranger(db, room.room_nid, by.user_id))
        return None

    async def open(self, db: Connection, by: Requester, room: RoomRecord) -> OpenRoom:
        """The same. Raises NotAllowed."""
        opened = await self.look(db, by, room)
        if opened is None:
            raise _not_in_room()
        return opened


def state_seen_by(room: ReadableRoom) -> int | None:
    """The version of the state that came with the leaving of somebody who was a member, after his
    last join; None for a member: the current one.
    """
    if room.is_member:
        return None
    joined = max(index for index, (_, value) in enumerate(room.membership) if value == "join")
    return room.membership[joined + 1][0]


def _not_in_room() -> NotAllowed:
    return NotAllowed("You are not in this room.")
