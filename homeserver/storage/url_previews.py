"""Table `url_previews`: what links lead to, for a while."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from homeserver.storage import media_files
from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRecord:
    """answer: JSON; None: nothing could be found out. media_uuid: of its picture, if it has one.

    Times in milliseconds since the epoch.
    """

    answer: bytes | None
    media_uuid: UUID | None
    created_at: int
    expires_at: int


async def get(db: Connection, url_hash: bytes, now_ms: int) -> PreviewRecord | None:
    """A preview that is still good. url_hash: SHA-256 of the URL."""
    row = await db.fetchrow(
        "SELECT answer, media_uuid, created_at, expires_at FROM url_previews"
        " WHERE url_hash = $1 AND expires_at > $2",
        url_hash,
        now_ms,
    )
    return None if row is None else PreviewRecord(**row)


async def put(db: Connection, url_hash: bytes, preview: PreviewRecord) -> UUID | None:
    """Keeps a preview instead of any older one of the same URL, and returns whose picture goes."""
    older = await db.fetchrow(
        "DELETE FROM url_previews WHERE url_hash = $1 RETURNING media_uuid", url_hash
    )
    await db.execute(
        "INSERT INTO url_previews (url_hash, answer, media_uuid, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (url_hash) DO UPDATE SET answer = $2,"
        " media_uuid = $3, created_at = $4, expires_at = $5",
        url_hash,
        preview.answer,
        preview.media_uuid,
        preview.created_at,
        preview.expires_at,
    )
    return None if older is None else older["media_uuid"]


async def remove_expired(db: Connection, now_ms: int, limit: int) -> tuple[int, list[UUID]]:
    """Removes previews that are not good any more: how many, and the pictures that go with them."""
    rows = await db.fetch(
        "DELETE FROM url_previews WHERE url_hash IN (SELECT url_hash FROM url_previews"
        " WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
        " RETURNING media_uuid",
        now_ms,
        limit,
    )
    return len(rows), [row["media_uuid"] for row in rows if row["media_uuid"] is not None]


async def remove_all_but(db: Connection, keep: int, limit: int) -> tuple[int, list[UUID]]:
    """Removes the oldest previews of more than `keep`; returns as `remove_expired` does."""
    rows = await db.fetch(
        "DELETE FROM url_previews WHERE url_hash IN (SELECT url_hash FROM url_previews"
        " ORDER BY created_at DESC OFFSET $1 LIMIT $2) RETURNING media_uuid",
        keep,
        limit,
    )
    return len(rows), [row["media_uuid"] for row in rows if row["media_uuid"] is not None]


async def remove_pictures(db: Connection, uuids: Collection[UUID], now_ms: int) -> None:
    """Removes pictures of previews that are gone, but for those that somebody sent on."""
    if not uuids:
        return
    rows = await db.fetch(
        "DELETE FROM media WHERE uuid = ANY($1::uuid[]) AND user_nid IS NULL"
        " AND NOT was_referenced RETURNING sha256",
        list(uuids),
    )
    await media_files.mark_unused(db, {row["sha256"] for row in rows}, now_ms)
