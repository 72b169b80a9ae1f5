"""What stands in the database after requests, for tests of a whole server."""

from typing import Any

import orjson

from homeserver.storage.database import Database


async def rows(database: Database, query: str, *arguments: Any) -> list[dict[str, Any]]:
    async with database.connection() as db:
        return [dict(row) for row in await db.fetch(query, *arguments)]


async def stored(database: Database, event_id: str) -> dict[str, Any]:
    """The row of an event; `pdu`: what it says."""
    (row,) = await rows(database, "SELECT * FROM events WHERE event_id = $1", event_id)
    return row | {"pdu": orjson.loads(row["raw"])}


async def event_count(database: Database) -> int:
    (row,) = await rows(database, "SELECT count(*) AS count FROM events")
    return int(row["count"])


async def history(database: Database, room_id: str) -> list[dict[str, Any]]:
    """The PDUs of a room, in order."""
    found = await rows(
        database,
        "SELECT e.raw FROM events e JOIN rooms r USING (room_nid)"
        " WHERE r.room_id = $1 ORDER BY e.position",
        room_id,
    )
    return [orjson.loads(row["raw"]) for row in found]


async def state(database: Database, room_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The contents of a room's current state."""
    found = await rows(
        database,
        "SELECT s.type, s.state_key, e.raw FROM room_state s JOIN events e USING (event_nid)"
        " JOIN rooms r ON r.room_nid = s.room_nid"
        " WHERE r.room_id = $1 AND s.until_version IS NULL",
        room_id,
    )
    return {(row["type"], row["state_key"]): orjson.loads(row["raw"])["content"] for row in found}


async def memberships(database: Database, room_id: str) -> dict[str, str]:
    """Membership by user ID."""
    found = await rows(
        database,
        "SELECT u.user_id, m.membership FROM memberships m JOIN users u USING (user_nid)"
        " JOIN rooms r USING (room_nid) WHERE r.room_id = $1",
        room_id,
    )
    return {row["user_id"]: row["membership"] for row in found}
