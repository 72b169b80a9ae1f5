"""What summaries of many rooms are made of: a query for each kind, however many rooms there are."""

from collections.abc import Collection
from uuid import UUID

from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS as EVENT_COLUMNS
from homeserver.storage.events import stored_event
from homeserver.storage.rooms import COLUMNS, room_record

MAX_CHILDREN = 1_000
"""Children of one space that are looked at."""


async def records(db: Connection, uuids: Collection[UUID]) -> dict[RoomID, RoomRecord]:
    """Those of the rooms that are here and not deleted."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM rooms WHERE uuid = ANY($1::uuid[]) AND deleted_at IS NULL",
        list(uuids),
    )
    return {RoomID(row["room_id"]): room_record(row) for row in rows}


async def member_counts(db: Connection, room_nids: Collection[int]) -> dict[int, int]:
    """How many are in each room; rooms without any are left out."""
    rows = await db.fetch(
        "SELECT room_nid, count(*) AS count FROM memberships"
        " WHERE room_nid = ANY($1::bigint[]) AND membership = 'join' GROUP BY room_nid",
        list(room_nids),
    )
    return {row["room_nid"]: row["count"] for row in rows}


async def memberships_of(
    db: Connection, user_nid: int, room_nids: Collection[int]
) -> dict[int, str]:
    """A user's membership in each room; rooms that know nothing of him are left out."""
    rows = await db.fetch(
        "SELECT room_nid, membership FROM memberships"
        " WHERE user_nid = $1 AND room_nid = ANY($2::bigint[])",
        user_nid,
        list(room_nids),
    )
    return {row["room_nid"]: row["membership"] for row in rows}


async def joined_among(db: Connection, user_nid: int, room_ids: Collection[str]) -> frozenset[str]:
    """Those of the rooms that a user is in."""
    rows = await db.fetch(
        "SELECT r.room_id FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership = 'join' AND r.room_id = ANY($2::text[])",
        user_nid,
        list(room_ids),
    )
    return frozenset(row["room_id"] for row in rows)


async def children(db: Connection, room_nids: Collection[int]) -> dict[int, list[Event]]:
    """The child events of spaces, in no particular order."""
    rows = await db.fetch(
        f"SELECT {EVENT_COLUMNS} FROM unnest($1::bigint[]) AS o (room_nid) CROSS JOIN LATERAL ("
        " SELECT s.event_nid FROM room_state s WHERE s.room_nid = o.room_nid"
        " AND s.type = 'm.space.child' AND s.until_version IS NULL"
        f" ORDER BY s.event_nid LIMIT {MAX_CHILDREN}"
        ") child JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid",
        list(room_nids),
    )
    found: dict[int, list[Event]] = {}
    for row in rows:
        found.setdefault(row["room_nid"], []).append(stored_event(row).event)
    return found
