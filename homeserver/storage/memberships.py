"""Table `memberships`, read: who is in which room now. `room_state` writes it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID, ServerName, UserID
from homeserver.storage.database import Connection
from homeserver.storage.rooms import COLUMNS, room_record


@dataclass(frozen=True, slots=True)
class Member:
    """A user's place in a room."""

    user_nid: int
    user_id: UserID
    membership: str


async def of_room(
    db: Connection, room_nid: int, memberships: Sequence[str], *, after: int = 0, limit: int
) -> list[Member]:
    """Members in the order of their numbers, after one of them."""
    rows = await db.fetch(
        "SELECT m.user_nid, u.user_id, m.membership"
        " FROM memberships m JOIN users u USING (user_nid)"
        " WHERE m.room_nid = $1 AND m.membership = ANY($2) AND m.user_nid > $3"
        " ORDER BY m.user_nid LIMIT $4",
        room_nid,
        list(memberships),
        after,
        limit,
    )
    return [Member(row["user_nid"], UserID(row["user_id"]), row["membership"]) for row in rows]


async def local_of_room(
    db: Connection, room_nid: int, memberships: Sequence[str], server: ServerName, *, limit: int
) -> list[UserID]:
    """Users of one server in a room, some of them."""
    rows = await db.fetch(
        "SELECT u.user_id FROM memberships m JOIN users u USING (user_nid)"
        " WHERE m.room_nid = $1 AND m.membership = ANY($2)"
        " AND substr(u.user_id, strpos(u.user_id, ':') + 1) = $3 LIMIT $4",
        room_nid,
        list(memberships),
        server,
        limit,
    )
    return [UserID(row["user_id"]) for row in rows]


async def joined_among(db: Connection, room_nid: int, user_ids: Sequence[UserID]) -> list[UserID]:
    """Those of the users who are in the room."""
    rows = await db.fetch(
        "SELECT u.user_id FROM users u JOIN memberships m USING (user_nid)"
        " WHERE u.user_id = ANY($2::text[]) AND m.room_nid = $1 AND m.membership = 'join'",
        room_nid,
        list(user_ids),
    )
    return [UserID(row["user_id"]) for row in rows]


async def is_in_one_of(db: Connection, user_nid: int, room_uuids: Collection[UUID]) -> bool:
    """Whether the user is in some of the rooms."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM rooms r JOIN memberships m USING (room_nid)"
        " WHERE r.uuid = ANY($2::uuid[]) AND r.deleted_at IS NULL"
        " AND m.user_nid = $1 AND m.membership = 'join')",
        user_nid,
        list(room_uuids),
    )
    return found


async def uuids_of_room(
    db: Connection, room_nid: int, memberships: Sequence[str]
) -> frozenset[UUID]:
    """Everybody with one of these memberships, by native UUID."""
    rows = await db.fetch(
        "SELECT u.uuid FROM memberships m JOIN users u USING (user_nid)"
        " WHERE m.room_nid = $1 AND m.membership = ANY($2)",
        room_nid,
        list(memberships),
    )
    return frozenset(row["uuid"] for row in rows)


async def rooms_of(db: Connection, user_nid: int, membership: str) -> list[int]:
    """Numbers of the rooms where the user has this membership; deleted rooms are left out."""
    rows = await db.fetch(
        "SELECT m.room_nid FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership = $2 AND r.deleted_at IS NULL",
        user_nid,
        membership,
    )
    return [row["room_nid"] for row in rows]


async def joined_ids(db: Connection, user_nid: int) -> list[RoomID]:
    """The IDs of the rooms that the user is in; deleted rooms are left out."""
    rows = await db.fetch(
        "SELECT r.room_id FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership = 'join' AND r.deleted_at IS NULL"
        " ORDER BY m.room_nid",
        user_nid,
    )
    return [RoomID(row["room_id"]) for row in rows]


async def of_deactivated(
    db: Connection, *, after: tuple[int, int], limit: int
) -> list[tuple[int, int, UserID]]:
    """Memberships that users still have whose accounts were deactivated: room, user, user ID."""
    rows = await db.fetch(
        "SELECT m.room_nid, m.user_nid, u.user_id"
        " FROM accounts a JOIN memberships m USING (user_nid) JOIN users u USING (user_nid)"
        " WHERE a.deactivated_at IS NOT NULL AND m.membership IN ('join', 'invite', 'knock')"
        " AND (m.room_nid, m.user_nid) > ($1, $2)"
        " ORDER BY m.room_nid, m.user_nid LIMIT $3",
        *after,
        limit,
    )
    return [(row["room_nid"], row["user_nid"], UserID(row["user_id"])) for row in rows]


async def of_guests(
    db: Connection, room_nid: int | None, *, after: tuple[int, int], limit: int
) -> list[tuple[int, int, UserID]]:
    """Rooms that guests are in: room, user, user ID. room_nid: only that room."""
    rows = await db.fetch(
        "SELECT m.room_nid, m.user_nid, u.user_id"
        " FROM accounts a JOIN memberships m USING (user_nid) JOIN users u USING (user_nid)"
        " WHERE a.is_guest AND m.membership = 'join'"
        " AND (m.room_nid, m.user_nid) > ($1, $2) AND ($4::bigint IS NULL OR m.room_nid = $4)"
        " ORDER BY m.room_nid, m.user_nid LIMIT $3",
        *after,
        limit,
        room_nid,
    )
    return [(row["room_nid"], row["user_nid"], UserID(row["user_id"])) for row in rows]


async def share_room(db: Connection, one: int, other: int) -> bool:
    """Whether both users are in some room."""
    shared: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM memberships a JOIN memberships b USING (room_nid)"
        " WHERE a.user_nid = $1 AND a.membership = 'join'"
        " AND b.user_nid = $2 AND b.membership = 'join')",
        one,
        other,
    )
    return shared


async def direct_room(db: Connection, one: int, other: int) -> RoomRecord | None:
    """The direct room in which both users are, the oldest if there are several."""
    columns = ", ".join(f"r.{column}" for column in COLUMNS.split(", "))
    row = await db.fetchrow(
        f"SELECT {columns} FROM rooms r JOIN memberships a USING (room_nid)"
        " JOIN memberships b USING (room_nid)"
        " WHERE r.kind = 'direct' AND r.deleted_at IS NULL"
        " AND a.user_nid = $1 AND a.membership = 'join'"
        " AND b.user_nid = $2 AND b.membership IN ('join', 'invite')"
        " ORDER BY r.room_nid LIMIT 1",
        one,
        other,
    )
    return None if row is None else room_record(row)


async def searchable_rooms_of(db: Connection, user_nid: int) -> dict[int, RoomID]:
    """Rooms that a user is in or was in and has not forgotten, without the encrypted ones."""
    rows = await db.fetch(
        "SELECT m.room_nid, r.room_id FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership IN ('join', 'leave', 'ban')"
        " AND r.deleted_at IS NULL"
        " AND NOT EXISTS (SELECT FROM forgotten_rooms f"
        " WHERE f.user_nid = m.user_nid AND f.room_nid = m.room_nid)"
        " AND NOT EXISTS (SELECT FROM room_state s WHERE s.room_nid = m.room_nid"
        " AND s.type = 'm.room.encryption' AND s.state_key = '' AND s.until_version IS NULL)",
        user_nid,
    )
    return {row["room_nid"]: RoomID(row["room_id"]) for row in rows}


async def shared_rooms(
    db: Connection, one: int, other: int, *, after: int, limit: int
) -> list[tuple[int, RoomID]]:
    """Numbers and IDs of rooms that both users are in, in the order of their numbers."""
    rows = await db.fetch(
        f"SELECT r.room_nid, r.room_id {_SHARED} AND r.room_nid > $3 ORDER BY r.room_nid LIMIT $4",
        one,
        other,
        after,
        limit,
    )
    return [(row["room_nid"], RoomID(row["room_id"])) for row in rows]


async def shared_room_count(db: Connection, one: int, other: int) -> int:
    count: int = await db.fetchval(f"SELECT count(*) {_SHARED}", one, other)
    return count


_SHARED = """
    FROM memberships a JOIN memberships b USING (room_nid) JOIN rooms r USING (room_nid)
    WHERE a.user_nid = $1 AND a.membership = 'join' AND b.user_nid = $2 AND b.membership = 'join'
        AND r.deleted_at IS NULL
"""
