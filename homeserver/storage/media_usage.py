"""How much of the stores people and rooms use."""

from dataclasses import dataclass

from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Usage:
    """Whose it is ("" for media of other servers), how many media, and their bytes. What several
    have in common counts for each of them, so the sum may be more than the stores hold.
    """

    whose: str
    media: int
    bytes: int


async def by_user(db: Connection, limit: int) -> list[Usage]:
    """The largest first."""
    rows = await db.fetch(
        "SELECT coalesce(u.user_id, '') AS whose, count(*) AS media,"
        " coalesce(sum(m.size), 0)::bigint AS bytes"
        " FROM media m LEFT JOIN users u USING (user_nid) WHERE m.sha256 IS NOT NULL"
        " GROUP BY u.user_id ORDER BY bytes DESC, whose LIMIT $1",
        limit,
    )
    return [Usage(row["whose"], row["media"], row["bytes"]) for row in rows]


async def by_room(db: Connection, limit: int) -> list[Usage]:
    """The largest first, by what their events name."""
    rows = await db.fetch(
        "SELECT r.room_id AS whose, count(*) AS media, coalesce(sum(m.size), 0)::bigint AS bytes"
        " FROM (SELECT DISTINCT room_nid, media_uuid FROM media_references) f"
        " JOIN media m ON m.uuid = f.media_uuid AND m.sha256 IS NOT NULL"
        " JOIN rooms r ON r.room_nid = f.room_nid"
        " GROUP BY r.room_id ORDER BY bytes DESC, whose LIMIT $1",
        limit,
    )
    return [Usage(row["whose"], row["media"], row["bytes"]) for row in rows]
