"""Room heads in memory, and what the writer needs loaded before a room's turn."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from homeserver.errors import NotFound
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import StateKey
from homeserver.rooms.head import Entry, Extremity, RoomHead, extremity_of
from homeserver.storage import events, room_state, rooms
from homeserver.storage.database import Connection, Database

MAX_ROOMS = 20_000
MAX_ENTRIES = 2_000
"""State entries that a head keeps in memory; a room that knows more is loaded afresh."""

CORE_KEYS: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.power_levels", ""),
    ("m.room.join_rules", ""),
    ("m.room.history_visibility", ""),
)


@dataclass(slots=True)
class CachedHead:
    """A room's head, ahead of the database by `pending` items.

    settled: done when none is pending any more; None: nobody waits for that.
    """

    head: RoomHead
    pending: int = 0
    settled: "asyncio.Future[None] | None" = None
    dropped: bool = False


class Heads:
    """The heads of rooms that were written lately; the least used leave first.

    Whoever has a room's `turn` may await while he works on it; others then wait in line.
    """

    def __init__(self, *, database: Database, capacity: int = MAX_ROOMS) -> None:
        self._database = database
        self._capacity = capacity
        self._heads: OrderedDict[int, CachedHead] = OrderedDict()
        self._loading: dict[int, asyncio.Lock] = {}
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def is_taken(self, room: RoomRecord) -> bool:
        """Whether somebody has the room's turn."""
        lock = self._turns.get(room.room_nid)
        return lock is not None and lock.locked()

    @asynccontextmanager
    async def turn(self, room: RoomRecord) -> AsyncIterator[None]:
        """The room for oneself, in the order of asking. Items that were prepared may be pending."""
        async with self._turns.setdefault(room.room_nid, asyncio.Lock()):
            yield

    async def settled(self, room: RoomRecord) -> None:
        """Nothing of this process is pending in the room; only within its turn."""
        while (cached := self._heads.get(room.room_nid)) is not None and cached.pending:
            if cached.settled is None:
                cached.settled = asyncio.get_running_loop().create_future()
            await asyncio.wait([cached.settled])

    def peek(self, room: RoomRecord) -> CachedHead | None:
        cached = self._heads.get(room.room_nid)
        if cached is not None:
            self._heads.move_to_end(room.room_nid)
        return cached

    async def load(self, room: RoomRecord) -> CachedHead:
        """The head from memory or from the database: the room's core state, no members."""
        lock = self._loading.setdefault(room.room_nid, asyncio.Lock())
        try:
            async with lock:
                return self.peek(room) or self._keep(room, await self._load(room))
        finally:
            if not lock.locked():
                self._loading.pop(room.room_nid, None)

    async def learn(self, room: RoomRecord, keys: Sequence[StateKey]) -> None:
        """Loads state entries into the head, if it is still the one that lacks them."""
        cached = await self.load(room)
        if not keys:
            return
        async with self._database.connection() as db:
            found = await entries(db, room.room_nid, keys)
        if not cached.dropped:
            cached.head = cached.head.knowing(found)

    def begin(self, room: RoomRecord, head: RoomHead) -> CachedHead:
        """The head of a room that is being made."""
        return self._keep(room, head)

    def drop(self, room_nid: int) -> None:
        """Forget a head that is not, or may not be, the database's."""
        cached = self._heads.pop(room_nid, None)
        if cached is not None:
            cached.dropped = True

    def advance(self, cached: CachedHead, head: RoomHead) -> None:
        """An item moves the head. Once it is through, `finished` is to be called."""
        cached.head = head
        cached.pending += 1

    def finished(self, room_nid: int, cached: CachedHead) -> None:
        """An item of this head is through. A head that knows too much is loaded afresh."""
        cached.pending -= 1
        if cached.pending:
            return
        if cached.settled is not None:
            cached.settled.set_result(None)
            cached.settled = None
        if len(cached.head.state) > MAX_ENTRIES and not cached.dropped:
            self.drop(room_nid)

    def _keep(self, room: RoomRecord, head: RoomHead) -> CachedHead:
        cached = CachedHead(head)
        self._heads[room.room_nid] = cached
        if len(self._heads) > self._capacity:
            self._evict()
        return cached

    def _evict(self) -> None:
        for room_nid, cached in self._heads.items():
            if not cached.pending:
                del self._heads[room_nid]
                cached.dropped = True
                return

    async def _load(self, room: RoomRecord) -> RoomHead:
        async with self._database.snapshot() as db:
            return await read_head(db, room)


async def read_head(db: Connection, room: RoomRecord) -> RoomHead:
    """The head as the database has it, with the room's core state. Raises NotFound."""
    row = await rooms.head(db, room.room_nid)
    if row is None:
        raise NotFound("There is no such room.", kind="room")
    state = await entries(db, room.room_nid, CORE_KEYS)
    extremities = await _extremities(db, room, row)
    return RoomHead(row.head_version, row.state_version, row.depth, extremities, state)


async def _extremities(
    db: Connection, room: RoomRecord, row: rooms.HeadRow
) -> tuple[Extremity, ...]:
    if not room.version.events_carry_id:
        return tuple(Extremity(event_nid, event_id) for event_nid, event_id in row.extremities)
    stored = await events.by_nids(db, [event_nid for event_nid, _ in row.extremities])
    return tuple(
        extremity_of(stored[event_nid].event, event_nid) for event_nid, _ in row.extremities
    )


async def entries(
    db: Connection, room_nid: int, keys: Iterable[StateKey]
) -> dict[StateKey, Entry | None]:
    """Entries of the current state; None where the room has none."""
    wanted = list(keys)
    found = await room_state.current_entries(db, room_nid, wanted)
    return {
        key: Entry(found[key].event, found[key].facts.event_nid) if key in found else None
        for key in wanted
    }
