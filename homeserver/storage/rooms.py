"""Tables `rooms` and `room_heads`: which rooms there are, and the end of each one's graph."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from asyncpg import Record

from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, RoomID
from homeserver.storage.database import Connection
from homeserver.values import value

COLUMNS = "room_nid, room_id, uuid, version, kind, published, created_at, deleted_at"


@value
class HeadRow:
    """A row of `room_heads`. extremities: event number and event ID of each."""

    room_nid: int
    head_version: int
    state_version: int
    depth: int
    extremities: tuple[tuple[int, EventID], ...]


@value
class HeadAdvance:
    """One room's head after a batch, and the version that it must have had before."""

    expected_version: int
    row: HeadRow


def room_record(row: Record) -> RoomRecord:
    return RoomRecord(
        room_nid=row["room_nid"],
        room_id=RoomID(row["room_id"]),
        uuid=row["uuid"],
        version=ROOM_VERSIONS[row["version"]],
        kind=row["kind"],
        published=row["published"],
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
    )


async def by_uuid(db: Connection, uuid: UUID) -> RoomRecord | None:
    row = await db.fetchrow(f"SELECT {COLUMNS} FROM rooms WHERE uuid = $1", uuid)
    return None if row is None else room_record(row)


async def by_nid(db: Connection, room_nid: int) -> RoomRecord | None:
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM rooms WHERE room_nid = $1",
        room_nid,
    )
    return None if row is None else room_record(row)


async def reserve_nid(db: Connection) -> int:
    """A room number that nobody else will use."""
    nid: int = await db.fetchval("SELECT nextval(pg_get_serial_sequence('rooms', 'room_nid'))")
    return nid


async def insert(db: Connection, room: RoomRecord) -> None:
    """Writes a room whose number was reserved, with a head that its first commit raises."""
    await db.execute(
        f"INSERT INTO rooms ({COLUMNS}) OVERRIDING SYSTEM VALUE"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        room.room_nid,
        room.room_id,
        room.uuid,
        room.version.name,
        room.kind,
        room.published,
        room.created_at,
        room.deleted_at,
    )
    await db.execute(
        "INSERT INTO room_heads (room_nid, head_version, state_version, depth, extremities)"
        " VALUES ($1, 0, 0, 0, '{}')",
        room.room_nid,
    )


async def set_published(db: Connection, room_nid: int, *, published: bool) -> None:
    await db.execute("UPDATE rooms SET published = $2 WHERE room_nid = $1", room_nid, published)


async def mark_deleted(db: Connection, room_nid: int, now_ms: int) -> None:
    await db.execute(
        "UPDATE rooms SET deleted_at = $2, published = false"
        " WHERE room_nid = $1 AND deleted_at IS NULL",
        room_nid,
        now_ms,
    )


async def head(db: Connection, room_nid: int) -> HeadRow | None:
    rows = await db.fetch(
        "SELECT h.head_version, h.state_version, h.depth, e.event_nid, e.event_id"
        " FROM room_heads h LEFT JOIN events e ON e.event_nid = ANY(h.extremities)"
        " WHERE h.room_nid = $1 ORDER BY e.event_id",
        room_nid,
    )
    if not rows:
        return None
    first = rows[0]
    return HeadRow(
        room_nid=room_nid,
        head_version=first["head_version"],
        state_version=first["state_version"],
        depth=first["depth"],
        extremities=tuple(
            (row["event_nid"], EventID(row["event_id"]))
            for row in rows
            if row["event_nid"] is not None
        ),
    )


RAISED_HEADS = """
    wanted AS (
        SELECT * FROM unnest(string_to_array($1, ' ')::bigint[],
            string_to_array($2, ' ')::bigint[], string_to_array($3, ' ')::bigint[],
            string_to_array($4, ' ')::integer[], string_to_array($5, ' ')::bigint[],
            string_to_array($6, ' '))
        AS w (room_nid, expected, head_version, state_version, depth, extremities)
    ), locked AS MATERIALIZED (
        SELECT room_nid, head_version FROM room_heads
        WHERE room_nid = ANY(string_to_array($1, ' ')::bigint[]) ORDER BY room_nid FOR UPDATE
    ), raised AS (
        UPDATE room_heads h
        SET head_version = w.head_version, state_version = w.state_version, depth = w.depth,
            extremities = w.extremities::bigint[]
        FROM locked l JOIN wanted w USING (room_nid)
        WHERE h.room_nid = l.room_nid AND l.head_version = w.expected
        RETURNING h.room_nid
    )
"""
"""Common table expressions that take `head_arguments` and raise each room's head where it stands at
the expected version: `raised` has those rooms, `locked` all of them. The order of the rooms keeps
two processes from waiting for each other."""


def head_arguments(advances: Sequence[HeadAdvance]) -> tuple[str, ...]:
    """What RAISED_HEADS takes. Arrays go as text: asyncpg asks of each element whether it is an
    array itself.
    """
    rows = [advance.row for advance in advances]
    return (
        spaced(row.room_nid for row in rows),
        spaced(advance.expected_version for advance in advances),
        spaced(row.head_version for row in rows),
        spaced(row.state_version for row in rows),
        spaced(row.depth for row in rows),
        " ".join(_array_text(row.extremities) for row in rows),
    )


async def advance_heads(db: Connection, advances: Sequence[HeadAdvance]) -> frozenset[int]:
    """Raises each room's head where it stands at the expected version, rooms in order.

    Returns the numbers of the rooms that were raised; the heads of the others are locked, too.
    """
    rows = await db.fetch(
        f"WITH {RAISED_HEADS} SELECT raised.room_nid FROM locked LEFT JOIN raised USING (room_nid)",
        *head_arguments(advances),
    )
    return frozenset(row["room_nid"] for row in rows if row["room_nid"] is not None)


def spaced(numbers: Iterable[int]) -> str:
    """Numbers as `string_to_array` reads them."""
    return " ".join(map(str, numbers))


def _array_text(extremities: Sequence[tuple[int, EventID]]) -> str:
    return "{" + ",".join(str(event_nid) for event_nid, _ in extremities) + "}"
