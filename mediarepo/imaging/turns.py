"""Who is next: few places to work, and many who want one.

People take turns, however many pictures each of them has: who asks for one is not held up by
whoever asks for hundreds.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from homeserver.errors import LimitExceeded, Unavailable

_SHARE = 4
"""One person may have this part of all places in the queue."""
_RETRY_MS = 2_000

_Queue = deque["asyncio.Future[None]"]


class Turns:
    """places: how many may work at the same time. max_waiting: how many may wait for that."""

    def __init__(self, *, places: int, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._max_each = max(1, max_waiting // _SHARE)
        self._waiting = 0
        self._queues: OrderedDict[Hashable, _Queue] = OrderedDict()

    @asynccontextmanager
    async def turn(self, owner: Hashable) -> AsyncIterator[None]:
        """A place for as long as the block lasts. owner: who wants it.

        Raises LimitExceeded when he has too many waiting, Unavailable when all together have.
        """
        await self._take(owner)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, owner: Hashable) -> None:
        if self._free:
            self._free -= 1
            return
        turn = self._queue_up(owner)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            else:
                self._leave(owner, turn)
            raise

    def _queue_up(self, owner: Hashable) -> "asyncio.Future[None]":
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many pictures wait already. Try again in a moment.")
        if len(self._queues.get(owner, ())) >= self._max_each:
            raise LimitExceeded("Too many pictures of yours wait.", retry_after_ms=_RETRY_MS)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append(turn)
        self._waiting += 1
        return turn

    def _give_back(self) -> None:
        """The place goes to the next one; his owner comes last then."""
        if not self._queues:
            self._free += 1
            return
        owner, queue = self._queues.popitem(last=False)
        queue.popleft().set_result(None)
        self._waiting -= 1
        if queue:
            self._queues[owner] = queue

    def _leave(self, owner: Hashable, turn: "asyncio.Future[None]") -> None:
        queue = self._queues[owner]
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[owner]
