"""Order among the calls of one connection: what concerns the same thing happens in order, the rest
side by side, and no more than a few at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

MAX_IN_FLIGHT = 64


class Lanes(Generic[Item]):
    """Calls that were taken and are not answered. Empty lanes take no memory.

    run: carries out one call; must not raise. begin: lets a coroutine run on its own.
    """

    __slots__ = ("_begin", "_in_flight", "_lanes", "_run", "_with_room")

    def __init__(
        self,
        *,
        run: Callable[[Item], Awaitable[None]],
        begin: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._run = run
        self._begin = begin
        self._lanes: dict[Hashable, deque[Item]] = {}
        self._in_flight = 0
        self._with_room: asyncio.Event | None = None

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken before there `is_room`."""
        return self._in_flight >= MAX_IN_FLIGHT

    def take(self, key: Hashable, item: Item) -> None:
        """Carries the call out after those with the same key that were taken before."""
        self._in_flight += 1
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(item)
            return
        lane = self._lanes[key] = deque((item,))
        self._begin(self._drive(key, lane))

    async def wait_for_room(self) -> None:
        """Until one more may be taken."""
        while self.is_full:
            self._with_room = asyncio.Event()
            await self._with_room.wait()

    async def _drive(self, key: Hashable, lane: deque[Item]) -> None:
        try:
            while lane:
                await self._run(lane.popleft())
                self._in_flight -= 1
                if self._with_room is not None:
                    self._with_room.set()
        finally:
            del self._lanes[key]
