"""Table `device_list_changes`: whose devices changed, and when last. Of each user, one row.

The owner of a transaction that changes devices notes that in it; the position becomes visible with
the change.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from homeserver.identifiers import UserID
from homeserver.storage import streams
from homeserver.storage.database import Connection

DEVICE_LISTS = "device_lists"


@dataclass(frozen=True, slots=True)
class DeviceListRow:
    """position: of the user's newest change."""

    position: int
    user_nid: int
    user_id: UserID


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody's membership in a room, at a version of its state and now."""

    room_nid: int
    user_id: UserID
    was_in: bool
    is_in: bool


async def note(db: Connection, user_nids: Collection[int]) -> int | None:
    """The devices of these users changed. Returns the newest position; None: there are none."""
    changed = sorted(set(user_nids))
    if not changed:
        return None
    last = await streams.take_positions(db, DEVICE_LISTS, len(changed))
    await db.execute(
        "INSERT INTO device_list_changes (user_nid, position)"
        " SELECT * FROM unnest($1::bigint[], $2::bigint[])"
        " ON CONFLICT (user_nid) DO UPDATE SET position = excluded.position",
        changed,
        list(range(last - len(changed) + 1, last + 1)),
    )
    return last


async def after_position(db: Connection, position: int, limit: int) -> list[DeviceListRow]:
    """Whose devices changed after a position, in that order."""
    rows = await db.fetch(
        "SELECT c.position, c.user_nid, u.user_id FROM device_list_changes c"
        " JOIN users u USING (user_nid) WHERE c.position > $1 ORDER BY c.position LIMIT $2",
        position,
        limit,
    )
    return [DeviceListRow(row["position"], row["user_nid"], row["user_id"]) for row in rows]


_SHARES = """
    EXISTS (
        SELECT FROM memberships theirs JOIN memberships mine USING (room_nid)
        WHERE theirs.user_nid = u.user_nid AND theirs.membership = 'join'
            AND mine.user_nid = $1 AND mine.membership = 'join'
    )
"""


async def changed(db: Connection, reader_nid: int, *, after: int) -> list[UserID]:
    """Of the reader himself and those who share a room with him, whose devices changed."""
    rows = await db.fetch(
        f"SELECT u.user_id FROM device_list_changes c JOIN users u USING (user_nid)"
        f" WHERE c.position > $2 AND (u.user_nid = $1 OR {_SHARES}) ORDER BY c.position",
        reader_nid,
        after,
    )
    return [row["user_id"] for row in rows]


async def sharing(db: Connection, reader_nid: int, user_ids: Collection[str]) -> frozenset[UserID]:
    """Those who share a room with the reader."""
    rows = await db.fetch(
        f"SELECT u.user_id FROM users u WHERE u.user_id = ANY($2::text[]) AND {_SHARES}",
        reader_nid,
        list(user_ids),
    )
    return frozenset(row["user_id"] for row in rows)


async def joined_members(db: Connection, room_nids: Sequence[int]) -> frozenset[UserID]:
    """Everybody who is in one of the rooms."""
    rows = await db.fetch(
        "SELECT DISTINCT u.user_id FROM memberships m JOIN users u USING (user_nid)"
        " WHERE m.room_nid = ANY($1::bigint[]) AND m.membership = 'join'",
        list(room_nids),
    )
    return frozenset(row["user_id"] for row in rows)


async def newly_shared(
    db: Connection, reader_nid: int, room_nids: Sequence[int]
) -> frozenset[UserID]:
    """Members of rooms that the reader came to, with whom he shares no other."""
    rows = await db.fetch(
        """
        SELECT DISTINCT u.user_id FROM memberships m JOIN users u USING (user_nid)
        WHERE m.room_nid = ANY($2::bigint[]) AND m.membership = 'join' AND u.user_nid <> $1
            AND NOT EXISTS (
                SELECT FROM memberships theirs JOIN memberships mine USING (room_nid)
                WHERE theirs.user_nid = m.user_nid AND theirs.membership = 'join'
                    AND mine.user_nid = $1 AND mine.membership = 'join'
                    AND mine.room_nid <> ALL($2)
            )
        """,
        reader_nid,
        list(room_nids),
    )
    return frozenset(row["user_id"] for row in rows)


async def crossings(db: Connection, versions: Mapping[int, int]) -> list[Crossing]:
    """Whose memberships changed since versions of rooms' states. Costs by what changed.

    The former membership stands in an event, whose JSON is taken apart as text: JSONB knows no
    U+0000.
    """
    rows = await db.fetch(
        """
        SELECT moved.room_nid, moved.user_id, now.membership = 'join' AS is_in,
            (convert_from(e.raw, 'UTF8')::json -> 'content' ->> 'membership') = 'join' AS was_in
        FROM (
            SELECT DISTINCT w.room_nid, w.version, s.state_key AS user_id
            FROM unnest($1::bigint[], $2::integer[]) AS w (room_nid, version)
            JOIN room_state s ON s.room_nid = w.room_nid AND s.since_version > w.version
                AND s.type = 'm.room.member'
        ) moved
        JOIN users u USING (user_id)
        LEFT JOIN memberships now ON now.room_nid = moved.room_nid AND now.user_nid = u.user_nid
        LEFT JOIN room_state former ON former.room_nid = moved.room_nid
            AND former.type = 'm.room.member' AND former.state_key = moved.user_id
            AND former.since_version <= moved.version
            AND (former.until_version IS NULL OR former.until_version > moved.version)
        LEFT JOIN events e ON e.event_nid = former.event_nid
        """,
        list(versions),
        list(versions.values()),
    )
    return [
        Crossing(row["room_nid"], row["user_id"], bool(row["was_in"]), bool(row["is_in"]))
        for row in rows
    ]
