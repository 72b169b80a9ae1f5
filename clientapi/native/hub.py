"""The live stream: events become frames once, in order, and go to everybody who hears them.

Messages and reactions say all that their frames need, so they are written in the same step of the
event loop in which the tail hands them over. Other events need something looked up; while that
goes on, everything after them waits, because a cursor stands for all that came before it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import structlog

from clientapi.native.audience import Audience
from clientapi.native.broadcast import Broadcast, Waiting
from clientapi.native.connection import Connection
from clientapi.native.cursor import Cursor, Progress
from clientapi.native.delivered import Deliveries
from clientapi.native.publications import AT_ONCE, Kind, Related, kind_of, membership_step
from clientapi.native.related import Relating
from homeserver.errors import Unavailable
from homeserver.requester import Requester
from homeserver.streams.tail import Committed, EventTail
from homeserver.views.live import Live as LiveViews

MAX_WAITING = 20_000
_REACH_TIMEOUT_S = 10.0
_REACH_POLL_S = 0.1

log = structlog.get_logger(__name__)


class Hub:
    """Publishes what the tail hands over, and lets connections in at an exact position.

    on_overflow: more events wait than memory should hold; all connections must resume.
    """

    def __init__(
        self,
        *,
        tail: EventTail,
        audience: Audience,
        broadcast: Broadcast,
        relating: Relating,
        deliveries: Deliveries,
        views: LiveViews,
        progress: Progress,
        on_overflow: Callable[[], None],
    ) -> None:
        self._tail = tail
        self._audience = audience
        self._broadcast = broadcast
        self._relating = relating
        self._deliveries = deliveries
        self._views = views
        self._progress = progress
        self._on_overflow = on_overflow
        self._waiting: deque[Waiting] = deque()
        self._published = asyncio.Event()
        self._listeners: list[Callable[[int], None]] = []

    def start(self) -> None:
        """Begins where the tail stands."""
        self._progress.events = self._tail.position
        self._tail.subscribe(self.publish)

    def subscribe(self, listener: Callable[[int], None]) -> None:
        """Called with the position up to which events are published next."""
        self._listeners.append(listener)

    @property
    def waiting(self) -> Iterator[Committed]:
        """What the tail has handed over and is not published yet."""
        return (each.committed for each in self._waiting)

    def stop(self) -> None:
        """Whatever still waits is not told: clients resume."""
        for waiting in self._waiting:
            waiting.give_up()
        self._waiting.clear()

    def publish(self, batch: Sequence[Committed]) -> None:
        """Takes events in the order of their positions; never blocks."""
        for committed in batch:
            if self._waiting or self._concerns_somebody(committed):
                self._waiting.append(self._prepare(committed))
            else:
                self._progress.events = committed.position
        self._advance()
        self._published.set()
        if len(self._waiting) > MAX_WAITING:
            self._overflow()

    async def rooms_of(self, by: Requester) -> Mapping[int, int]:
        """The user's rooms as of now, each with the position since when.

        They are right until the caller next awaits. Raises Unavailable.
        """
        listener = self._audience.user(by.user_nid)
        while listener is None:
            subscriptions = await self._views.subscriptions(by.user_nid)
            await self.reached(subscriptions.position)
            listener = self._audience.user(by.user_nid)
            recent = self._tail.since(subscriptions.position)
            if listener is None and recent is not None:
                rooms = dict.fromkeys(subscriptions.room_nids, 0)
                return self._caught_up(by, rooms, recent)
        return listener.rooms

    def enter(self, connection: Connection, rooms: Mapping[int, int]) -> Cursor:
        """From the cursor that is returned on, the connection hears its rooms. rooms: see
        `rooms_of`.
        """
        self._audience.add(connection, rooms)
        self._progress.events = self.position
        connection.heard_from = self._progress.events
        return self._progress.cursor

    async def reached(self, position: int, *, timeout_s: float = _REACH_TIMEOUT_S) -> None:
        """Waits until everything up to a position is published. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.position < position:
                    await self._more_is_published()
        except TimeoutError:
            raise Unavailable("The server is catching up; please try again") from None

    @property
    def position(self) -> int:
        """Up to here, everybody has heard everything. The tail moves on without telling where the
        events concern nobody.
        """
        return self._progress.events if self._waiting else self._tail.position

    async def _more_is_published(self) -> None:
        self._published.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REACH_POLL_S):
                await self._published.wait()

    def _caught_up(
        self, by: Requester, rooms: dict[int, int], recent: Sequence[Committed]
    ) -> Mapping[int, int]:
        """recent: events after the position for which the rooms hold."""
        for committed in recent:
            if self._waiting and committed.position > self._progress.events:
                break
            if committed.stored.event.state_key == by.user_id:
                membership_step(committed).take(rooms, committed)
        return rooms

    def _prepare(self, committed: Committed) -> Waiting:
        kind = kind_of(committed)
        if kind in AT_ONCE:
            return Waiting(committed, kind)
        related = asyncio.create_task(self._related(committed, kind))
        related.add_done_callback(lambda _: self._advance())
        return Waiting(committed, kind, related)

    def _concerns_somebody(self, committed: Committed) -> bool:
        """Whether somebody is connected who hears of it."""
        if self._audience.in_room(committed.room.room_nid):
            return True
        return self._audience.user_by_id(committed.stored.event.state_key) is not None

    async def _related(self, committed: Committed, kind: Kind) -> Related:
        """Where looking up fails for a reason of ours, the event is told as far as it is known."""
        try:
            return await self._relating.related(committed, kind)
        except Exception:
            log.exception("event_not_looked_up", event_id=committed.stored.event.event_id)
            return None

    def _advance(self) -> None:
        """Publishes what is ready, up to the first event that is not."""
        waiting = self._waiting
        if not waiting or not waiting[0].is_ready:
            return
        messages: list[Committed] = []
        while waiting and waiting[0].is_ready:
            self._publish_next(messages)
        self._deliveries.written(messages)
        self._published.set()

    def _publish_next(self, messages: list[Committed]) -> None:
        first = self._waiting.popleft()
        run = [first]
        while self._waiting and self._waiting[0].continues(first):
            run.append(self._waiting.popleft())
        for listener in self._listeners:
            listener(run[-1].committed.position)
        self._broadcast.run(run, self._progress.receipts)
        self._progress.events = run[-1].committed.position
        if first.kind is Kind.MESSAGE and self._audience.in_room(first.committed.room.room_nid):
            messages.append(first.committed)

    def _overflow(self) -> None:
        log.error("live_stream_overflow", waiting=len(self._waiting))
        last = self._waiting[-1].committed.position
        self.stop()
        self._progress.events = last
        self._on_overflow()
        self._published.set()
