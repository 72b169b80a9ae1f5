"""Lists of rooms and their members for one reader: a query each, however many rooms there are.

Spans say what the reader may see. A message on a fork of the state would need a look at the
fork's own state, so it is never shown as the last one of a room; pages of the room have it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.receipts import LAST_MESSAGE
from homeserver.storage.rooms import room_record
from homeserver.storage.timeline import Span, span_columns

_ROOM = ", ".join(
    f"r.{name}"
    for name in (
        "room_nid",
        "room_id",
        "uuid",
        "version",
        "kind",
        "published",
        "created_at",
        "deleted_at",
    )
)
_MEMBER_COUNT = """
    (SELECT count(*) FROM memberships c WHERE c.room_nid = r.room_nid AND c.membership = 'join')
        AS member_count
"""


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """A room that somebody is in. position: of the event that says so.

    read_position, last_read: how far he has read, None if nothing.
    """

    room: RoomRecord
    position: int | None
    member_count: int
    read_position: int | None
    last_read: UUID | None


@dataclass(frozen=True, slots=True)
class InvitedRow:
    """A room that somebody is invited to. inviter_nid, at: of the invitation; milliseconds."""

    room: RoomRecord
    member_count: int
    inviter_nid: int
    at: int


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A room of the directory. membership: the reader's, None if he never had one."""

    room: RoomRecord
    member_count: int
    membership: str | None


async def joined(
    db: Connection, user_nid: int, *, limit: int, only: int | None = None
) -> list[JoinedRow]:
    """The rooms that a user is in, those that he came to last first. only: this room alone."""
    rows = await db.fetch(
        f"""
        SELECT {_ROOM}, {_MEMBER_COUNT}, e.position, p.event_position AS read_position,
            (SELECT {LAST_MESSAGE} FROM events e WHERE e.event_nid = p.event_nid) AS last_read
        FROM memberships m JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
        LEFT JOIN LATERAL (
            SELECT c.event_position, c.event_nid FROM receipts c
            WHERE c.room_nid = m.room_nid AND c.user_nid = $1
                AND c.kind IN ('read', 'private') AND c.thread IN ('', 'main')
            ORDER BY c.event_position DESC LIMIT 1
        ) p ON true
        WHERE m.user_nid = $1 AND m.membership = 'join' AND r.deleted_at IS NULL
            AND ($3::bigint IS NULL OR m.room_nid = $3)
        ORDER BY e.position DESC NULLS LAST LIMIT $2
        """,
        user_nid,
        limit,
        only,
    )
    return [
        JoinedRow(
            room=room_record(row),
            position=row["position"],
            member_count=row["member_count"],
            read_position=row["read_position"],
            last_read=row["last_read"],
        )
        for row in rows
    ]


async def last_messages(db: Connection, spans: Sequence[Span]) -> dict[int, StoredEvent]:
    """The newest message of each room's spans."""
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS} FROM (
            SELECT DISTINCT ON (s.room_nid) s.room_nid, found.event_nid
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
                AS s (room_nid, after, upto, since, until)
            CROSS JOIN LATERAL (
                SELECT m.event_nid, m.position FROM events m
                WHERE m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
                    AND m.state_version >= s.since AND m.state_version < s.until
                    AND m.is_message AND m.redacted_by IS NULL AND m.position IS NOT NULL
                    AND m.fork_nid IS NULL
                ORDER BY m.position DESC LIMIT 1
            ) found
            ORDER BY s.room_nid, found.position DESC
        ) newest JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
        """,
        *span_columns(spans),
    )
    return {row["room_nid"]: stored_event(row) for row in rows}


async def others_of(db: Connection, user_nid: int, room_nids: Collection[int]) -> Mapping[int, int]:
    """Another person of each room: somebody who is there, else is invited, else was there."""
    rows = await db.fetch(
        """
        SELECT o.room_nid, found.user_nid FROM unnest($2::bigint[]) AS o (room_nid)
        CROSS JOIN LATERAL (
            SELECT m.user_nid FROM memberships m
            WHERE m.room_nid = o.room_nid AND m.user_nid <> $1
            ORDER BY m.membership = 'join' DESC, m.membership = 'invite' DESC, m.user_nid LIMIT 1
        ) found
        """,
        user_nid,
        list(room_nids),
    )
    return {row["room_nid"]: row["user_nid"] for row in rows}


async def invited(db: Connection, user_nid: int, *, limit: int) -> list[InvitedRow]:
    """The rooms that a user is invited to, the newest invitation first."""
    rows = await db.fetch(
        f"""
        SELECT {_ROOM}, {_MEMBER_COUNT}, e.sender_nid, e.ts
        FROM memberships m JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
        WHERE m.user_nid = $1 AND m.membership = 'invite' AND r.deleted_at IS NULL
        ORDER BY e.event_nid DESC LIMIT $2
        """,
        user_nid,
        limit,
    )
    return [
        InvitedRow(room_record(row), row["member_count"], row["sender_nid"], row["ts"])
        for row in rows
    ]


async def published(
    db: Connection, reader_nid: int, *, after: int, limit: int
) -> list[PublishedRow]:
    """Public rooms in the order of their numbers, after one of them."""
    rows = await db.fetch(
        f"""
        SELECT {_ROOM}, {_MEMBER_COUNT},
            (SELECT m.membership FROM memberships m
             WHERE m.room_nid = r.room_nid AND m.user_nid = $1) AS membership
        FROM rooms r WHERE r.published AND r.deleted_at IS NULL AND r.room_nid > $2
        ORDER BY r.room_nid LIMIT $3
        """,
        reader_nid,
        after,
        limit,
    )
    return [PublishedRow(room_record(row), row["member_count"], row["membership"]) for row in rows]


async def members(db: Connection, room_nid: int, *, after: int = 0, limit: int) -> list[int]:
    """Numbers of a room's members, in order, after one of them."""
    rows = await db.fetch(
        "SELECT user_nid FROM memberships WHERE room_nid = $1 AND membership = 'join'"
        " AND user_nid > $2 ORDER BY user_nid LIMIT $3",
        room_nid,
        after,
        limit,
    )
    return [row["user_nid"] for row in rows]


async def member_count(db: Connection, room_nid: int) -> int:
    count: int = await db.fetchval(
        "SELECT count(*) FROM memberships WHERE room_nid = $1 AND membership = 'join'", room_nid
    )
    return count


async def membership(db: Connection, room_nid: int, user_nid: int) -> str | None:
    """A user's membership; None if he never had one."""
    found: str | None = await db.fetchval(
        "SELECT membership FROM memberships WHERE room_nid = $1 AND user_nid = $2",
        room_nid,
        user_nid,
    )
    return found
