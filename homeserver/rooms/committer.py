"""Group commit: what many rooms have ready goes into one transaction.

The committer never waits to fill a batch: idle, a batch is one event; under load it grows by
itself while the transaction before it runs (design section 6).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from homeserver.errors import FoyerError, Unavailable
from homeserver.events.stored import StoredEvent
from homeserver.rooms.batch import Consequences, Item, Prepared, as_stored
from homeserver.rooms.rebuilding import Outcome, rebuilt
from homeserver.storage import appending, events, relations, room_state, rooms, streams
from homeserver.storage.database import Connection, Database, TransactionConflict
from homeserver.storage.rooms import HeadAdvance, HeadRow
from homeserver.streams.tail import EVENTS, Committed, EventTail

MAX_BATCH_EVENTS = 1_000
BACKFILL = "backfill"
_NO_VERSION = -1

log = structlog.get_logger(__name__)


class Stale(Exception):
    """The room moved on, or an event before this one failed: prepare the item again.

    alone: it stood in a batch that failed, so it goes into a transaction of its own.
    """

    def __init__(self, *, alone: bool) -> None:
        super().__init__("the room has moved on")
        self.alone = alone


Ended = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Waiting:
    """An item and who waits for it; he may give up waiting, and the item is committed all the same.

    ended: told that the item is through, one way or the other.
    """

    item: Item
    done: "asyncio.Future[Sequence[StoredEvent]]"
    ended: Ended | None

    def succeed(self, stored: Sequence[StoredEvent]) -> None:
        if self.ended is not None:
            self.ended()
        if not self.done.done():
            self.done.set_result(stored)

    def fail(self, error: Exception) -> None:
        if self.ended is not None:
            self.ended()
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class _Outcome:
    """What a transaction did. rebuilt: what was written on heads that other processes left.
    refused: what was then said against an item. stale: what only its maker can prepare again.
    overtaken: what a transaction has yet to do that can build on what others wrote."""

    written: list[tuple[_Waiting, Sequence[StoredEvent]]] = field(default_factory=list)
    rebuilt: list[_Waiting] = field(default_factory=list)
    refused: list[tuple[_Waiting, FoyerError]] = field(default_factory=list)
    stale: list[_Waiting] = field(default_factory=list)
    overtaken: list[_Waiting] = field(default_factory=list)

    def add(self, waiting: _Waiting, item: Outcome) -> None:
        if item is None:
            self.stale.append(waiting)
        elif isinstance(item, Item):
            waiting.item = item
            self.rebuilt.append(waiting)
        else:
            self.refused.append((waiting, item))


_Write = Callable[[Sequence[_Waiting]], Awaitable[_Outcome]]
Announce = Callable[[str, str], None]
Dropped = Callable[[int], None]
Observe = Callable[[int, float], None]


class Committer:
    """One task that commits; callers await their own item.

    dropped: called with the room numbers whose heads in memory are not those of the database.
    observe: called after each batch with its number of events and the seconds that it took.
    """

    def __init__(
        self,
        *,
        database: Database,
        tail: EventTail,
        announce: Announce,
        dropped: Dropped,
        observe: Observe,
    ) -> None:
        self._database = database
        self._tail = tail
        self._announce = announce
        self._dropped = dropped
        self._observe = observe
        self._queue: list[_Waiting] = []
        self._batch: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(
        self, item: Item, ended: Ended | None = None
    ) -> "asyncio.Future[Sequence[StoredEvent]]":
        """Puts an item into the open batch. ended: called once, when it is committed or has failed,
        right before the future is done; cancelling the future changes nothing about that.

        The future's result are the stored events. It raises Stale, Unavailable (whether the item
        was stored is then unknown), or what the database says against this very item.
        """
        done: asyncio.Future[Sequence[StoredEvent]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, done, ended))
        self._idle.clear()
        self._wake.set()
        return done

    async def run(self) -> None:
        """Commits batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._batch = self._take_batch()
                await self._commit(self._batch)
                self._batch = []
            self._idle.set()

    async def drained(self) -> None:
        """Returns when nothing waits (any more)."""
        while self._batch or self._queue:
            await self._idle.wait()

    def _take_batch(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._queue:
            if count and (waiting.item.alone or size >= MAX_BATCH_EVENTS):
                break
            size += len(waiting.item.events)
            count += 1
            if waiting.item.alone:
                break
        batch, self._queue = self._queue[:count], self._queue[count:]
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        if all(waiting.item.is_plain for waiting in batch):
            batch = await self._attempt(batch, self._append)
        if batch:
            await self._attempt(batch, self._write)

    async def _attempt(self, batch: Sequence[_Waiting], write: _Write) -> Sequence[_Waiting]:
        """Writes a batch and tells everybody how it went. Returns what was overtaken."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            outcome = await write(batch)
        except TransactionConflict:
            # Rolled back for certain, to let another process go on.
            self._make_stale(batch, alone=True)
        except Unavailable as error:
            # The connection may have gone away during the COMMIT: the outcome is unknown.
            self._fail(batch, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the committer must go on
            self._fail_one_by_one(batch, error)
        else:
            self._settle(outcome)
            count = sum(len(stored) for _, stored in outcome.written)
            self._observe(count, loop.time() - started)
            return outcome.overtaken
        return ()

    async def _append(self, batch: Sequence[_Waiting]) -> "_Outcome":
        """Writes messages of rooms that nobody else wrote to meanwhile, in one statement."""
        events = [(each.event, each.facts) for waiting in batch for each in waiting.item.events]
        async with self._database.connection() as db:
            appended = await appending.append(db, _advances(batch), events, stream=EVENTS)
        outcome, position = _Outcome(), appended.first
        for waiting in batch:
            if waiting.item.room.room_nid not in appended.raised:
                outcome.overtaken.append(waiting)
                continue
            prepared = waiting.item.events
            stored = [as_stored(each, at) for at, each in enumerate(prepared, start=position)]
            outcome.written.append((waiting, stored))
            position += len(stored)
        return outcome

    async def _write(self, batch: Sequence[_Waiting]) -> "_Outcome":
        async with self._database.transaction() as db:
            for waiting in batch:
                if waiting.item.new_room:
                    await rooms.insert(db, waiting.item.room)
            raised = await rooms.advance_heads(db, _advances(batch))
            kept = [each for each in batch if each.item.room.room_nid in raised]
            outcome = _Outcome()
            if len(kept) < len(batch):
                overtaken = [each for each in batch if each.item.room.room_nid not in raised]
                await _rebuild(db, overtaken, outcome)
                kept += outcome.rebuilt
            outcome.written = await _write_events(db, kept)
        return outcome

    def _settle(self, outcome: "_Outcome") -> None:
        """Tells everybody of the batch how it went."""
        self._succeed(outcome.written)
        for waiting in outcome.rebuilt:
            self._dropped(waiting.item.room.room_nid)
        for waiting, error in outcome.refused:
            waiting.fail(error)
        self._make_stale(outcome.stale, alone=False)

    def _succeed(self, written: Sequence[tuple[_Waiting, Sequence[StoredEvent]]]) -> None:
        committed = [
            Committed(event, waiting.item.room, prepared.sender, prepared.prev_membership)
            for waiting, stored in written
            for event, prepared in zip(stored, waiting.item.events, strict=True)
            if prepared.reaches_people
        ]
        if committed:
            first, last = committed[0].position, committed[-1].position
            self._tail.offer(committed, after=first - 1, upto=last)
            self._announce(EVENTS, str(last))
        for waiting, stored in written:
            waiting.succeed(stored)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Everything that waits is built on what failed, or would fail for the same reason."""
        failed = [*batch, *self._queue]
        self._queue = []
        for waiting in failed:
            self._dropped(waiting.item.room.room_nid)
            waiting.fail(Unavailable(str(error)))

    def _fail_one_by_one(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """A poisonous item fails alone; the others are prepared again, each for itself."""
        if len(batch) > 1:
            log.warning("batch_split", items=len(batch), error=type(error).__name__)
            self._make_stale(batch, alone=True)
            return
        poisonous = batch[0]
        self._make_stale([], alone=False, rooms_too={poisonous.item.room.room_nid})
        poisonous.fail(error)

    def _make_stale(
        self,
        items: Sequence[_Waiting],
        *,
        alone: bool,
        rooms_too: frozenset[int] | set[int] = frozenset(),
    ) -> None:
        """Sends items back, with all that waits in their rooms behind them."""
        affected = {waiting.item.room.room_nid for waiting in items} | rooms_too
        if not affected:
            return
        behind = [each for each in self._queue if each.item.room.room_nid in affected]
        self._queue = [each for each in self._queue if each.item.room.room_nid not in affected]
        for room_nid in affected:
            self._dropped(room_nid)
        for waiting in items:
            waiting.fail(Stale(alone=alone))
        for waiting in behind:
            waiting.fail(Stale(alone=False))


def _advances(batch: Sequence[_Waiting]) -> list[HeadAdvance]:
    """One row a room: from where its first item expects the head to where its last leaves it.

    A head that was forgotten and loaded again does not know what was pending, so an item built on
    it does not continue the one before it: its room then expects what no head is.
    """
    expected: dict[int, int] = {}
    last: dict[int, Item] = {}
    for item in (waiting.item for waiting in batch):
        room_nid = item.room.room_nid
        before = last.get(room_nid)
        if before is None:
            expected[room_nid] = item.expected_version
        elif before.head.version != item.expected_version:
            expected[room_nid] = _NO_VERSION
        last[room_nid] = item
    return [HeadAdvance(expected[room_nid], _head_row(item)) for room_nid, item in last.items()]


async def _rebuild(db: Connection, overtaken: Sequence[_Waiting], outcome: "_Outcome") -> None:
    """Builds items on the heads that others left, and raises those."""
    by_room: dict[int, list[_Waiting]] = {}
    for waiting in overtaken:
        by_room.setdefault(waiting.item.room.room_nid, []).append(waiting)
    for several in by_room.values():
        items = await rebuilt(db, [waiting.item for waiting in several])
        for waiting, item in zip(several, items, strict=True):
            outcome.add(waiting, item)
    if outcome.rebuilt:
        await rooms.advance_heads(db, _advances(outcome.rebuilt))


def _head_row(item: Item) -> HeadRow:
    head = item.head
    return HeadRow(
        room_nid=item.room.room_nid,
        head_version=head.version,
        state_version=head.state_version,
        depth=head.depth,
        extremities=tuple((each.event_nid, each.event_id) for each in head.extremities),
    )


async def _write_events(
    db: Connection, kept: Sequence[_Waiting]
) -> list[tuple[_Waiting, Sequence[StoredEvent]]]:
    """Rows that need no position first, for the counter's lock is held until the commit."""
    for waiting in kept:
        if waiting.item.also is not None:
            await waiting.item.also(db)
    await _write_consequences(db, kept)
    prepared = [each for waiting in kept for each in waiting.item.events]
    placed = await _place(db, prepared)
    fresh = [stored for stored, each in zip(placed, prepared, strict=True) if not each.promoted]
    promoted = [stored for stored, each in zip(placed, prepared, strict=True) if each.promoted]
    if fresh:
        await events.insert(db, fresh)
    if promoted:
        await events.promote(db, promoted)
    return _share_out(kept, placed)


async def _place(db: Connection, prepared: Sequence[Prepared]) -> list[StoredEvent]:
    past = await _positions(db, BACKFILL, [each for each in prepared if each.backfilled])
    live = await _positions(db, EVENTS, [each for each in prepared if each.reaches_people])
    placed = []
    for each in prepared:
        if each.reaches_people:
            placed.append(as_stored(each, next(live)))
        elif each.is_accepted:
            placed.append(as_stored(each, -next(past)))
        else:
            placed.append(as_stored(each, None))
    return placed


async def _positions(db: Connection, stream: str, takers: Sequence[Prepared]) -> Iterator[int]:
    if not takers:
        return iter(())
    last = await streams.take_positions(db, stream, len(takers))
    return iter(range(last - len(takers) + 1, last + 1))


async def _write_consequences(db: Connection, kept: Sequence[_Waiting]) -> None:
    rows = Consequences()
    for waiting in kept:
        rows.add(waiting.item.consequences)
    if rows.state:
        await room_state.apply(db, rows.state)
    if rows.memberships:
        await room_state.set_memberships(db, rows.memberships)
    if rows.auth:
        await events.insert_auth(db, rows.auth)
    if rows.relations:
        await relations.insert(db, rows.relations)
    if rows.redactions:
        await events.redact(db, rows.redactions)
    if rows.withdrawn_relations:
        await relations.withdraw(db, rows.withdrawn_relations)


def _share_out(
    kept: Sequence[_Waiting], placed: Sequence[StoredEvent]
) -> list[tuple[_Waiting, Sequence[StoredEvent]]]:
    shares, start = [], 0
    for waiting in kept:
        end = start + len(waiting.item.events)
        shares.append((waiting, placed[start:end]))
        start = end
    return shares
