"""What events mean to people, made durable.

Events are judged in memory when they come (`homeserver.streams.judgements`), so mostly there is
nothing to do but to write what came of it. What was judged by a process that ended before it was
written is judged again.
"""

import asyncio
from collections.abc import Iterable

import structlog

from homeserver.clock import Clock
from homeserver.delivery.follower import Follower
from homeserver.errors import Unavailable
from homeserver.storage import events, notifications
from homeserver.storage.database import Connection, Database
from homeserver.storage.notifications import CURSOR, NewException
from homeserver.streams.judgements import Judgements
from homeserver.streams.judging import Judge, Judgement
from homeserver.streams.tail import Committed

BATCH = 500
AT_LEAST_EVERY = 1_000
"""Events after which the cursor moves even if nothing is to be written."""

KEPT_MS = 90 * 86_400_000
SWEEP_S = 3_600.0
ROWS_AT_ONCE = 1_000
PAUSE_S = 0.05

log = structlog.get_logger(__name__)


class NotificationWriter:
    """Writes what does not follow from the events themselves."""

    def __init__(self, *, judgements: Judgements, judge: Judge, clock: Clock) -> None:
        self._judgements = judgements
        self._judge = judge
        self._clock = clock

    async def advance(self, db: Connection, position: int) -> int:
        """What follows from the next events after a position; returns the last's."""
        if not self._judgements.reaches(position):
            return await self._judge_again(db, position)
        upto = self._judgements.position
        rows = _rows(self._judgements.between(position, upto))
        if not rows and upto - position < AT_LEAST_EVERY:
            return position
        await self._write(db, rows)
        return max(position, upto)

    async def _judge_again(self, db: Connection, position: int) -> int:
        found = await events.after_position(db, position, BATCH)
        judged = [await self._judge.judge(db, stored) for stored in found]
        await self._write(db, _rows(each for each in judged if each is not None))
        return found[-1].facts.position or position if found else position

    async def _write(self, db: Connection, rows: list[NewException]) -> None:
        if rows:
            await notifications.insert(db, rows, self._clock.now_ms())


class NotificationSweep:
    """Removes what is so old that nobody looks for it; then an event counts as what it is."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled, once an hour."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("notifications_not_swept", reason=str(error))
            await asyncio.sleep(SWEEP_S)

    async def once(self) -> None:
        """Everything that can go is gone. Raises Unavailable."""
        before_ms = self._clock.now_ms() - KEPT_MS

        async def batch(db: Connection) -> bool:
            return await notifications.delete_older(db, before_ms, ROWS_AT_ONCE)

        while True:
            if await self._database.retrying(batch):
                return
            await asyncio.sleep(PAUSE_S)


def notification_writer(
    *,
    database: Database,
    judgements: Judgements,
    judge: Judge,
    clock: Clock,
    turn_poll_s: float = 5.0,
) -> Follower:
    """The follower that keeps the table, woken when there is something to write. See Follower."""
    writer = NotificationWriter(judgements=judgements, judge=judge, clock=clock)
    follower = Follower(
        database=database,
        name=CURSOR,
        advance=writer.advance,
        full_step=BATCH,
        turn_poll_s=turn_poll_s,
    )

    def wake(committed: Committed, judgement: Judgement | None) -> None:
        if judgement is not None or committed.position % AT_LEAST_EVERY == 0:
            follower.wake()

    judgements.subscribe(wake)
    return follower


def _rows(judgements: Iterable[Judgement]) -> list[NewException]:
    return [
        NewException(
            each.room_nid, meaning.user_nid, each.position, meaning.notify, meaning.highlight
        )
        for each in judgements
        for meaning in each.meanings
    ]
