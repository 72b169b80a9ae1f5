"""Table `thumbnails`: what was made of pictures."""

from dataclasses import dataclass

from homeserver.storage.database import Connection
from homeserver.storage.media_files import FileRecord


@dataclass(frozen=True, slots=True)
class ThumbnailKey:
    """Which thumbnail of which picture. source: its hash. width, height: of the chosen size."""

    source: bytes
    width: int
    height: int
    method: str
    animated: bool


@dataclass(frozen=True, slots=True)
class ThumbnailRecord:
    """A thumbnail. file: None: the picture itself is the answer."""

    file: FileRecord | None
    content_type: str
    created_at: int


async def get(db: Connection, key: ThumbnailKey) -> ThumbnailRecord | None:
    row = await db.fetchrow(
        "SELECT t.sha256, t.content_type, t.created_at, f.size, f.store"
        " FROM thumbnails t LEFT JOIN media_files f USING (sha256)"
        " WHERE source = $1 AND width = $2 AND height = $3 AND method = $4 AND animated = $5",
        *_values(key),
    )
    if row is None:
        return None
    sha256 = row["sha256"]
    file = None if sha256 is None else FileRecord(sha256, row["size"], row["store"])
    return ThumbnailRecord(file, row["content_type"], row["created_at"])


async def put(db: Connection, key: ThumbnailKey, thumbnail: ThumbnailRecord) -> bool:
    """Keeps a thumbnail unless there is one already; False: its picture is gone."""
    if not await db.fetchval(
        "SELECT true FROM media_files WHERE sha256 = $1 FOR KEY SHARE", key.source
    ):
        return False
    await db.execute(
        "INSERT INTO thumbnails (source, width, height, method, animated, sha256, content_type,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        *_values(key),
        None if thumbnail.file is None else thumbnail.file.sha256,
        thumbnail.content_type,
        thumbnail.created_at,
    )
    return True


async def remove_older(db: Connection, before_ms: int, limit: int) -> list[bytes]:
    """Removes thumbnails that were made before a moment, the oldest first; which files those are
    that they were in. A picture itself is none of them.
    """
    rows = await db.fetch(
        "DELETE FROM thumbnails WHERE ctid IN (SELECT ctid FROM thumbnails WHERE created_at < $1"
        " ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING sha256",
        before_ms,
        limit,
    )
    return [row["sha256"] for row in rows]


def _values(key: ThumbnailKey) -> tuple[bytes, int, int, str, bool]:
    return key.source, key.width, key.height, key.method, key.animated
