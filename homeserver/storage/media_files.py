"""Tables `media_files` and `quarantined_files`: what the stores hold, by SHA-256."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that is kept. store: "filesystem" or "s3". size: bytes."""

    sha256: bytes
    size: int
    store: str


_COLUMNS = "sha256, size, store"

_UNUSED = """
    NOT EXISTS (SELECT FROM media m WHERE m.sha256 = f.sha256)
    AND NOT EXISTS (SELECT FROM thumbnails t WHERE t.sha256 = f.sha256)
"""


CLAIM = """
    INSERT INTO media_files (sha256, size, store, stored_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (sha256) DO UPDATE SET unused_since = NULL
    RETURNING sha256, size, store
"""
"""As `claim` does it, for statements that go on with it."""


async def claim(db: Connection, file: FileRecord, now_ms: int) -> FileRecord:
    """The row of a file that is used from now on, locked until the transaction ends.

    file: where a new one is; one that is kept already is where it is.
    """
    row = await db.fetchrow(CLAIM, file.sha256, file.size, file.store, now_ms)
    assert row is not None
    return _file(row)


async def lock_unknown(db: Connection, sha256: bytes, *, store: str, now_ms: int) -> bool:
    """Whether there is no such file. If so, nobody else can claim it before the transaction ends,
    and there is a row of it, which `forget` removes.
    """
    inserted = await db.fetchval(
        "INSERT INTO media_files (sha256, size, store, stored_at) VALUES ($1, 0, $2, $3)"
        " ON CONFLICT (sha256) DO NOTHING RETURNING true",
        sha256,
        store,
        now_ms,
    )
    return inserted is not None


async def lock_unused(db: Connection, sha256: bytes) -> FileRecord | None:
    """A file that nothing is made of any more, which nobody can claim before the transaction ends;
    None if it is used, or gone.
    """
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM media_files f WHERE sha256 = $1 FOR UPDATE", sha256
    )
    if row is None:
        return None
    # A statement of its own sees what was committed while this one waited for the lock.
    is_unused = await db.fetchval(f"SELECT {_UNUSED} FROM media_files f WHERE sha256 = $1", sha256)
    return _file(row) if is_unused else None


async def forget(db: Connection, sha256: bytes, now_ms: int) -> None:
    """Removes the row of a file, and the thumbnails that were made of it."""
    rows = await db.fetch("DELETE FROM thumbnails WHERE source = $1 RETURNING sha256", sha256)
    await mark_unused(db, [row["sha256"] for row in rows], now_ms)
    await db.execute("DELETE FROM media_files WHERE sha256 = $1", sha256)


async def mark_unused(db: Connection, hashes: Collection[bytes], now_ms: int) -> None:
    """Those of some files that nothing is made of any more may go."""
    await db.execute(
        f"UPDATE media_files f SET unused_since = $2 WHERE sha256 = ANY($1::bytea[])"
        f" AND unused_since IS NULL AND {_UNUSED}",
        list(hashes),
        now_ms,
    )


async def unused(db: Connection, limit: int) -> list[bytes]:
    """Files that may go, the first first."""
    rows = await db.fetch(
        "SELECT sha256 FROM media_files WHERE unused_since IS NOT NULL"
        " ORDER BY unused_since LIMIT $1",
        limit,
    )
    return [row["sha256"] for row in rows]


async def get(db: Connection, sha256: bytes) -> FileRecord | None:
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM media_files WHERE sha256 = $1", sha256)
    return None if row is None else _file(row)


async def page(
    db: Connection, *, after: bytes, limit: int, store: str | None = None
) -> list[FileRecord]:
    """Files in the order of their hashes, of one store or of all."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM media_files WHERE sha256 > $1 AND (store = $3 OR $3 IS NULL)"
        " ORDER BY sha256 LIMIT $2",
        after,
        limit,
        store,
    )
    return [_file(row) for row in rows]


async def totals(db: Connection, *, store: str | None = None) -> tuple[int, int]:
    """How many files there are in a store or in all, and their bytes."""
    row = await db.fetchrow(
        "SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM media_files"
        " WHERE store = $1 OR $1 IS NULL",
        store,
    )
    assert row is not None
    return row["files"], row["bytes"]


async def lock(db: Connection, sha256: bytes) -> FileRecord | None:
    """A file that nobody else moves or removes before the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM media_files WHERE sha256 = $1 FOR UPDATE", sha256
    )
    return None if row is None else _file(row)


async def set_store(db: Connection, sha256: bytes, store: str) -> None:
    """The file is elsewhere now."""
    await db.execute("UPDATE media_files SET store = $2 WHERE sha256 = $1", sha256, store)


async def known(db: Connection, hashes: Sequence[bytes]) -> dict[bytes, FileRecord]:
    """Those of some files that there are."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM media_files WHERE sha256 = ANY($1::bytea[])", list(hashes)
    )
    return {row["sha256"]: _file(row) for row in rows}


async def quarantine(db: Connection, sha256: bytes, now_ms: int) -> None:
    """Content that is served no more, and will not be if it comes again."""
    await db.execute(
        "INSERT INTO quarantined_files (sha256, quarantined_at) VALUES ($1, $2)"
        " ON CONFLICT DO NOTHING",
        sha256,
        now_ms,
    )


async def release(db: Connection, sha256: bytes) -> None:
    await db.execute("DELETE FROM quarantined_files WHERE sha256 = $1", sha256)


async def media_of(db: Connection, sha256: bytes) -> list[UUID]:
    """Media that have this content."""
    rows = await db.fetch("SELECT uuid FROM media WHERE sha256 = $1", sha256)
    return [row["uuid"] for row in rows]


def _file(row: Record) -> FileRecord:
    return FileRecord(row["sha256"], row["size"], row["store"])
