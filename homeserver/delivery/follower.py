"""Following the stream of events from a durable position, at least once, in one process at a time.

What follows is done in the transaction that moves the cursor, so within the database it is done
exactly once; elsewhere it may be done again after a crash, and must be idempotent (design
section 8).
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from homeserver.errors import Unavailable
from homeserver.storage import cursors
from homeserver.storage.database import Connection, Database

IDLE_POLL_S = 2.0
"""How long an announcement that was lost may delay what follows."""
RETRY_S = 1.0

Advance = Callable[[Connection, int], Awaitable[int]]
"""Does what follows from some events after a position and returns how far it came; the position
itself if there are none."""

log = structlog.get_logger(__name__)


class Follower:
    """One named cursor and what follows from the events behind it.

    observe: called with each position that it came to. gather_s: how long to wait after a wake-up,
    so that what comes close together is one batch. full_step: how many positions a step moves when
    there are more behind. turn_poll_s: how long after the end of one
    runner another process takes over, at the latest.
    """

    def __init__(
        self,
        *,
        database: Database,
        name: str,
        advance: Advance,
        observe: Callable[[int], None] = lambda _: None,
        full_step: int,
        gather_s: float = 0.25,
        turn_poll_s: float = 5.0,
    ) -> None:
        self._database = database
        self._name = name
        self._advance = advance
        self._observe = observe
        self._full_step = full_step
        self._gather_s = gather_s
        self._turn_poll_s = turn_poll_s
        self._wake = asyncio.Event()

    def wake(self, *_: object) -> None:
        """There may be something new. Cheap, and safe to call at any time."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Only one process at a time gets beyond waiting for its turn."""
        while True:
            try:
                await self._take_turn()
            except Unavailable as error:
                log.warning("follower_interrupted", cursor=self._name, reason=str(error))
            except Exception:
                # The same events will come again: a fault in them must not stop the process.
                log.exception("follower_failed", cursor=self._name)
            await asyncio.sleep(RETRY_S)

    async def catch_up(self) -> int:
        """Does all that follows up to now; returns the position reached. Raises Unavailable."""
        while True:
            before, after = await self._step()
            if before == after:
                return after

    async def _take_turn(self) -> None:
        async with self._database.dedicated() as holder:
            # No process tells the others that it ends.
            while not await cursors.try_hold(holder, self._name):  # noqa: ASYNC110
                await asyncio.sleep(self._turn_poll_s)
            while not holder.is_closed():
                self._wake.clear()
                before, after = await self._step()
                if after - before < self._full_step:
                    await self._idle()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(IDLE_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._gather_s)

    async def _step(self) -> tuple[int, int]:
        """One batch: from where to where it came."""
        async with self._database.transaction() as db:
            # Locks the cursor's row, so that a runner that lost its turn cannot overtake.
            before = await cursors.lock(db, self._name)
            after = await self._advance(db, before)
            if after != before:
                await cursors.move(db, self._name, after)
        self._observe(after)
        return before, after
