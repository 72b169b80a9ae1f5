"""Table `sliding_connections`: what connections of sliding sync were told."""

from dataclasses import dataclass

from homeserver.storage.database import Connection

MAX_OF_SESSION = 10
"""Connections of one session; those not used for the longest end."""


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """state: JSON, as `homeserver.sync.sliding.connection` writes it."""

    version: int
    state: bytes


async def get(
    db: Connection, session_nid: int, conn_id: str, version: int
) -> StoredConnection | None:
    """What the connection was told when its state had this version."""
    row = await db.fetchrow(
        "SELECT version, state FROM sliding_connections"
        " WHERE session_nid = $1 AND conn_id = $2 AND version = $3",
        session_nid,
        conn_id,
        version,
    )
    return None if row is None else StoredConnection(row["version"], row["state"])


async def put(
    db: Connection,
    session_nid: int,
    conn_id: str,
    stored: StoredConnection,
    *,
    keep: int,
    now_ms: int,
) -> None:
    """Writes a version of the state. Of the others the one the client came with is kept, for it may
    come with that again; and of the session's connections those that were used last.
    """
    await db.execute(
        "DELETE FROM sliding_connections"
        " WHERE session_nid = $1 AND conn_id = $2 AND version NOT IN ($3, $4)",
        session_nid,
        conn_id,
        keep,
        stored.version,
    )
    await db.execute(
        "INSERT INTO sliding_connections (session_nid, conn_id, version, state, used_at)"
        " VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (session_nid, conn_id, version) DO UPDATE"
        " SET state = excluded.state, used_at = excluded.used_at",
        session_nid,
        conn_id,
        stored.version,
        stored.state,
        now_ms,
    )
    await db.execute(
        "DELETE FROM sliding_connections WHERE session_nid = $1 AND conn_id IN ("
        " SELECT conn_id FROM sliding_connections WHERE session_nid = $1"
        " GROUP BY conn_id ORDER BY max(used_at) DESC OFFSET $2)",
        session_nid,
        MAX_OF_SESSION,
    )


async def delete_unused(db: Connection, before_ms: int, limit: int) -> int:
    """Ends connections that were not written for long, and those of sessions that have ended;
    returns how many rows went.
    """
    gone = await db.fetch(
        "DELETE FROM sliding_connections WHERE (session_nid, conn_id, version) IN ("
        " SELECT session_nid, conn_id, version FROM sliding_connections c"
        " WHERE used_at < $1"
        " OR NOT EXISTS (SELECT FROM sessions s WHERE s.session_nid = c.session_nid)"
        " LIMIT $2) RETURNING 1",
        before_ms,
        limit,
    )
    return len(gone)
