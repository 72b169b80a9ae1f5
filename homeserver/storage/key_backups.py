"""Tables `key_backups` and `key_backup_keys`. The number of a backup is its version."""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Record

from homeserver.storage.database import Connection
from homeserver.storage.users import storable


@dataclass(frozen=True, slots=True)
class BackupRow:
    """auth_data: JSON. etag: grows with every change of its keys. key_count: how many there are."""

    backup_nid: int
    algorithm: str
    auth_data: bytes
    etag: int
    key_count: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key in a backup. session_data: JSON."""

    room_id: str
    session_id: str
    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: bytes

    @property
    def place(self) -> tuple[str, str]:
        return self.room_id, self.session_id


_BACKUP = "SELECT backup_nid, algorithm, auth_data, etag, key_count FROM key_backups"
_COLUMNS = "room_id, session_id, first_message_index, forwarded_count, is_verified, session_data"
_CHOSEN = (
    "backup_nid = $1 AND ($2::text IS NULL OR room_id = $2)"
    " AND ($3::text IS NULL OR session_id = $3)"
)


async def create(
    db: Connection, user_nid: int, algorithm: str, auth_data: bytes, *, keep: int
) -> int:
    """Returns its number. Of the user's backups the newest `keep` stay."""
    backup_nid: int = await db.fetchval(
        "INSERT INTO key_backups (user_nid, algorithm, auth_data, etag, key_count)"
        " VALUES ($1, $2, $3, 0, 0) RETURNING backup_nid",
        user_nid,
        algorithm,
        auth_data,
    )
    await db.execute(
        "DELETE FROM key_backups WHERE backup_nid IN ("
        " SELECT backup_nid FROM key_backups WHERE user_nid = $1"
        " ORDER BY backup_nid DESC OFFSET $2)",
        user_nid,
        keep,
    )
    return backup_nid


async def newest(db: Connection, user_nid: int) -> BackupRow | None:
    return _backup(
        await db.fetchrow(
            f"{_BACKUP} WHERE user_nid = $1 ORDER BY backup_nid DESC LIMIT 1", user_nid
        )
    )


async def get(
    db: Connection, user_nid: int, backup_nid: int, *, hold: bool = False
) -> BackupRow | None:
    """hold: nobody else changes it until the transaction ends."""
    lock = " FOR UPDATE" if hold else ""
    return _backup(
        await db.fetchrow(
            f"{_BACKUP} WHERE user_nid = $1 AND backup_nid = $2{lock}", user_nid, backup_nid
        )
    )


async def set_auth_data(db: Connection, backup_nid: int, auth_data: bytes) -> None:
    await db.execute(
        "UPDATE key_backups SET auth_data = $2 WHERE backup_nid = $1", backup_nid, auth_data
    )


async def delete(db: Connection, user_nid: int, backup_nid: int) -> bool:
    """Whether there was such a backup."""
    status = await db.execute(
        "DELETE FROM key_backups WHERE user_nid = $1 AND backup_nid = $2", user_nid, backup_nid
    )
    return status != "DELETE 0"


async def purge_deactivated(db: Connection, limit: int) -> bool:
    """Removes some of the backups of deactivated users; True when there are no more."""
    status = await db.execute(
        """
        DELETE FROM key_backup_keys WHERE ctid = ANY(ARRAY(
            SELECT k.ctid FROM accounts a JOIN key_backups b USING (user_nid)
                JOIN key_backup_keys k USING (backup_nid)
            WHERE a.deactivated_at IS NOT NULL LIMIT $1))
        """,
        limit,
    )
    if int(status.rpartition(" ")[2]) == limit:
        return False
    await db.execute(
        "DELETE FROM key_backups b USING accounts a"
        " WHERE a.user_nid = b.user_nid AND a.deactivated_at IS NOT NULL"
    )
    return True


async def changed(db: Connection, backup_nid: int, more: int) -> BackupRow:
    """Notes that its keys changed, and how many more there are. The backup is held."""
    row = _backup(
        await db.fetchrow(
            "UPDATE key_backups SET etag = etag + 1, key_count = key_count + $2"
            " WHERE backup_nid = $1 RETURNING backup_nid, algorithm, auth_data, etag, key_count",
            backup_nid,
            more,
        )
    )
    assert row is not None
    return row


async def at_places(
    db: Connection, backup_nid: int, places: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], KeyRow]:
    """The keys of these rooms and sessions."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM key_backup_keys"
        " JOIN unnest($2::text[], $3::text[]) AS given (room_id, session_id)"
        " USING (room_id, session_id) WHERE backup_nid = $1",
        backup_nid,
        [room_id for room_id, _ in places],
        [session_id for _, session_id in places],
    )
    return {key.place: key for key in map(_key, rows)}


async def keys(
    db: Connection, backup_nid: int, room_id: str | None, session_id: str | None
) -> list[KeyRow]:
    """All of a backup, of a room, or one."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM key_backup_keys WHERE {_CHOSEN} ORDER BY room_id, session_id",
        backup_nid,
        None if room_id is None else storable(room_id),
        None if session_id is None else storable(session_id),
    )
    return [_key(row) for row in rows]


async def put(db: Connection, backup_nid: int, rows: Sequence[KeyRow]) -> None:
    """Each of another place."""
    await db.execute(
        f"""
        INSERT INTO key_backup_keys (backup_nid, {_COLUMNS})
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[],
            $7::bytea[])
        ON CONFLICT (backup_nid, room_id, session_id) DO UPDATE
        SET first_message_index = excluded.first_message_index,
            forwarded_count = excluded.forwarded_count, is_verified = excluded.is_verified,
            session_data = excluded.session_data
        """,
        backup_nid,
        [row.room_id for row in rows],
        [row.session_id for row in rows],
        [row.first_message_index for row in rows],
        [row.forwarded_count for row in rows],
        [row.is_verified for row in rows],
        [row.session_data for row in rows],
    )


async def delete_keys(
    db: Connection, backup_nid: int, room_id: str | None, session_id: str | None
) -> int:
    """All of a backup, of a room, or one; returns how many went."""
    status = await db.execute(
        f"DELETE FROM key_backup_keys WHERE {_CHOSEN}",
        backup_nid,
        None if room_id is None else storable(room_id),
        None if session_id is None else storable(session_id),
    )
    return int(status.rpartition(" ")[2])


def _backup(row: Record | None) -> BackupRow | None:
    return None if row is None else BackupRow(**dict(row))


def _key(row: Record) -> KeyRow:
    return KeyRow(**dict(row))
