"""What sliding sync asks of rooms beyond other syncs."""

from collections.abc import Collection

from homeserver.identifiers import RoomID
from homeserver.storage.database import Connection

MAX_CHILDREN = 10_000
"""Children of spaces that one request looks at."""


async def bump_positions(db: Connection, room_nids: Collection[int]) -> dict[int, int]:
    """Where the newest message of each room stands; rooms without one are left out."""
    rows = await db.fetch(
        """
        SELECT o.room_nid, newest.position FROM unnest($1::bigint[]) AS o (room_nid)
        CROSS JOIN LATERAL (
            SELECT m.position FROM events m
            WHERE m.room_nid = o.room_nid AND m.is_message AND m.position IS NOT NULL
                AND m.redacted_by IS NULL
            ORDER BY m.position DESC LIMIT 1
        ) newest
        """,
        list(room_nids),
    )
    return {row["room_nid"]: row["position"] for row in rows}


async def children(
    db: Connection, user_nid: int, spaces: Collection[RoomID]
) -> list[tuple[RoomID, RoomID, bytes]]:
    """Spaces that a user is in, with their children: space, child, the event that says so."""
    rows = await db.fetch(
        """
        SELECT r.room_id, s.state_key, e.raw
        FROM rooms r JOIN memberships m USING (room_nid)
        JOIN room_state s USING (room_nid) JOIN events e ON e.event_nid = s.event_nid
        WHERE r.room_id = ANY($2::text[]) AND m.user_nid = $1 AND m.membership = 'join'
            AND s.type = 'm.space.child' AND s.until_version IS NULL
        LIMIT $3
        """,
        user_nid,
        list(spaces),
        MAX_CHILDREN,
    )
    return [(RoomID(row["room_id"]), RoomID(row["state_key"]), row["raw"]) for row in rows]
