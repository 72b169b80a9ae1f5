"""Table `presence`: when people were last here."""

from collections.abc import Mapping

from homeserver.storage.database import Connection


async def save(db: Connection, seen: Mapping[int, tuple[str, int]]) -> None:
    """seen: status and time in milliseconds, by user number."""
    await db.execute(
        "INSERT INTO presence (user_nid, status, last_seen)"
        " SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])"
        " ON CONFLICT (user_nid) DO UPDATE"
        " SET status = excluded.status, last_seen = excluded.last_seen",
        list(seen),
        [status for status, _ in seen.values()],
        [last_seen for _, last_seen in seen.values()],
    )


async def last_seen(db: Connection, user_nid: int) -> int | None:
    """Milliseconds since the epoch; None if never."""
    seen: int | None = await db.fetchval(
        "SELECT last_seen FROM presence WHERE user_nid = $1", user_nid
    )
    return seen
