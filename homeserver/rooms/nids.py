"""Event numbers, reserved in blocks so that an event has one before its transaction begins."""

import asyncio
from collections import deque

from homeserver.storage import events
from homeserver.storage.database import Database


class EventNids:
    """Numbers that no other process hands out. Those left at the end are lost, which is no harm."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._blocks: deque[range] = deque()
        self._lock = asyncio.Lock()
        self._left = 0

    def has(self, count: int) -> bool:
        return self._left >= count

    async def reserve(self, count: int) -> None:
        """Makes `count` numbers available."""
        async with self._lock:
            while self._left < count:
                async with self._database.connection() as db:
                    block = await events.reserve_nids(db)
                self._blocks.append(block)
                self._left += len(block)

    async def one(self) -> int:
        """A number for whoever has to await before using it: nobody else can take it meanwhile."""
        await self.reserve(1)
        return self.take()

    def take(self) -> int:
        """The next number; only after `has`."""
        block = self._blocks[0]
        self._left -= 1
        if len(block) == 1:
            self._blocks.popleft()
        else:
            self._blocks[0] = block[1:]
        return block[0]
