"""Table `presence`: when people were last here, and what they say of how they are."""

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


async def save_messages(db: Connection, messages: Mapping[int, str | None], now_ms: int) -> None:
    """What people say of how they are, by user number; who was never seen is seen now."""
    await db.execute(
        "INSERT INTO presence (user_nid, status, last_seen, status_msg)"
        " SELECT user_nid, 'offline', $3, status_msg"
        " FROM unnest($1::bigint[], $2::text[]) AS m (user_nid, status_msg)"
        " ON CONFLICT (user_nid) DO UPDATE SET status_msg = excluded.status_msg",
        list(messages),
        list(messages.values()),
        now_ms,
    )


async def messages(db: Connection, limit: int) -> dict[int, str]:
    """What people say of how they are, by user number: who was here last comes last."""
    rows = await db.fetch(
        "SELECT user_nid, status_msg FROM presence WHERE status_msg IS NOT NULL"
        " ORDER BY last_seen DESC LIMIT $1",
        limit,
    )
    return {row["user_nid"]: row["status_msg"] for row in reversed(rows)}


async def last_seen(db: Connection, user_nid: int) -> int | None:
    """Milliseconds since the epoch; None if never."""
    seen: int | None = await db.fetchval(
        "SELECT last_seen FROM presence WHERE user_nid = $1", user_nid
    )
    return seen
