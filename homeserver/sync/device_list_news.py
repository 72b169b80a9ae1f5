"""Whom changes of devices concern: found out once for all readers, soon after each change."""

import asyncio
from collections.abc import Sequence

from homeserver.errors import Unavailable
from homeserver.storage import sync_reads
from homeserver.storage.database import Database
from homeserver.storage.device_lists import DeviceListRow
from homeserver.streams.device_lists import DeviceListTail
from homeserver.sync.rosters import Roster, Rosters

_RETRY_S = 0.5


class DeviceListNews:
    """Tells active users whose devices changed. position: everybody concerned knows up to here."""

    def __init__(self, *, tail: DeviceListTail, rosters: Rosters, database: Database) -> None:
        self._tail = tail
        self._rosters = rosters
        self._database = database
        self._changed: dict[int, DeviceListRow] = {}
        self._change = asyncio.Event()
        self.position = 0

    def start(self) -> None:
        """The tail must have been started."""
        self.position = self._rosters.told_devices = self._tail.position
        self._tail.subscribe(self._happened)

    async def next(self) -> Sequence[Roster]:
        """Waits for changes and tells of them; returns those whom they concern."""
        await self._change.wait()
        self._change.clear()
        changed, self._changed = self._changed, {}
        upto = self._tail.position
        try:
            rooms = await self._rooms(changed)
        except Unavailable:
            self._changed = changed | self._changed
            self._change.set()
            await asyncio.sleep(_RETRY_S)
            return ()
        return self._tell(changed, rooms, upto)

    def _happened(self, batch: Sequence[DeviceListRow]) -> None:
        self._changed |= {row.user_nid: row for row in batch}
        self._change.set()

    async def _rooms(self, changed: dict[int, DeviceListRow]) -> dict[int, set[int]]:
        """Users by the rooms that they are in."""
        if not any(True for _ in self._rosters):
            return {}
        async with self._database.connection() as db:
            return await sync_reads.rooms_of_many(db, changed)

    def _tell(
        self, changed: dict[int, DeviceListRow], rooms: dict[int, set[int]], upto: int
    ) -> Sequence[Roster]:
        found: dict[int, set[Roster]] = {}
        for room_nid, user_nids in rooms.items():
            readers = self._rosters.in_room(room_nid)
            for user_nid in user_nids if readers else ():
                found.setdefault(user_nid, set()).update(readers)
        concerned: dict[Roster, None] = {}
        for user_nid, row in sorted(changed.items(), key=_position_of):
            own = self._rosters.peek(user_nid)
            for roster in {*found.get(user_nid, ()), *(() if own is None else (own,))}:
                roster.hear_of_devices(row.user_id, row.position)
                concerned[roster] = None
        self.position = self._rosters.told_devices = upto
        return [*concerned]


def _position_of(changed: tuple[int, DeviceListRow]) -> int:
    return changed[1].position
