"""The directory of rooms in memory: number, Matrix ID, UUID, version, kind."""

from collections import OrderedDict
from uuid import UUID

from homeserver.events.stored import RoomRecord
from homeserver.storage import rooms
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus

DEFAULT_CAPACITY = 50_000
CHANGED_TOPIC = "room-changed"


class RoomRecords:
    """A bounded cache; those not asked for the longest leave first."""

    def __init__(self, *, database: Database, capacity: int = DEFAULT_CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._by_nid: OrderedDict[int, RoomRecord] = OrderedDict()
        self._nid_of_uuid: dict[UUID, int] = {}

    def listen(self, bus: Bus) -> None:
        """Forget a room when its record changes (payload: the room's UUID)."""
        bus.subscribe(CHANGED_TOPIC, lambda payload: self.invalidate(UUID(payload)))

    def peek(self, uuid: UUID) -> RoomRecord | None:
        """The room if it is in memory."""
        room_nid = self._nid_of_uuid.get(uuid)
        return None if room_nid is None else self._by_nid[room_nid]

    async def by_uuid(self, uuid: UUID) -> RoomRecord | None:
        room = self.peek(uuid)
        if room is None:
            async with self._database.connection() as db:
                room = await rooms.by_uuid(db, uuid)
            self._keep(room)
        return room

    async def by_nid(self, room_nid: int) -> RoomRecord | None:
        room = self._by_nid.get(room_nid)
        if room is None:
            async with self._database.connection() as db:
                room = await rooms.by_nid(db, room_nid)
            self._keep(room)
        return room

    def invalidate(self, uuid: UUID) -> None:
        room_nid = self._nid_of_uuid.pop(uuid, None)
        if room_nid is not None:
            del self._by_nid[room_nid]

    def _keep(self, room: RoomRecord | None) -> None:
        if room is None:
            return
        self._by_nid[room.room_nid] = room
        self._by_nid.move_to_end(room.room_nid)
        self._nid_of_uuid[room.uuid] = room.room_nid
        if len(self._by_nid) > self._capacity:
            _, oldest = self._by_nid.popitem(last=False)
            del self._nid_of_uuid[oldest.uuid]
