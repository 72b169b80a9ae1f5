"""Table `account_data`: what users keep on the server for their own clients.

Tags, push rules, ignored users and the fully read marker are account data of certain types.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asyncpg import Record

from homeserver.storage.database import Connection

GLOBAL = 0
"""Stands for the room of what belongs to no room."""

_COLUMNS = "position, user_nid, room_nid, type, content"


@dataclass(frozen=True, slots=True)
class AccountDataRow:
    """room_nid: 0 for what belongs to no room. content: JSON. position: in `account_data`."""

    position: int
    user_nid: int
    room_nid: int
    type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class AccountDataPut:
    """A row to be written. event_position: of what only moves forward, the place of its event."""

    row: AccountDataRow
    event_position: int | None = None


async def put(db: Connection, puts: Sequence[AccountDataPut]) -> frozenset[int]:
    """Writes rows, each of another key; returns the positions of those that were written.

    What only moves forward stays if it stands at the place already, or farther.
    """
    rows = await db.fetch(
        """
        INSERT INTO account_data (position, user_nid, room_nid, type, content, event_position)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[],
            $6::bigint[])
        ON CONFLICT (room_nid, user_nid, type) DO UPDATE
        SET position = excluded.position, content = excluded.content,
            event_position = excluded.event_position
        WHERE (excluded.event_position <= account_data.event_position) IS NOT TRUE
        RETURNING position
        """,
        [each.row.position for each in puts],
        [each.row.user_nid for each in puts],
        [each.row.room_nid for each in puts],
        [each.row.type for each in puts],
        [each.row.content for each in puts],
        [each.event_position for each in puts],
    )
    return frozenset(row["position"] for row in rows)


async def get(db: Connection, user_nid: int, room_nid: int, event_type: str) -> bytes | None:
    content: bytes | None = await db.fetchval(
        "SELECT content FROM account_data WHERE room_nid = $1 AND user_nid = $2 AND type = $3",
        room_nid,
        user_nid,
        event_type,
    )
    return content


async def of_users(db: Connection, user_nids: Collection[int], event_type: str) -> dict[int, bytes]:
    """The global account data of one type, by user; those without any are left out."""
    rows = await db.fetch(
        "SELECT user_nid, content FROM account_data"
        " WHERE room_nid = 0 AND user_nid = ANY($1::bigint[]) AND type = $2",
        list(user_nids),
        event_type,
    )
    return {row["user_nid"]: row["content"] for row in rows}


async def of_user(db: Connection, user_nid: int) -> list[AccountDataRow]:
    """Everything that a user keeps, global and of rooms, in the order in which it was written."""
    return await changed(db, user_nid, after=0, upto=2**63 - 1)


async def changed(db: Connection, user_nid: int, *, after: int, upto: int) -> list[AccountDataRow]:
    """What a user wrote with after < position <= upto, in that order."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM account_data"
        " WHERE user_nid = $1 AND position > $2 AND position <= $3 ORDER BY position",
        user_nid,
        after,
        upto,
    )
    return [_row(row) for row in rows]


async def after_position(db: Connection, position: int, limit: int) -> list[AccountDataRow]:
    """What anybody wrote after a position, in that order."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM account_data WHERE position > $1 ORDER BY position LIMIT $2",
        position,
        limit,
    )
    return [_row(row) for row in rows]


async def other_count(db: Connection, user_nid: int, room_nid: int, event_type: str) -> int:
    """How many entries of other types a user keeps, of one room or of none."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM account_data WHERE room_nid = $1 AND user_nid = $2 AND type <> $3",
        room_nid,
        user_nid,
        event_type,
    )
    return count


async def purge_deactivated(db: Connection, limit: int) -> bool:
    """Removes some of what deactivated users kept; True when there is no more."""
    status = await db.execute(
        "DELETE FROM account_data WHERE ctid = ANY(ARRAY("
        " SELECT d.ctid FROM accounts a JOIN account_data d USING (user_nid)"
        " WHERE a.deactivated_at IS NOT NULL LIMIT $1))",
        limit,
    )
    return int(status.rpartition(" ")[2]) < limit


def _row(row: Record) -> AccountDataRow:
    return AccountDataRow(
        row["position"], row["user_nid"], row["room_nid"], row["type"], row["content"]
    )
