"""Which media may go, and their removal. Files are another matter: see `media_files`."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.storage import media_files
from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Removed:
    """A medium that is no more."""

    uuid: UUID
    size: int


_IN_USE = """
    EXISTS (SELECT FROM media_references r WHERE r.media_uuid = m.uuid)
    OR EXISTS (
        SELECT FROM users u WHERE u.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)
    OR EXISTS (
        SELECT FROM account_data a WHERE a.user_nid = m.user_nid AND position(
            convert_to('mxc://' || m.origin || '/' || m.media_id, 'UTF8') IN a.content) > 0)
"""
"""Named by an event, a profile, or what its owner keeps for his own clients."""


async def expire_pending(db: Connection, now_ms: int, limit: int) -> int:
    """Removes addresses to which nothing was uploaded in time; how many."""
    status = await db.execute(
        "DELETE FROM media WHERE uuid = ANY(ARRAY("
        " SELECT uuid FROM media WHERE sha256 IS NULL AND expires_at <= $1"
        " ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)) AND sha256 IS NULL",
        now_ms,
        limit,
    )
    return int(status.rpartition(" ")[2])


async def remove_unreferenced(
    db: Connection, before_ms: int, now_ms: int, limit: int
) -> list[Removed]:
    """Removes what nothing names since before a moment. What turns out to be in use stays."""
    await db.execute(
        "UPDATE media m SET unreferenced_since = NULL WHERE uuid = ANY(ARRAY("
        " SELECT uuid FROM media WHERE unreferenced_since <= $1"
        f" ORDER BY unreferenced_since LIMIT $2)) AND ({_IN_USE})",
        before_ms,
        limit,
    )
    return await _remove(
        db,
        "SELECT uuid FROM media m WHERE unreferenced_since <= $1 AND sha256 IS NOT NULL"
        f" AND NOT ({_IN_USE}) ORDER BY unreferenced_since LIMIT $2",
        (before_ms, limit),
        now_ms,
    )


async def remove_unused(db: Connection, before_ms: int, now_ms: int, limit: int) -> list[Removed]:
    """Removes what was uploaded before a moment and never named."""
    return await _remove(
        db,
        "SELECT uuid FROM media m WHERE uploaded_at <= $1 AND NOT was_referenced"
        f" AND sha256 IS NOT NULL AND user_nid IS NOT NULL AND NOT ({_IN_USE})"
        " ORDER BY uploaded_at LIMIT $2",
        (before_ms, limit),
        now_ms,
    )


async def remove_not_looked_at(
    db: Connection, before_ms: int, now_ms: int, limit: int, *, local: bool
) -> list[Removed]:
    """Removes what nobody looked at since a moment: of this server's users, or of others."""
    return await _remove(
        db,
        "SELECT uuid FROM media WHERE last_access_at <= $1 AND sha256 IS NOT NULL"
        f" AND user_nid IS {'NOT NULL' if local else 'NULL'} ORDER BY last_access_at LIMIT $2",
        (before_ms, limit),
        now_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Some media, by what is said of them; what is None does not matter."""

    user_nid: int | None = None
    room_nid: int | None = None
    origin: str | None = None
    not_origin: str | None = None
    before_ms: int | None = None
    uuid: UUID | None = None
    sha256: bytes | None = None


_SELECTED = """
    ($1::bigint IS NULL OR m.user_nid = $1)
    AND ($2::bigint IS NULL OR EXISTS (SELECT FROM media_references r
        WHERE r.media_uuid = m.uuid AND r.room_nid = $2))
    AND ($3::text IS NULL OR m.origin = $3) AND ($4::text IS NULL OR m.origin <> $4)
    AND ($5::bigint IS NULL OR m.uploaded_at < $5) AND ($6::uuid IS NULL OR m.uuid = $6)
    AND ($7::bytea IS NULL OR m.sha256 = $7) AND m.sha256 IS NOT NULL
"""


async def count(db: Connection, selection: Selection) -> tuple[int, int]:
    """How many media are selected, and their bytes."""
    row = await db.fetchrow(
        "SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM media m"
        f" WHERE {_SELECTED}",
        *_values(selection),
    )
    assert row is not None
    return row["files"], row["bytes"]


async def remove_selected(
    db: Connection, selection: Selection, now_ms: int, limit: int
) -> list[Removed]:
    return await _remove(
        db,
        f"SELECT uuid FROM media m WHERE {_SELECTED} ORDER BY uuid LIMIT $8",
        (*_values(selection), limit),
        now_ms,
    )


async def quarantine(
    db: Connection, selection: Selection, at_ms: int | None, *, after: UUID | None, limit: int
) -> list[UUID]:
    """Puts selected media into quarantine, or lets them out; those of one step, by UUID."""
    rows = await db.fetch(
        "UPDATE media SET quarantined_at = $8 WHERE uuid = ANY(ARRAY("
        f" SELECT uuid FROM media m WHERE {_SELECTED} AND ($9::uuid IS NULL OR uuid > $9)"
        " ORDER BY uuid LIMIT $10)) RETURNING uuid",
        *_values(selection),
        at_ms,
        after,
        limit,
    )
    return sorted(row["uuid"] for row in rows)


def _values(selection: Selection) -> tuple[object, ...]:
    return (
        selection.user_nid,
        selection.room_nid,
        selection.origin,
        selection.not_origin,
        selection.before_ms,
        selection.uuid,
        selection.sha256,
    )


async def _remove(
    db: Connection, which: str, values: Sequence[object], now_ms: int
) -> list[Removed]:
    """Removes media, and marks files that nothing is made of any more."""
    rows: list[Record] = await db.fetch(
        f"DELETE FROM media WHERE uuid = ANY(ARRAY({which})) RETURNING uuid, size, sha256",
        *values,
    )
    await media_files.mark_unused(db, {row["sha256"] for row in rows} - {None}, now_ms)
    return [Removed(row["uuid"], row["size"]) for row in rows]
