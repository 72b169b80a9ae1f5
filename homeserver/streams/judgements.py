"""The stream of events with what each means to people, in memory.

An event is judged in the step of the event loop in which the tail hands it over, if that needs
nothing looked up. Where it does, what follows in the same room waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

import structlog

from homeserver.errors import Unavailable
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.database import Database
from homeserver.storage.notifications import SETTINGS
from homeserver.streams.account_data import AccountDataTail
from homeserver.streams.judging import Judge, Judgement, NotLoaded
from homeserver.streams.tail import Committed, EventTail

MAX_KEPT = 20_000
RETRY_S = 0.2

Listener = Callable[[Committed, Judgement | None], None]

log = structlog.get_logger(__name__)


class Judgements:
    """Judges every event once, those of a room in order, and remembers what came of the last."""

    def __init__(
        self, *, database: Database, tail: EventTail, account_data: AccountDataTail, judge: Judge
    ) -> None:
        self._database = database
        self._tail = tail
        self._judge = judge
        self._waiting: dict[int, deque[Committed]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._kept: dict[int, deque[Judgement]] = {}
        self._order: deque[Judgement] = deque()
        self._floor = 0
        self._listeners: list[Listener] = []
        tail.subscribe(self._follow)
        account_data.subscribe(self._settings_changed)

    def subscribe(self, listener: Listener) -> None:
        """Called with each event, those of a room in order; must not block or raise."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begins where the tail stands."""
        self._floor = self._tail.position

    def reaches(self, position: int) -> bool:
        """Whether all that was judged after a position is remembered."""
        return position >= self._floor

    def since(self, room_nid: int, position: int) -> list[Judgement]:
        """What is remembered of a room's events after a position, in order."""
        return [each for each in self._kept.get(room_nid, ()) if each.position > position]

    def between(self, after: int, upto: int) -> list[Judgement]:
        """What is remembered of all rooms with after < position <= upto."""
        return [each for each in self._order if after < each.position <= upto]

    @property
    def position(self) -> int:
        """Everything up to here is judged."""
        if not self._waiting:
            return self._tail.position
        return min(queue[0].position for queue in self._waiting.values()) - 1

    def is_waiting(self, room_nid: int) -> bool:
        """Whether events of a room are not judged yet."""
        return room_nid in self._waiting

    async def settled(self, room_nids: Collection[int]) -> None:
        """Returns when all events of these rooms that the tail has handed over are judged."""
        while tasks := [self._tasks[nid] for nid in room_nids if nid in self._tasks]:
            await asyncio.wait(tasks)

    def _follow(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            room_nid = committed.room.room_nid
            if room_nid in self._waiting:
                self._waiting[room_nid].append(committed)
                continue
            try:
                judgement = self._judge.at_once(committed.stored)
            except NotLoaded:
                self._waiting[room_nid] = deque([committed])
                self._tasks[room_nid] = asyncio.create_task(self._look_up(room_nid))
            else:
                self._settle(committed, judgement)

    async def _look_up(self, room_nid: int) -> None:
        waiting = self._waiting[room_nid]
        while waiting:
            judgement = await self._judged(waiting[0])
            self._settle(waiting[0], judgement)
            waiting.popleft()
        del self._waiting[room_nid], self._tasks[room_nid]

    async def _judged(self, committed: Committed) -> Judgement | None:
        while True:
            try:
                return self._judge.at_once(committed.stored)
            except NotLoaded:
                pass
            try:
                async with self._database.snapshot() as db:
                    return await self._judge.judge(db, committed.stored)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            except Exception:
                # What is wrong with one event must not keep people from all that follow.
                log.exception("event_not_judged", event_id=committed.stored.event.event_id)
                return None

    def _settle(self, committed: Committed, judgement: Judgement | None) -> None:
        self._judge.judged(committed)
        if judgement is not None:
            self._keep(judgement)
        for listener in self._listeners:
            listener(committed, judgement)

    def _keep(self, judgement: Judgement) -> None:
        self._order.append(judgement)
        self._kept.setdefault(judgement.room_nid, deque()).append(judgement)
        if len(self._order) > MAX_KEPT:
            oldest = self._order.popleft()
            self._floor = max(self._floor, oldest.position)
            kept = self._kept[oldest.room_nid]
            kept.popleft()
            if not kept:
                del self._kept[oldest.room_nid]

    def _settings_changed(self, batch: Sequence[AccountDataRow]) -> None:
        for row in batch:
            if row.room_nid == GLOBAL and row.type in SETTINGS:
                self._judge.settings_changed(row.user_nid)
