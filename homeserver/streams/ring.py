"""The newest rows of a stream in memory: read once a process, handed to all who wait for them.

What a writer of this process hands over directly either continues the tail, or the tail knows that
something is missing and reads it (design section 8).
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from homeserver.errors import Unavailable
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.values import value

IDLE_POLL_S = 2.0
RETRY_S = 0.2
READ_LIMIT = 1_000


class Positioned(Protocol):
    """A row of a stream."""

    @property
    def position(self) -> int: ...


Row = TypeVar("Row", bound=Positioned)


@value
class Stretch(Generic[Row]):
    """All rows of a stream after one position and up to another, in order."""

    rows: Sequence[Row]
    upto: int


ReadAfter = Callable[[Connection, int], Awaitable[Stretch[Row]]]
Newest = Callable[[Connection], Awaitable[int]]


class Tail(Generic[Row]):
    """A ring of recent rows in position order, and those who listen to new ones.

    read: some rows after a position, not necessarily all. newest: the newest visible position.
    """

    def __init__(
        self,
        *,
        database: Database,
        topic: str,
        read: ReadAfter[Row],
        newest: Newest,
        ring_size: int,
    ) -> None:
        self._database = database
        self._topic = topic
        self._read = read
        self._newest = newest
        self._ring: deque[Row] = deque(maxlen=ring_size)
        self._floor = 0
        self._listeners: list[Callable[[Sequence[Row]], None]] = []
        self._wanted = 0
        self._wake = asyncio.Event()
        self._reading = False
        self._news = False
        self.position = 0
        """Everything up to here has been handed to the listeners."""

    @property
    def is_caught_up(self) -> bool:
        """Whether the listeners have heard of everything that this process knows to be there: of
        all that it committed itself, for one.
        """
        return self._wanted <= self.position

    def listen(self, bus: Bus) -> None:
        """Hears of positions that other processes committed."""
        bus.subscribe(self._topic, lambda payload: self.announced(int(payload)))

    def subscribe(self, listener: Callable[[Sequence[Row]], None]) -> None:
        """Called on the event loop, in position order, once a batch; must not block or raise."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begins at the newest position that is visible. Raises Unavailable."""
        async with self._database.connection() as db:
            self.position = await self._newest(db)
        self._wanted = self._floor = self.position

    def since(self, position: int) -> Sequence[Row] | None:
        """What came after a position, or None where the ring no longer reaches back."""
        if position == self.position:
            return ()
        if position < self._floor or position > self.position:
            return None
        first = bisect_right(self._ring, position, key=attrgetter("position"))
        return [self._ring[index] for index in range(first, len(self._ring))]

    def offer(self, rows: Sequence[Row], *, after: int, upto: int) -> None:
        """Takes what this process just committed, all after one position and up to another."""
        if not self._reading and after == self.position:
            self._wanted = max(self._wanted, upto)
            self._dispatch(Stretch(rows, upto))
        else:
            self.announced(upto)

    def announced(self, position: int) -> None:
        """Somebody committed up to this position, maybe while what was wanted before is read."""
        if position > self.position:
            self._wanted = max(self._wanted, position)
            self._news = True
            self._wake.set()

    def poll(self) -> None:
        """Look at the database: announcements may have been missed."""
        self.announced(self.position + 1)

    async def run(self) -> None:
        """Reads what was announced and not handed over, until cancelled."""
        while True:
            was_woken = await self._woken()
            self._wake.clear()
            try:
                if not was_woken:
                    await self._look()
                await self._catch_up()
            except Unavailable:
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _woken(self) -> bool:
        """False: nobody has said anything for a while."""
        try:
            async with asyncio.timeout(IDLE_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _look(self) -> None:
        """Whether an announcement was missed: one statement, for this goes on when nothing else
        does."""
        async with self._database.connection() as db:
            self.announced(await self._newest(db))

    async def _catch_up(self) -> None:
        self._reading = True
        try:
            while self._wanted > self.position:
                self._news = False
                async with self._database.snapshot() as db:
                    stretch = await self._read(db, self.position)
                if stretch.upto > self.position:
                    self._dispatch(stretch)
                elif not self._news:
                    self._wanted = self.position
        finally:
            self._reading = False

    def _dispatch(self, stretch: Stretch[Row]) -> None:
        overflowing = len(self._ring) + len(stretch.rows) - (self._ring.maxlen or 0)
        if overflowing > 0:
            self._floor = self._lost_position(stretch, overflowing)
        self._ring.extend(stretch.rows)
        self.position = stretch.upto
        if stretch.rows:
            for listener in self._listeners:
                listener(stretch.rows)

    def _lost_position(self, stretch: Stretch[Row], overflowing: int) -> int:
        """The position of the newest row that leaves the ring."""
        if overflowing <= len(self._ring):
            return self._ring[overflowing - 1].position
        return stretch.rows[overflowing - len(self._ring) - 1].position
