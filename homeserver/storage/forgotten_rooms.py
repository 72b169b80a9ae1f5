"""Table `forgotten_rooms`: rooms that users who are in them no more want to hear nothing of.

Whoever is invited again, knocks or joins remembers the room: see `room_state.set_memberships`.
"""

from homeserver.storage.database import Connection


async def insert(db: Connection, user_nid: int, room_nid: int) -> None:
    await db.execute(
        "INSERT INTO forgotten_rooms (user_nid, room_nid) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        user_nid,
        room_nid,
    )


async def is_forgotten(db: Connection, user_nid: int, room_nid: int) -> bool:
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM forgotten_rooms WHERE user_nid = $1 AND room_nid = $2)",
        user_nid,
        room_nid,
    )
    return found


async def of_user(db: Connection, user_nid: int) -> frozenset[int]:
    """Numbers of the rooms that the user has forgotten."""
    rows = await db.fetch("SELECT room_nid FROM forgotten_rooms WHERE user_nid = $1", user_nid)
    return frozenset(row["room_nid"] for row in rows)
