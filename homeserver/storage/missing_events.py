"""Table `missing_events`: events that others name as previous events and that are not here."""

from collections.abc import Collection

from homeserver.identifiers import EventID
from homeserver.storage.database import Connection


async def is_missing(db: Connection, room_nid: int, event_id: EventID) -> bool:
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM missing_events WHERE room_nid = $1 AND event_id = $2)",
        room_nid,
        event_id,
    )
    return found


async def insert(db: Connection, room_nid: int, event_ids: Collection[EventID]) -> None:
    await db.execute(
        "INSERT INTO missing_events (room_nid, event_id) SELECT $1, unnest($2::text[])"
        " ON CONFLICT DO NOTHING",
        room_nid,
        list(event_ids),
    )


async def delete(db: Connection, room_nid: int, event_id: EventID) -> None:
    await db.execute(
        "DELETE FROM missing_events WHERE room_nid = $1 AND event_id = $2", room_nid, event_id
    )
