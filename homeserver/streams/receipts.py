"""The stream of receipts: markers that move forward, and their tail.

Markers that move at about the same time are committed together, and of several moves of one marker
only the farthest: what a busy room costs is a row a reader, not a row a message.
"""

from dataclasses import dataclass
from uuid import UUID

from homeserver.identifiers import EventID
from homeserver.storage import receipts, streams
from homeserver.storage.database import Connection, Database
from homeserver.storage.receipts import DELIVERED, READ, UNTHREADED, ReadRow, ReceiptRow
from homeserver.streams.bus import Bus
from homeserver.streams.gathering import Gathering
from homeserver.streams.people import Person
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail

RECEIPTS = "receipts"
RING_SIZE = 2_000
DELIVERED_AFTER_S = 1.0
"""How long markers of delivery are gathered, unless a read marker takes them along."""

ReceiptTail = Tail[ReadRow]


def receipt_tail(*, database: Database) -> ReceiptTail:
    """The tail of read markers, also of private ones: whoever follows it tells those to nobody but
    their owners. `delivered` markers take positions, but nobody follows them.
    """

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
    """An event, as the place of a marker. message_uuid: as in ReadRow."""

    room_nid: int
    room_uuid: UUID
    event_nid: int
    event_position: int
    message_uuid: UUID
    event_id: EventID


@dataclass(frozen=True, slots=True)
class _Move:
    """One marker's move. `told`: what followers of the stream are told; None: nothing."""

    event_nid: int
    event_position: int
    ts: int
    told: tuple[Person, Mark] | None


_Marker = tuple[int, int, str, str]
"""Room, user, kind, thread."""


class ReceiptWriter:
    """Collects moves of markers and commits them together."""

    def __init__(self, *, database: Database, tail: ReceiptTail, bus: Bus) -> None:
        self._database = database
        self._tail = tail
        self._bus = bus
        self._gathering: Gathering[_Marker, _Move] = Gathering(commit=self._commit, prefer=_farther)

    async def read(
        self,
        person: Person,
        mark: Mark,
        now_ms: int,
        *,
        kind: str = READ,
        thread: str = UNTHREADED,
    ) -> None:
        """Moves a read marker and waits for the commit. Raises Unavailable."""
        move = _Move(mark.event_nid, mark.event_position, now_ms, (person, mark))
        await self._gathering.put((mark.room_nid, person.user_nid, kind, thread), move)

    def delivered(
        self, user_nid: int, room_nid: int, event_nid: int, event_position: int, now_ms: int
    ) -> None:
        """Moves a marker of delivery, soon; nobody waits for it, and a crash may lose it."""
        marker = room_nid, user_nid, DELIVERED, UNTHREADED
        move = _Move(event_nid, event_position, now_ms, None)
        self._gathering.put_later(marker, move, within_s=DELIVERED_AFTER_S)

    async def run(self) -> None:
        """Commits batches until cancelled."""
        await self._gathering.run()

    async def _commit(self, moves: dict[_Marker, _Move]) -> None:
        async with self._database.transaction() as db:
            last = await streams.take_positions(db, RECEIPTS, len(moves))
            first = last - len(moves) + 1
            moved = await receipts.advance(db, _rows(moves, first))
        rows = [
            _read_row(marker, *move.told, move.ts, position)
            for position, (marker, move) in enumerate(moves.items(), first)
            if move.told is not None and position in moved
        ]
        self._tail.offer(rows, after=first - 1, upto=last)
        self._bus.announce(RECEIPTS, str(last))


def _farther(former: _Move, latter: _Move) -> _Move:
    return former if former.event_position > latter.event_position else latter


def _rows(moves: dict[_Marker, _Move], first: int) -> list[ReceiptRow]:
    return [
        ReceiptRow(*marker, move.event_nid, move.event_position, move.ts, position)
        for position, (marker, move) in enumerate(moves.items(), first)
    ]


def _read_row(marker: _Marker, person: Person, mark: Mark, ts: int, position: int) -> ReadRow:
    _, _, kind, thread = marker
    return ReadRow(
        position=position,
        room_nid=mark.room_nid,
        room_uuid=mark.room_uuid,
        message_uuid=mark.message_uuid,
        event_id=mark.event_id,
        reader_nid=person.user_nid,
        reader_uuid=person.uuid,
        reader_id=person.user_id,
        ts=ts,
        kind=kind,
        thread=thread,
        event_position=mark.event_position,
    )
