"""Removing rooms that were deleted long ago: every row about them, some at a time.

The row in `rooms` goes last, so what was cut off is found again. Each function removes at most so
many rows of each table and says whether that was all.
"""

from collections.abc import Sequence

from asyncpg import Record

from homeserver.events.stored import RoomRecord
from homeserver.storage import media_references
from homeserver.storage.database import Connection
from homeserver.storage.rooms import COLUMNS, room_record

_STREAMS = ("events", "backfill")

# Tables about rooms besides events and what belongs to each event.
_TABLES = (
    "memberships",
    "receipts",
    "notification_exceptions",
    "account_data",
    "room_state",
    "missing_events",
    "room_aliases",
    "forgotten_rooms",
    "appservice_rooms",
    "reports",
    "state_forks",
)


async def deleted_before(db: Connection, before_ms: int, limit: int) -> list[RoomRecord]:
    """Rooms that were deleted before a moment, the first first."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM rooms WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2",
        before_ms,
        limit,
    )
    return [room_record(row) for row in rows]


async def not_emptied(db: Connection, limit: int) -> list[RoomRecord]:
    """Deleted rooms that somebody is still in."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM rooms r WHERE deleted_at IS NOT NULL AND EXISTS ("
        " SELECT FROM memberships m WHERE m.room_nid = r.room_nid"
        " AND m.membership IN ('join', 'invite', 'knock'))"
        " ORDER BY deleted_at DESC LIMIT $1",
        limit,
    )
    return [room_record(row) for row in rows]


async def purge_events(db: Connection, room_nid: int, limit: int) -> bool:
    """Removes events of a room with all that belongs to each; True when there are no more."""
    gone = await _delete_events(db, room_nid, "position IS NOT NULL", limit)
    if len(gone) < limit:
        gone += await _delete_events(db, room_nid, "position IS NULL", limit - len(gone))
    await _delete_beside(db, [row["event_nid"] for row in gone])
    positions = [row["position"] for row in gone if row["position"] is not None]
    await db.execute("DELETE FROM message_search WHERE position = ANY($1::bigint[])", positions)
    await _account_for(db, positions)
    return len(gone) < limit


async def purge_rows(db: Connection, room_nid: int, limit: int) -> bool:
    """Removes other rows about a room; True when there are no more."""
    done = True
    for table in _TABLES:
        status = await db.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
            f" SELECT ctid FROM {table} WHERE room_nid = $1 LIMIT $2))",
            room_nid,
            limit,
        )
        done &= int(status.rpartition(" ")[2]) < limit
    return done


async def purge_room(db: Connection, room_nid: int) -> None:
    """Removes the room itself, of which there is nothing else any more."""
    await db.execute("DELETE FROM room_heads WHERE room_nid = $1", room_nid)
    await db.execute("DELETE FROM rooms WHERE room_nid = $1", room_nid)


async def _delete_events(db: Connection, room_nid: int, condition: str, limit: int) -> list[Record]:
    """condition: that of the index which finds them."""
    return list(
        await db.fetch(
            "DELETE FROM events WHERE event_nid = ANY(ARRAY("
            f" SELECT event_nid FROM events WHERE room_nid = $1 AND {condition} LIMIT $2))"
            " RETURNING event_nid, position",
            room_nid,
            limit,
        )
    )


async def _delete_beside(db: Connection, event_nids: Sequence[int]) -> None:
    for table in ("event_auth", "relations"):
        await db.execute(
            f"DELETE FROM {table} WHERE event_nid = ANY($1::bigint[])", list(event_nids)
        )
    await media_references.forget(db, event_nids)


async def _account_for(db: Connection, positions: Sequence[int]) -> None:
    """Last in a transaction: it locks the streams' rows, which every commit needs."""
    forwards = sum(position > 0 for position in positions)
    for stream, count in zip(_STREAMS, (forwards, len(positions) - forwards), strict=True):
        if count:
            await db.execute(
                "UPDATE stream_positions SET purged = purged + $2 WHERE stream = $1", stream, count
            )
