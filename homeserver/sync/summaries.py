"""How many members rooms have and who names those without a name, in memory.

Counting costs as much as a room has members, so it is done once; after that every membership
event says what changes.
Source: C-S API v1.19 `sync.yaml`, RoomSummary.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import orjson

from homeserver.events.content import membership_of
from homeserver.identifiers import UserID
from homeserver.storage import sync_reads
from homeserver.storage.database import Connection, Database
from homeserver.streams.tail import Committed

CAPACITY = 50_000
MAX_HEROES = 5
_MEMBER = "m.room.member"
NAMING = frozenset(("m.room.name", "m.room.canonical_alias"))
_THERE = frozenset(("join", "invite"))


@dataclass(frozen=True, slots=True)
class RoomSize:
    """heroes: the first members, one more than are named. position: up to which it holds."""

    joined: int
    invited: int
    heroes: tuple[UserID, ...]
    is_named: bool
    position: int

    def heroes_for(self, reader: str) -> tuple[UserID, ...] | None:
        """Who names the room for a reader; None: it has a name."""
        if self.is_named:
            return None
        return tuple(user_id for user_id in self.heroes if user_id != reader)[:MAX_HEROES]


class Summaries:
    """Bounded; those not used for the longest leave first."""

    def __init__(self, *, database: Database, capacity: int = CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._loading: dict[int, asyncio.Task[RoomSize | None]] = {}
        self._known: OrderedDict[int, RoomSize] = OrderedDict()
        self._touched: list[set[int]] = []

    def peek(self, room_nid: int) -> RoomSize | None:
        return self._known.get(room_nid)

    async def of(self, room_nid: int) -> RoomSize | None:
        """Asked for by many at once, one looks it up. Raises Unavailable."""
        size = self.peek(room_nid)
        if size is not None:
            return size
        task = self._loading.get(room_nid)
        if task is None:
            task = self._loading[room_nid] = asyncio.create_task(self._look_up(room_nid))
            task.add_done_callback(lambda _: self._loading.pop(room_nid, None))
        return await asyncio.shield(task)

    def follow(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            event = committed.stored.event
            if not event.is_state or (event.type != _MEMBER and event.type not in NAMING):
                continue
            room_nid = committed.room.room_nid
            for touched in self._touched:
                touched.add(room_nid)
            size = self._known.get(room_nid)
            if size is not None and size.position < committed.position:
                self._set(room_nid, _moved(size, committed))

    def forget(self, room_nid: int) -> None:
        """Its state changed in a way that its events do not tell."""
        self._known.pop(room_nid, None)
        for touched in self._touched:
            touched.add(room_nid)

    async def load(
        self, db: Connection, room_nids: Collection[int], position: int
    ) -> dict[int, RoomSize]:
        """position: up to which the connection sees events. Two queries for all that are not in
        memory; what changes while they run is not kept.
        """
        found = {nid: size for nid in room_nids if (size := self._known.get(nid)) is not None}
        missing = [nid for nid in room_nids if nid not in found]
        if not missing:
            return found
        touched: set[int] = set()
        self._touched.append(touched)
        try:
            loaded = await _load(db, missing, position)
        finally:
            self._touched = [each for each in self._touched if each is not touched]
        for room_nid, size in loaded.items():
            if room_nid not in touched:
                self._set(room_nid, size)
        return found | loaded

    async def _look_up(self, room_nid: int) -> RoomSize | None:
        async with self._database.snapshot() as db:
            now = await sync_reads.positions(db)
            return (await self.load(db, [room_nid], now.events)).get(room_nid)

    def _set(self, room_nid: int, size: RoomSize | None) -> None:
        if size is None:
            del self._known[room_nid]
            return
        self._known[room_nid] = size
        self._known.move_to_end(room_nid)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


def _moved(size: RoomSize, committed: Committed) -> RoomSize | None:
    """What an event makes of it; None: that must be looked up."""
    event = committed.stored.event
    if event.type != _MEMBER or committed.stored.facts.fork_nid is not None:
        return None
    before, after = committed.prev_membership, membership_of(event)
    few = len(size.heroes) < sync_reads.HEROES
    moves = (before in _THERE) != (after in _THERE)
    if moves and (few or event.state_key in size.heroes):
        return None
    return replace(
        size,
        joined=size.joined + (after == "join") - (before == "join"),
        invited=size.invited + (after == "invite") - (before == "invite"),
        position=committed.position,
    )


async def _load(db: Connection, room_nids: Collection[int], position: int) -> dict[int, RoomSize]:
    sizes = await sync_reads.sizes(db, room_nids)
    named = {
        room_nid
        for room_nid, event_type, raw in await sync_reads.naming_events(db, room_nids)
        if _is_name(event_type, raw)
    }
    return {
        room_nid: RoomSize(size.joined, size.invited, size.heroes, room_nid in named, position)
        for room_nid, size in sizes.items()
    }


def _is_name(event_type: str, raw: bytes) -> bool:
    """ "m.heroes: Required if the room's name or canonical alias are unset or empty"."""
    content = orjson.loads(raw)["content"]
    found = content.get("name" if event_type == "m.room.name" else "alias")
    return isinstance(found, str) and bool(found)
