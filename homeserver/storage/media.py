"""Table `media`: what mxc:// URIs name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import ServerName, native_uuid
from homeserver.storage.database import Connection
from homeserver.storage.media_files import CLAIM, FileRecord


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """Something that an mxc:// URI names. Times in milliseconds since the epoch.

    user_nid: who uploaded it; None for those of other servers. file: None: nothing was uploaded
    yet. is_quarantined: it is not served, because of itself or of its content.
    """

    uuid: UUID
    origin: ServerName
    media_id: str
    user_nid: int | None
    file: FileRecord | None
    content_type: str
    filename: str | None
    width: int | None
    height: int | None
    blurhash: str | None
    created_at: int
    uploaded_at: int | None
    expires_at: int | None
    last_access_at: int
    is_quarantined: bool

    @property
    def uri(self) -> str:
        return mxc_uri(self.origin, self.media_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMedia:
    """What is uploaded. file: claimed in the same transaction, or by the same statement."""

    origin: ServerName
    media_id: str
    user_nid: int | None
    file: FileRecord
    content_type: str
    filename: str | None
    width: int | None = None
    height: int | None = None
    blurhash: str | None = None


def mxc_uri(origin: str, media_id: str) -> str:
    """C-S API v1.19 "Matrix Content (mxc://) URIs"."""
    return f"mxc://{origin}/{media_id}"


_SELECT = """
    SELECT m.uuid, m.origin, m.media_id, m.user_nid, m.sha256, m.content_type, m.filename, m.width,
        m.height, m.blurhash, m.created_at, m.uploaded_at, m.expires_at, m.last_access_at,
        f.size, f.store, m.quarantined_at IS NOT NULL OR q.sha256 IS NOT NULL AS is_quarantined
    FROM media m LEFT JOIN media_files f USING (sha256) LEFT JOIN quarantined_files q USING (sha256)
"""


async def get(db: Connection, origin: str, media_id: str) -> MediaRecord | None:
    row = await db.fetchrow(
        f"{_SELECT} WHERE m.uuid = $1 AND m.origin = $2 AND m.media_id = $3",
        native_uuid(mxc_uri(origin, media_id)),
        origin,
        media_id,
    )
    return None if row is None else media_record(row)


async def by_uuids(db: Connection, uuids: Sequence[UUID]) -> dict[UUID, MediaRecord]:
    rows = await db.fetch(f"{_SELECT} WHERE m.uuid = ANY($1::uuid[])", list(uuids))
    return {row["uuid"]: media_record(row) for row in rows}


_INSERT = """
    INSERT INTO media (uuid, origin, media_id, user_nid, sha256, size, content_type, filename,
        width, height, blurhash, created_at, uploaded_at, last_access_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12)
"""


async def insert(db: Connection, new: NewMedia, now_ms: int) -> None:
    """Something that was uploaded."""
    await db.execute(_INSERT, *_values(new), now_ms)


async def insert_claiming(db: Connection, new: NewMedia, now_ms: int) -> MediaRecord:
    """Something that was uploaded, and the claim of its file, in one statement."""
    uuid, origin, media_id, user_nid, sha256, size, *told = _values(new)
    row = await db.fetchrow(
        f"""
        WITH claimed AS ({CLAIM})
        INSERT INTO media (uuid, origin, media_id, user_nid, sha256, size, content_type, filename,
            width, height, blurhash, created_at, uploaded_at, last_access_at)
        SELECT $5, $6, $7, $8, sha256, size, $9, $10, $11, $12, $13, $4, $4, $4 FROM claimed
        RETURNING *, (SELECT store FROM claimed) AS store,
            EXISTS (SELECT FROM quarantined_files WHERE sha256 = $1) AS is_quarantined
        """,
        sha256,
        size,
        new.file.store,
        now_ms,
        uuid,
        origin,
        media_id,
        user_nid,
        *told,
    )
    assert row is not None
    return media_record(row)


async def insert_fetched(db: Connection, new: NewMedia, now_ms: int) -> bool:
    """Something that was fetched from another server; False: it is here already."""
    status = await db.execute(f"{_INSERT} ON CONFLICT DO NOTHING", *_values(new), now_ms)
    return status == "INSERT 0 1"


def _values(new: NewMedia) -> tuple[Any, ...]:
    return (
        native_uuid(mxc_uri(new.origin, new.media_id)),
        new.origin,
        new.media_id,
        new.user_nid,
        new.file.sha256,
        new.file.size,
        new.content_type,
        new.filename,
        new.width,
        new.height,
        new.blurhash,
    )


async def insert_pending(
    db: Connection, origin: str, media_id: str, user_nid: int, *, now_ms: int, expires_at: int
) -> None:
    """An address to which something will be uploaded."""
    await db.execute(
        "INSERT INTO media (uuid, origin, media_id, user_nid, created_at, last_access_at,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6)",
        native_uuid(mxc_uri(origin, media_id)),
        origin,
        media_id,
        user_nid,
        now_ms,
        expires_at,
    )


async def fill(db: Connection, new: NewMedia, now_ms: int) -> bool:
    """Uploads to an address that waits for it; whether it still did."""
    status = await db.execute(
        "UPDATE media SET sha256 = $2, size = $3, content_type = $4, filename = $5,"
        " uploaded_at = $6, last_access_at = $6, expires_at = NULL"
        " WHERE uuid = $1 AND sha256 IS NULL AND expires_at > $6",
        native_uuid(mxc_uri(new.origin, new.media_id)),
        new.file.sha256,
        new.file.size,
        new.content_type,
        new.filename,
        now_ms,
    )
    return status == "UPDATE 1"


async def describe(
    db: Connection, uuid: UUID, *, width: int, height: int, blurhash: str | None
) -> None:
    """What was found out about a picture."""
    await db.execute(
        "UPDATE media SET width = $2, height = $3, blurhash = $4 WHERE uuid = $1",
        uuid,
        width,
        height,
        blurhash,
    )


async def pending(db: Connection, user_nid: int, now_ms: int) -> tuple[int, int | None]:
    """How many addresses of a user wait for files, and when the first of them ends."""
    row = await db.fetchrow(
        "SELECT count(*) AS waiting, min(expires_at) AS first FROM media"
        " WHERE sha256 IS NULL AND user_nid = $1 AND expires_at > $2",
        user_nid,
        now_ms,
    )
    assert row is not None
    return row["waiting"], row["first"]


async def lock_user(db: Connection, user_nid: int) -> None:
    """What is counted of a user stays as it is until the transaction ends."""
    await db.execute("SELECT pg_advisory_xact_lock($1, $2::int)", _LOCK_CLASS, user_nid % 2**31)


_LOCK_CLASS = 0x4D45
"""Keeps these advisory locks apart from others."""


async def uploaded_bytes(db: Connection, user_nid: int, *, since_ms: int = 0) -> int:
    """Bytes of the files of a user that came since a moment."""
    total: int = await db.fetchval(
        "SELECT coalesce(sum(size), 0)::bigint FROM media"
        " WHERE user_nid = $1 AND uploaded_at >= $2",
        user_nid,
        since_ms,
    )
    return total


async def touch(db: Connection, uuids: Sequence[UUID], now_ms: int) -> None:
    """Somebody looked at them."""
    await db.execute(
        "UPDATE media SET last_access_at = $2 WHERE uuid = ANY($1::uuid[])", list(uuids), now_ms
    )


def media_record(row: Record) -> MediaRecord:
    sha256 = row["sha256"]
    return MediaRecord(
        uuid=row["uuid"],
        origin=ServerName(row["origin"]),
        media_id=row["media_id"],
        user_nid=row["user_nid"],
        file=None if sha256 is None else FileRecord(sha256, row["size"], row["store"]),
        content_type=row["content_type"],
        filename=row["filename"],
        width=row["width"],
        height=row["height"],
        blurhash=row["blurhash"],
        created_at=row["created_at"],
        uploaded_at=row["uploaded_at"],
        expires_at=row["expires_at"],
        last_access_at=row["last_access_at"],
        is_quarantined=row["is_quarantined"],
    )
