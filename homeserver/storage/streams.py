"""Tables `stream_positions` and `cursors`: gapless positions, and how far followers have come."""

from homeserver.storage.database import Connection


async def take_positions(db: Connection, stream: str, count: int) -> int:
    """Takes the next `count` positions and returns the last of them.

    The row stays locked until the transaction ends, so positions become visible in order.
    """
    last: int = await db.fetchval(
        "UPDATE stream_positions SET position = position + $2 WHERE stream = $1 RETURNING position",
        stream,
        count,
    )
    return last


async def current(db: Connection, stream: str) -> int:
    """The newest position that is visible."""
    position: int = await db.fetchval(
        "SELECT position FROM stream_positions WHERE stream = $1", stream
    )
    return position


async def cursor(db: Connection, name: str) -> int:
    """How far a follower has come; 0 at its beginning."""
    position: int | None = await db.fetchval("SELECT position FROM cursors WHERE name = $1", name)
    return position or 0


async def move_cursor(db: Connection, name: str, position: int) -> None:
    await db.execute(
        "INSERT INTO cursors (name, position) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        name,
        position,
    )
