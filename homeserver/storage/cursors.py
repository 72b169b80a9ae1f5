"""Table `cursors`: how far followers of the stream of events have come, and whose turn it is."""

from homeserver.storage.database import Connection

_LOCK_CLASS = 0x464F
"""Keeps these advisory locks apart from others."""


async def try_hold(db: Connection, name: str) -> bool:
    """Takes the turn of a follower, for as long as this (dedicated) connection lives."""
    held: bool = await db.fetchval(
        "SELECT pg_try_advisory_lock($1, hashtext($2))", _LOCK_CLASS, name
    )
    return held


async def lock(db: Connection, name: str) -> int:
    """The position of a cursor, which nobody else moves before the transaction ends; at first 0."""
    await db.execute(
        "INSERT INTO cursors (name, position) VALUES ($1, 0) ON CONFLICT DO NOTHING", name
    )
    position: int = await db.fetchval(
        "SELECT position FROM cursors WHERE name = $1 FOR UPDATE", name
    )
    return position


async def move(db: Connection, name: str, position: int) -> None:
    await db.execute("UPDATE cursors SET position = $2 WHERE name = $1", name, position)
