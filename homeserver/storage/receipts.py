"""Table `receipts`: how far each user has read and received in each room."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import EventID, UserID
from homeserver.storage.database import Connection

READ = "read"
PRIVATE = "private"
"""Read, too, but nobody else is told."""
DELIVERED = "delivered"

UNTHREADED = ""
MAIN = "main"
"""What stands in no thread. Any other thread is named by the ID of its root."""

OF_THE_ROOM = frozenset((UNTHREADED, MAIN))
"""The threads whose receipts say how far the conversation of the room itself was read."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A row of receipts. `position`: in the stream of receipts."""

    room_nid: int
    user_nid: int
    kind: str
    thread: str
    event_nid: int
    event_position: int
    ts: int
    position: int


@dataclass(frozen=True, slots=True)
class ReadRow:
    """How far somebody read, with the names that people know. kind: 'read' or 'private'.

    message_uuid: the message at which it stands, or the last one before an event that is none.
    event_position: of the event, in the stream of events.
    """

    position: int
    room_nid: int
    room_uuid: UUID
    message_uuid: UUID
    event_id: EventID
    reader_nid: int
    reader_uuid: UUID
    reader_id: UserID
    ts: int
    kind: str = READ
    thread: str = UNTHREADED
    event_position: int = 0

    @property
    def is_private(self) -> bool:
        """Nobody but the reader is told."""
        return self.kind == PRIVATE

    @property
    def is_of_room(self) -> bool:
        """It says how far the room itself was read, and not only one of its threads."""
        return self.thread in OF_THE_ROOM


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Where a receipt may stand: an accepted event.

    message_uuid: as in ReadRow. thread: the root of the thread that it stands in, if any. onto: the
    events that it hangs on without a thread, such as the message that a reaction is to. Of a
    redacted event both are what they were.
    """

    event_nid: int
    event_position: int
    event_id: EventID
    room_nid: int
    message_uuid: UUID
    thread: UUID | None
    onto: frozenset[UUID]
    is_redacted: bool


LAST_MESSAGE = """
    CASE WHEN e.is_message THEN e.uuid ELSE coalesce(
        (SELECT m.uuid FROM events m WHERE m.room_nid = e.room_nid AND m.position <= e.position
            AND m.is_message AND m.redacted_by IS NULL AND m.position IS NOT NULL
         ORDER BY m.position DESC LIMIT 1),
        e.uuid
    ) END
"""
READ_COLUMNS = f"""
    p.position, p.room_nid, r.uuid AS room_uuid, {LAST_MESSAGE} AS message_uuid, e.event_id,
    p.user_nid AS reader_nid, u.uuid AS reader_uuid, u.user_id AS reader_id, p.ts, p.kind,
    p.thread, p.event_position
"""
JOINED = """
    JOIN rooms r ON r.room_nid = p.room_nid JOIN users u ON u.user_nid = p.user_nid
    JOIN events e ON e.event_nid = p.event_nid
"""
# C-S API v1.19 "Threaded read receipts": "a maximum of 3 hops is recommended".
_PLACE = f"""
    WITH RECURSIVE hops AS (
        SELECT 1 AS hop, t.parent_uuid, ltrim(t.rel_type, '-') AS rel_type
        FROM events o JOIN relations t USING (event_nid) WHERE o.uuid = $1
        UNION ALL
        SELECT hop + 1, t.parent_uuid, ltrim(t.rel_type, '-')
        FROM hops JOIN events o ON o.uuid = hops.parent_uuid JOIN relations t USING (event_nid)
        WHERE hops.rel_type <> 'm.thread' AND hop < 3
    )
    SELECT e.event_nid, e.position AS event_position, e.event_id, e.room_nid,
        {LAST_MESSAGE} AS message_uuid, e.redacted_by IS NOT NULL AS is_redacted,
        (SELECT parent_uuid FROM hops WHERE rel_type = 'm.thread') AS thread,
        ARRAY(SELECT parent_uuid FROM hops WHERE rel_type <> 'm.thread') AS onto
    FROM events e WHERE e.uuid = $1 AND e.status = 0 AND e.position IS NOT NULL
"""


async def advance(db: Connection, rows: Sequence[ReceiptRow]) -> frozenset[int]:
    """Moves markers forward, never back; returns the positions of the rows that moved one."""
    moved = await db.fetch(
        """
        INSERT INTO receipts
            (room_nid, user_nid, kind, thread, event_nid, event_position, ts, position)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[],
            $6::bigint[], $7::bigint[], $8::bigint[])
        ON CONFLICT (room_nid, user_nid, kind, thread) DO UPDATE
        SET event_nid = excluded.event_nid, event_position = excluded.event_position,
            ts = excluded.ts, position = excluded.position
        WHERE excluded.event_position > receipts.event_position
        RETURNING position
        """,
        [row.room_nid for row in rows],
        [row.user_nid for row in rows],
        [row.kind for row in rows],
        [row.thread for row in rows],
        [row.event_nid for row in rows],
        [row.event_position for row in rows],
        [row.ts for row in rows],
        [row.position for row in rows],
    )
    return frozenset(row["position"] for row in moved)


async def reads_after(db: Connection, position: int, limit: int) -> list[ReadRow]:
    """Read markers, also private ones, that moved after a position, in that order."""
    rows = await db.fetch(
        f"SELECT {READ_COLUMNS} FROM receipts p {JOINED}"
        " WHERE p.position > $1 AND p.kind <> 'delivered' ORDER BY p.position LIMIT $2",
        position,
        limit,
    )
    return [read_row(row) for row in rows]


async def of_rooms(
    db: Connection, room_nids: Collection[int], reader_nid: int, *, limit: int = 1_000
) -> list[ReadRow]:
    """All that a reader is shown of some rooms: everybody's public markers and his own private
    ones; of each room those that moved last, at most `limit`.
    """
    rows = await db.fetch(
        f"""
        SELECT {READ_COLUMNS} FROM unnest($1::bigint[]) AS o (room_nid) CROSS JOIN LATERAL (
            SELECT * FROM receipts c WHERE c.room_nid = o.room_nid AND c.kind <> 'delivered'
                AND (c.kind = 'read' OR c.user_nid = $2)
            ORDER BY c.position DESC LIMIT $3
        ) p {JOINED} ORDER BY p.position
        """,
        list(room_nids),
        reader_nid,
        limit,
    )
    return [read_row(row) for row in rows]


async def changed(
    db: Connection, reader_nid: int, *, after: int, upto: int, limit: int
) -> list[ReadRow]:
    """The oldest markers that a reader is shown and that moved in the rooms that he is in, with
    after < position <= upto, in that order.
    """
    rows = await db.fetch(
        f"""
        SELECT {READ_COLUMNS} FROM memberships o CROSS JOIN LATERAL (
            SELECT * FROM receipts c WHERE c.room_nid = o.room_nid AND c.kind <> 'delivered'
                AND (c.kind = 'read' OR c.user_nid = $1) AND c.position > $2 AND c.position <= $3
            ORDER BY c.position LIMIT $4
        ) p {JOINED} WHERE o.user_nid = $1 AND o.membership = 'join'
        ORDER BY p.position LIMIT $4
        """,
        reader_nid,
        after,
        upto,
        limit,
    )
    return [read_row(row) for row in rows]


async def place(db: Connection, event_uuid: UUID) -> PlaceRow | None:
    """An event as a place for receipts. None: there is no accepted event of that UUID."""
    row = await db.fetchrow(_PLACE, event_uuid)
    if row is None:
        return None
    return PlaceRow(
        event_nid=row["event_nid"],
        event_position=row["event_position"],
        event_id=EventID(row["event_id"]),
        room_nid=row["room_nid"],
        message_uuid=row["message_uuid"],
        thread=row["thread"],
        onto=frozenset(row["onto"]),
        is_redacted=row["is_redacted"],
    )


async def rooms_with_threads(db: Connection, after: int, limit: int) -> list[int]:
    """Rooms, by their numbers after one, that have receipts of threads."""
    rows = await db.fetch(
        "SELECT DISTINCT room_nid FROM receipts"
        " WHERE room_nid > $1 AND thread <> ALL($3::text[]) ORDER BY room_nid LIMIT $2",
        after,
        limit,
        list(OF_THE_ROOM),
    )
    return [row["room_nid"] for row in rows]


async def purge_threads(db: Connection, room_nid: int, *, newest: int, limit: int) -> bool:
    """Removes some receipts of threads that say nothing any more; True: those were all.

    A receipt for the whole room that stands as far says the same (of a private one, also a public
    one does); and before the newest messages of a room nothing counts as unread.
    """
    status = await db.execute(
        """
        DELETE FROM receipts WHERE ctid = ANY(ARRAY(
            SELECT p.ctid FROM receipts p
            WHERE p.room_nid = $1 AND p.thread <> ALL($4::text[]) AND (
                p.event_position <= (
                    SELECT m.position FROM events m
                    WHERE m.room_nid = $1 AND m.is_message AND m.redacted_by IS NULL
                        AND m.position IS NOT NULL
                    ORDER BY m.position DESC OFFSET $2 LIMIT 1
                )
                OR EXISTS (
                    SELECT FROM receipts u
                    WHERE u.room_nid = $1 AND u.user_nid = p.user_nid AND u.thread = ''
                        AND (u.kind = p.kind OR p.kind = 'private' AND u.kind = 'read')
                        AND u.event_position >= p.event_position
                )
            )
            LIMIT $3
        ))
        """,
        room_nid,
        newest,
        limit,
        list(OF_THE_ROOM),
    )
    return int(status.rpartition(" ")[2]) < limit


def read_row(row: Record) -> ReadRow:
    """A row of READ_COLUMNS as a record."""
    return ReadRow(**dict(row))
