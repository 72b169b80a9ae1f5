"""Table `receipts`: how far each user has read and received in each room."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.identifiers import EventID
from homeserver.storage.database import Connection

READ = "read"
DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A row of receipts. `position`: in the stream of receipts."""

    room_nid: int
    user_nid: int
    kind: str
    event_nid: int
    event_position: int
    ts: int
    position: int


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A read marker with the names that people know."""

    position: int
    room_nid: int
    room_uuid: UUID
    message_uuid: UUID
    event_id: EventID
    reader_nid: int
    reader_uuid: UUID
    ts: int


async def advance(db: Connection, rows: Sequence[ReceiptRow]) -> frozenset[int]:
    """Moves markers forward, never back; returns the positions of the rows that moved one."""
    moved = await db.fetch(
        """
        INSERT INTO receipts
            (room_nid, user_nid, kind, event_nid, event_position, ts, position)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
            $6::bigint[], $7::bigint[])
        ON CONFLICT (room_nid, user_nid, kind, thread) DO UPDATE
        SET event_nid = excluded.event_nid, event_position = excluded.event_position,
            ts = excluded.ts, position = excluded.position
        WHERE excluded.event_position > receipts.event_position
        RETURNING position
        """,
        [row.room_nid for row in rows],
        [row.user_nid for row in rows],
        [row.kind for row in rows],
        [row.event_nid for row in rows],
        [row.event_position for row in rows],
        [row.ts for row in rows],
        [row.position for row in rows],
    )
    return frozenset(row["position"] for row in moved)


async def reads_after(db: Connection, position: int, limit: int) -> list[ReadRow]:
    """Read markers that moved after a position, in the order in which they moved."""
    rows = await db.fetch(
        """
        SELECT p.position, p.room_nid, r.uuid AS room_uuid, e.uuid AS message_uuid, e.event_id,
            p.user_nid, u.uuid AS reader_uuid, p.ts
        FROM receipts p JOIN rooms r USING (room_nid) JOIN users u USING (user_nid)
            JOIN events e USING (event_nid)
        WHERE p.position > $1 AND p.kind = 'read' ORDER BY p.position LIMIT $2
        """,
        position,
        limit,
    )
    return [
        ReadRow(
            position=row["position"],
            room_nid=row["room_nid"],
            room_uuid=row["room_uuid"],
            message_uuid=row["message_uuid"],
            event_id=EventID(row["event_id"]),
            reader_nid=row["user_nid"],
            reader_uuid=row["reader_uuid"],
            ts=row["ts"],
        )
        for row in rows
    ]


async def of_event(
    db: Connection, room_nid: int, event_position: int, limit: int
) -> list[ReceiptRow]:
    """Markers that stand at a message or after it."""
    rows = await db.fetch(
        "SELECT room_nid, user_nid, kind, event_nid, event_position, ts, position FROM receipts"
        " WHERE room_nid = $1 AND event_position >= $2 ORDER BY user_nid LIMIT $3",
        room_nid,
        event_position,
        limit,
    )
    return [ReceiptRow(**dict(row)) for row in rows]
