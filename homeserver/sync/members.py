"""Who the senders of messages are: their membership events by room, in memory.

Source: C-S API v1.19 "Lazy-loading room members".
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence

from homeserver.storage import sync_reads
from homeserver.storage.database import Database
from homeserver.storage.sync_reads import WantedMember
from homeserver.storage.timeline import MAX_VERSION
from homeserver.streams.tail import Committed
from homeserver.sync.bodies import Bodies, Body

CAPACITY = 100_000
_MEMBER = "m.room.member"
_Key = tuple[int, str]


class MemberEvents:
    """By room and user ID. Bounded; those not used for the longest leave first."""

    def __init__(self, *, database: Database, bodies: Bodies, capacity: int = CAPACITY) -> None:
        self._database = database
        self._bodies = bodies
        self._capacity = capacity
        self._nids: OrderedDict[_Key, int] = OrderedDict()
        self._loading: dict[_Key, asyncio.Task[None]] = {}

    def follow(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            event = committed.stored.event
            if event.type == _MEMBER and event.state_key is not None:
                key = committed.room.room_nid, event.state_key
                self._keep(key, committed.stored.facts.event_nid)

    def forget_room(self, room_nid: int) -> None:
        """Its state changed in a way that its events do not tell."""
        for key in [key for key in self._nids if key[0] == room_nid]:
            del self._nids[key]

    def peek(self, room_nid: int, user_id: str) -> Body | None:
        event_nid = self._nids.get((room_nid, user_id))
        return None if event_nid is None else self._bodies.peek(event_nid)

    async def of(self, room_nid: int, user_ids: Collection[str]) -> dict[str, Body]:
        """Those who are or were members. What many ask for at once is looked up by one.

        Raises Unavailable.
        """
        missing = [each for each in user_ids if self.peek(room_nid, each) is None]
        waiting = {task for each in missing if (task := self._loading.get((room_nid, each)))}
        alone = [each for each in missing if (room_nid, each) not in self._loading]
        if alone:
            task = asyncio.create_task(self._load(room_nid, alone))
            waiting.add(task)
            for each in alone:
                self._loading[room_nid, each] = task
            task.add_done_callback(lambda _: self._loaded(room_nid, alone))
        for task in waiting:
            await asyncio.shield(task)
        return {each: body for each in user_ids if (body := self.peek(room_nid, each))}

    async def _load(self, room_nid: int, user_ids: Collection[str]) -> None:
        wanted = [WantedMember(room_nid, MAX_VERSION - 1, each) for each in user_ids]
        async with self._database.snapshot() as db:
            found = await sync_reads.members_at(db, wanted)
            await self._bodies.load(db, found.values())
        for key, event_nid in found.items():
            if key not in self._nids:
                self._keep(key, event_nid)

    def _loaded(self, room_nid: int, user_ids: Collection[str]) -> None:
        for each in user_ids:
            self._loading.pop((room_nid, each), None)

    def _keep(self, key: _Key, event_nid: int) -> None:
        self._nids[key] = event_nid
        self._nids.move_to_end(key)
        if len(self._nids) > self._capacity:
            self._nids.popitem(last=False)
