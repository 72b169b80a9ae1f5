"""The stream of receipts: markers that move forward, and their tail.

Markers that move at about the same time are committed together, and of several moves of one marker
only the farthest: what a busy room costs is a row a reader, not a row a message.
"""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from homeserver.errors import Unavailable
from homeserver.identifiers import EventID
from homeserver.storage import receipts, streams
from homeserver.storage.database import Connection, Database
from homeserver.storage.receipts import DELIVERED, READ, ReadRow, ReceiptRow
from homeserver.streams.bus import Bus
from homeserver.streams.people import Person
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail

RECEIPTS = "receipts"
RING_SIZE = 2_000
MAX_BATCH = 1_000
DELIVERED_AFTER_S = 1.0
"""How long markers of delivery are gathered, unless a read marker takes them along."""

MAX_WAITING = 50_000

ReceiptTail = Tail[ReadRow]


def receipt_tail(*, database: Database) -> ReceiptTail:
    """The tail of read markers; `delivered` markers take positions, but nobody follows them."""

    async def read(db: Connection, position: int) -> Stretch[ReadRow]:
        rows = await receipts.reads_after(db, position, READ_LIMIT)
        if len(rows) == READ_LIMIT:
            return Stretch(rows, rows[-1].position)
        return Stretch(rows, await newest(db))

    async def newest(db: Connection) -> int:
        return await streams.current(db, RECEIPTS)

    return Tail(database=database, topic=RECEIPTS, read=read, newest=newest, ring_size=RING_SIZE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A message, as the place of a marker."""

    room_nid: int
    room_uuid: UUID
    event_nid: int
    event_position: int
    message_uuid: UUID
    event_id: EventID


@dataclass(slots=True)
class _Move:
    """One marker's move. `told`: what followers of the stream are told; None: nothing."""

    event_nid: int
    event_position: int
    ts: int
    told: tuple[Person, Mark] | None
    done: "list[asyncio.Future[None]]" = field(default_factory=list)


_Marker = tuple[int, int, str]


class ReceiptWriter:
    """Collects moves of markers and commits them together."""

    def __init__(self, *, database: Database, tail: ReceiptTail, bus: Bus) -> None:
        self._database = database
        self._tail = tail
        self._bus = bus
        self._moves: dict[_Marker, _Move] = {}
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None

    async def read(self, person: Person, mark: Mark, now_ms: int) -> None:
        """Moves a read marker and waits for the commit. Raises Unavailable."""
        if len(self._moves) >= MAX_WAITING:
            raise Unavailable("Too many receipts are waiting; please try again.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        move = _Move(mark.event_nid, mark.event_position, now_ms, (person, mark), [done])
        self._add((mark.room_nid, person.user_nid, READ), move)
        self._wake.set()
        await done

    def delivered(
        self, user_nid: int, room_nid: int, event_nid: int, event_position: int, now_ms: int
    ) -> None:
        """Moves a marker of delivery, soon; nobody waits for it, and a crash may lose it."""
        if len(self._moves) < MAX_WAITING:
            move = _Move(event_nid, event_position, now_ms, None)
            self._add((room_nid, user_nid, DELIVERED), move)
            if self._later is None:
                loop = asyncio.get_running_loop()
                self._later = loop.call_later(DELIVERED_AFTER_S, self._wake.set)

    async def run(self) -> None:
        """Commits batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._later is not None:
                self._later.cancel()
                self._later = None
            while self._moves:
                await self._commit(self._take())

    def _add(self, marker: _Marker, move: _Move) -> None:
        waiting = self._moves.get(marker)
        if waiting is not None:
            move.done += waiting.done
            if waiting.event_position > move.event_position:
                waiting.done = move.done
                return
        self._moves[marker] = move

    def _take(self) -> dict[_Marker, _Move]:
        return {marker: self._moves.pop(marker) for marker in list(self._moves)[:MAX_BATCH]}

    async def _commit(self, moves: dict[_Marker, _Move]) -> None:
        try:
            async with self._database.transaction() as db:
                last = await streams.take_positions(db, RECEIPTS, len(moves))
                first = last - len(moves) + 1
                moved = await receipts.advance(db, _rows(moves, first))
        except Unavailable as error:
            _finish(moves, error)
            return
        rows = [
            _read_row(*move.told, move.ts, position)
            for position, move in enumerate(moves.values(), first)
            if move.told is not None and position in moved
        ]
        self._tail.offer(rows, after=first - 1, upto=last)
        self._bus.announce(RECEIPTS, str(last))
        _finish(moves, None)


def _finish(moves: dict[_Marker, _Move], error: Unavailable | None) -> None:
    waiting = [done for move in moves.values() for done in move.done if not done.done()]
    for done in waiting:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(Unavailable(str(error)))


def _rows(moves: dict[_Marker, _Move], first: int) -> list[ReceiptRow]:
    return [
        ReceiptRow(room_nid, user_nid, kind, move.event_nid, move.event_position, move.ts, position)
        for position, ((room_nid, user_nid, kind), move) in enumerate(moves.items(), first)
    ]


def _read_row(person: Person, mark: Mark, ts: int, position: int) -> ReadRow:
    return ReadRow(
        position=position,
        room_nid=mark.room_nid,
        room_uuid=mark.room_uuid,
        message_uuid=mark.message_uuid,
        event_id=mark.event_id,
        reader_nid=person.user_nid,
        reader_uuid=person.uuid,
        ts=ts,
    )
