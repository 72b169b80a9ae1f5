"""Table `filters`: what clients want to hear of, kept for them under a number."""

from homeserver.storage.database import Connection

MAX_PER_USER = 1_000


async def put(db: Connection, user_nid: int, digest: bytes, definition: bytes) -> int:
    """The number of a filter; one that is there already keeps its own.

    Of more than 1,000 of a user the oldest goes: clients make a new one where theirs is unknown.
    """
    known: int | None = await db.fetchval(
        "SELECT filter_nid FROM filters WHERE user_nid = $1 AND digest = $2", user_nid, digest
    )
    if known is not None:
        return known
    await db.execute(
        "DELETE FROM filters WHERE filter_nid IN (SELECT filter_nid FROM filters"
        " WHERE user_nid = $1 ORDER BY filter_nid DESC OFFSET $2)",
        user_nid,
        MAX_PER_USER - 1,
    )
    filter_nid: int = await db.fetchval(
        "INSERT INTO filters (user_nid, digest, definition) VALUES ($1, $2, $3)"
        " ON CONFLICT (user_nid, digest) DO UPDATE SET definition = excluded.definition"
        " RETURNING filter_nid",
        user_nid,
        digest,
        definition,
    )
    return filter_nid


async def get(db: Connection, user_nid: int, filter_nid: int) -> bytes | None:
    """The definition of one of a user's filters."""
    found: bytes | None = await db.fetchval(
        "SELECT definition FROM filters WHERE user_nid = $1 AND filter_nid = $2",
        user_nid,
        filter_nid,
    )
    return found
