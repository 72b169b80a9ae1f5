"""What one user missed: events of his rooms while he was in them, and read markers there."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import StoredEvent
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.receipts import JOINED, OF_THE_ROOM, READ_COLUMNS, ReadRow, read_row
from homeserver.storage.relations import WITHDRAWN
from homeserver.storage.timeline import Stay

_EVENTS = f"""
    SELECT {COLUMNS} FROM (
        SELECT position FROM (
            SELECT found.position FROM unnest($1::bigint[]) AS o (room_nid) CROSS JOIN LATERAL (
                SELECT m.position FROM events m
                WHERE m.room_nid = o.room_nid AND m.position > $6 AND m.position <= $7
                ORDER BY m.position LIMIT $8
            ) found
            UNION
            SELECT found.position
            FROM unnest($2::bigint[], $3::integer[], $4::integer[]) AS s (room_nid, since, until)
            CROSS JOIN LATERAL (
                SELECT m.position FROM events m
                WHERE m.room_nid = s.room_nid AND m.position > $6 AND m.position <= $7
                    AND m.state_version >= s.since AND m.state_version < s.until
                ORDER BY m.position LIMIT $8
            ) found
            UNION SELECT unnest($5::bigint[])
        ) reached ORDER BY position LIMIT $8
    ) page JOIN events e USING (position) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position
"""


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """A user's place in a room. position: of the event that says so; None for one that came with
    the room's state.
    """

    room_nid: int
    membership: str
    position: int | None


@dataclass(frozen=True, slots=True)
class Reach:
    """What reached somebody: rooms in which he was all the time, stays in others, and positions of
    his own memberships.
    """

    rooms: Sequence[int]
    stays: Sequence[Stay]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True)
class RelationOf:
    """What an event related to. key: of a reaction."""

    parent_uuid: UUID
    rel_type: str
    key: str | None


async def memberships_since(db: Connection, user_nid: int, position: int) -> list[MembershipRow]:
    """The rooms that a user is in, and those where his membership changed after a position."""
    rows = await db.fetch(
        "SELECT m.room_nid, m.membership, e.position"
        " FROM memberships m JOIN events e USING (event_nid)"
        " WHERE m.user_nid = $1 AND (m.membership = 'join' OR e.position > $2)",
        user_nid,
        position,
    )
    return [MembershipRow(row["room_nid"], row["membership"], row["position"]) for row in rows]


async def events_of(
    db: Connection, reach: Reach, *, after: int, upto: int, limit: int
) -> list[StoredEvent]:
    """The oldest accepted events that reached somebody, after < position <= upto, in order."""
    rows = await db.fetch(
        _EVENTS,
        list(reach.rooms),
        [stay.room_nid for stay in reach.stays],
        [stay.since for stay in reach.stays],
        [stay.until for stay in reach.stays],
        [position for position in reach.positions if after < position <= upto],
        after,
        upto,
        limit,
    )
    return [stored_event(row) for row in rows]


async def reads(
    db: Connection, user_nid: int, *, after: int, upto: int, limit: int
) -> list[ReadRow]:
    """The oldest read markers that moved in the rooms that a user is in, in that order: those of
    the rooms themselves, of private ones and those of threads only his own.
    """
    rows = await db.fetch(
        f"""
        SELECT {READ_COLUMNS} FROM receipts p
            JOIN memberships o ON o.room_nid = p.room_nid AND o.user_nid = $1 {JOINED}
        WHERE p.position > $2 AND p.position <= $3 AND p.kind <> 'delivered'
            AND (p.user_nid = $1 OR p.kind = 'read' AND p.thread = ANY($5::text[]))
            AND o.membership = 'join'
        ORDER BY p.position LIMIT $4
        """,
        user_nid,
        after,
        upto,
        limit,
        list(OF_THE_ROOM),
    )
    return [read_row(row) for row in rows]


async def withdrawn_relation(db: Connection, event_nid: int) -> RelationOf | None:
    """What a redacted event had related to."""
    row = await db.fetchrow(
        "SELECT parent_uuid, rel_type, key FROM relations"
        " WHERE event_nid = $1 AND starts_with(rel_type, $2)",
        event_nid,
        WITHDRAWN,
    )
    if row is None:
        return None
    return RelationOf(row["parent_uuid"], row["rel_type"].removeprefix(WITHDRAWN), row["key"])
