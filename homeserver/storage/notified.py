"""Which events notified somebody, read or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.events.stored import StoredEvent
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event

# What an event means to the user himself goes before what it means to everybody, and that before
# what it is. The user's own exceptions were made when he was there; the rest counts since he came.
_PAGE = f"""
    SELECT {COLUMNS}, page.highlight FROM (
        SELECT found.* FROM unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::boolean[])
            AS s (room_nid, since, joined, muted)
        CROSS JOIN LATERAL (
            (
                SELECT m.event_nid, m.position, false AS highlight FROM events m
                WHERE m.room_nid = s.room_nid AND m.is_message AND m.redacted_by IS NULL
                    AND m.position IS NOT NULL AND m.position > s.since AND m.position < $6
                    AND s.joined AND NOT s.muted AND NOT $7 AND m.sender_nid <> $1
                    AND NOT EXISTS (
                        SELECT FROM notification_exceptions x WHERE x.room_nid = s.room_nid
                            AND x.user_nid IN (0, $1) AND x.position = m.position
                    )
                ORDER BY m.position DESC LIMIT $8
            )
            UNION ALL
            (
                SELECT m.event_nid, x.position, x.highlight
                FROM notification_exceptions x JOIN events m ON m.position = x.position
                WHERE x.room_nid = s.room_nid AND x.user_nid = $1 AND x.position < $6 AND x.notify
                    AND (x.highlight OR NOT $7) AND m.redacted_by IS NULL
                ORDER BY x.position DESC LIMIT $8
            )
            UNION ALL
            (
                SELECT m.event_nid, x.position, x.highlight
                FROM notification_exceptions x JOIN events m ON m.position = x.position
                WHERE x.room_nid = s.room_nid AND x.user_nid = 0 AND x.position < $6 AND x.notify
                    AND (x.highlight OR NOT $7) AND m.redacted_by IS NULL
                    AND s.joined AND NOT s.muted AND x.position > s.since AND m.sender_nid <> $1
                    AND NOT EXISTS (
                        SELECT FROM notification_exceptions own WHERE own.room_nid = s.room_nid
                            AND own.user_nid = $1 AND own.position = x.position
                    )
                ORDER BY x.position DESC LIMIT $8
            )
        ) found
        ORDER BY found.position DESC LIMIT $8
    ) page JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position DESC
"""


@dataclass(frozen=True, slots=True)
class HeardRoom:
    """A room that notifies somebody. since: the position where he came in; ordinary messages after
    it notify him if he is a member and has not silenced the room.
    """

    room_nid: int
    since: int
    is_joined: bool
    is_muted: bool


@dataclass(frozen=True, slots=True)
class NotifiedRow:
    """An event that notified somebody."""

    stored: StoredEvent
    highlight: bool


async def page(
    db: Connection,
    user_nid: int,
    rooms: Sequence[HeardRoom],
    *,
    before: int,
    highlights_only: bool,
    limit: int,
) -> list[NotifiedRow]:
    """The last events that notified a user before a position, the newest first."""
    rows = await db.fetch(
        _PAGE,
        user_nid,
        [room.room_nid for room in rooms],
        [room.since for room in rooms],
        [room.is_joined for room in rooms],
        [room.is_muted for room in rooms],
        before,
        highlights_only,
        limit,
    )
    return [NotifiedRow(stored_event(row), row["highlight"]) for row in rows]


async def rooms_of(db: Connection, user_nid: int, *, limit: int) -> list[tuple[int, str, str]]:
    """Rooms that a user is in or invited to, those that he came to last: number, ID, membership."""
    rows = await db.fetch(
        "SELECT m.room_nid, r.room_id, m.membership"
        " FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership IN ('join', 'invite') AND r.deleted_at IS NULL"
        " ORDER BY m.event_nid DESC LIMIT $2",
        user_nid,
        limit,
    )
    return [(row["room_nid"], row["room_id"], row["membership"]) for row in rows]


async def member_counts(db: Connection, room_nids: Sequence[int]) -> dict[int, int]:
    """How many are in each room."""
    rows = await db.fetch(
        "SELECT room_nid, count(*) AS count FROM memberships"
        " WHERE room_nid = ANY($1::bigint[]) AND membership = 'join' GROUP BY room_nid",
        list(room_nids),
    )
    return {row["room_nid"]: row["count"] for row in rows}
