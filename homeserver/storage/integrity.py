"""What must hold between the tables, each as a query for the rows that break it.

The tables that every event writes have no foreign keys (see 0001_foundation.sql); these queries
check what they would, and what follows from how events are committed. Each yields sentences in one
text column, in no more memory than Postgres gives a query.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import EventID, RoomID, ServerName, UserID, native_uuid
from homeserver.storage.database import Connection

PREFETCHED = 200
"""Rows that a cursor has in memory: events have up to 64 KiB each."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """name: what holds, as a sentence. broken: a query for what breaks it."""

    name: str
    broken: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored, with nothing made of it."""

    event_nid: int
    room_nid: int
    room_id: RoomID
    version: str
    event_id: EventID
    uuid: UUID
    sender: UserID | None
    type: str
    state_key: str | None
    depth: int
    ts: int
    position: int | None
    is_accepted: bool
    is_redacted: bool
    is_of_deleted: bool
    raw: bytes


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """A membership beside the entry of the current state; either may be absent."""

    room_nid: int
    user_id: str
    event_nid: int | None
    membership: str | None
    state_nid: int | None
    version: str
    raw: bytes | None


# Deleted rooms are purged some rows at a time, so what is left of one need not fit together.
_DELETED = "SELECT room_nid FROM rooms WHERE deleted_at IS NOT NULL"

# Rooms in which events of other servers stand: their histories may fork, others' never do.
_FORKING = """
    SELECT DISTINCT e.room_nid FROM events e JOIN users u ON u.user_nid = e.sender_nid
    WHERE substr(u.user_id, strpos(u.user_id, ':') + 1) <> current_setting('foyer.server_name')
    UNION SELECT room_nid FROM rooms WHERE deleted_at IS NOT NULL
"""

CONSTRAINTS = (
    Constraint(
        "accepted events have a position, and only they",
        """
        SELECT format('%s: status %s, position %s', event_id, status, position) FROM events
        WHERE (status = 0) <> (position IS NOT NULL)
        """,
    ),
    Constraint(
        "events in the graph have a state version, outliers have none",
        """
        SELECT format('%s: status %s, state version %s', event_id, status, state_version)
        FROM events WHERE (status IN (3, 4)) <> (state_version IS NULL)
        """,
    ),
    Constraint(
        "positions run without gaps from 1 to the newest, but for those of purged rooms",
        """
        SELECT format('%s positions up to %s and %s purged, the stream is at %s', held.count,
            held.last, p.purged, p.position)
        FROM stream_positions p, (
            SELECT count(*), coalesce(max(position), 0) AS last FROM events WHERE position > 0
        ) held
        WHERE p.stream = 'events'
            AND (held.count + p.purged <> p.position OR held.last > p.position)
        """,
    ),
    Constraint(
        "positions of backfilled events run without gaps from -1 downwards",
        """
        SELECT format('%s positions down to -%s and %s purged, the stream is at %s', held.count,
            held.last, p.purged, p.position)
        FROM stream_positions p, (
            SELECT count(*), coalesce(-min(position), 0) AS last FROM events WHERE position <= 0
        ) held
        WHERE p.stream = 'backfill'
            AND (held.count + p.purged <> p.position OR held.last > p.position)
        """,
    ),
    Constraint(
        "every room has a head, and every head a room",
        """
        SELECT format('room number %s', room_nid) FROM rooms FULL JOIN room_heads h USING (room_nid)
        WHERE room_id IS NULL OR h.head_version IS NULL
        """,
    ),
    Constraint(
        "forward extremities are accepted events of their room",
        f"""
        SELECT format('event number %s of room number %s', nid, h.room_nid)
        FROM room_heads h CROSS JOIN unnest(h.extremities) AS nid
        LEFT JOIN events e ON e.event_nid = nid
        WHERE (e.room_nid = h.room_nid AND e.status = 0) IS NOT TRUE
            AND h.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "a head is as deep as the deepest event",
        f"""
        SELECT format('room number %s: %s, not %s', h.room_nid, h.depth, coalesce(e.depth, 0))
        FROM room_heads h LEFT JOIN (
            SELECT room_nid, max(depth) AS depth FROM events WHERE position > 0 GROUP BY room_nid
        ) e USING (room_nid)
        WHERE h.depth <> coalesce(e.depth, 0) AND h.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "events belong to rooms, senders and redactions that exist",
        f"""
        SELECT format('%s', e.event_id) FROM events e LEFT JOIN rooms r USING (room_nid)
        LEFT JOIN users u ON u.user_nid = e.sender_nid
        LEFT JOIN events by ON by.event_nid = e.redacted_by
        WHERE r.room_nid IS NULL OR u.user_nid IS NULL OR e.redacted_by IS NOT NULL
            AND (by.type = 'm.room.redaction' AND by.room_nid = e.room_nid) IS NOT TRUE
            AND e.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "each entry of a room's state has one value at a time",
        """
        SELECT format('%s %s of room number %s at version %s', type, state_key, room_nid, since)
        FROM (
            SELECT type, state_key, room_nid, since_version AS since, until_version AS until,
                lead(since_version) OVER w AS next
            FROM room_state
            WINDOW w AS (PARTITION BY room_nid, type, state_key ORDER BY since_version)
        ) s
        WHERE until <= since OR next < until OR (until IS NULL AND next IS NOT NULL)
        """,
    ),
    Constraint(
        "entries vanish only where histories fork",
        f"""
        SELECT format('%s %s of room number %s after version %s', type, state_key, room_nid, since)
        FROM (
            SELECT type, state_key, room_nid, since_version AS since, until_version AS until,
                lead(since_version) OVER w AS next
            FROM room_state
            WINDOW w AS (PARTITION BY room_nid, type, state_key ORDER BY since_version)
        ) s
        WHERE until IS NOT NULL AND next IS DISTINCT FROM until
            AND room_nid NOT IN ({_FORKING})
        """,
    ),
    Constraint(
        "state versions are those of the head, each with a change",
        f"""
        SELECT format('room number %s: %s versions up to %s, the head is at %s', h.room_nid,
            coalesce(c.count, 0), coalesce(c.last, 0), h.state_version)
        FROM room_heads h LEFT JOIN (
            SELECT room_nid, count(DISTINCT version), max(version) AS last, min(version) AS first
            FROM (
                SELECT room_nid, since_version AS version FROM room_state
                UNION ALL
                SELECT room_nid, until_version FROM room_state WHERE until_version IS NOT NULL
            ) v GROUP BY room_nid
        ) c USING (room_nid)
        WHERE (coalesce(c.count, 0), coalesce(c.last, 0), coalesce(c.first, 1) >= 1)
            <> (h.state_version, h.state_version, true) AND h.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "the state consists of state events of the room that were not rejected",
        f"""
        SELECT format('%s %s of room number %s at version %s', s.type, s.state_key, s.room_nid,
            s.since_version)
        FROM room_state s LEFT JOIN events e USING (event_nid)
        WHERE (e.room_nid = s.room_nid AND e.type = s.type AND e.state_key = s.state_key
            AND e.status NOT IN (2, 4)) IS NOT TRUE AND s.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "no event's state is newer than the room's",
        """
        SELECT format('%s: version %s, the head is at %s', e.event_id, e.state_version,
            h.state_version)
        FROM events e JOIN room_heads h USING (room_nid) WHERE e.state_version > h.state_version
        """,
    ),
    Constraint(
        "where nothing forks, each event's state is that after the event before it",
        f"""
        SELECT format('%s: version %s, not %s', event_id, state_version, expected) FROM (
            SELECT event_id, state_version, fork_nid,
                lag(state_version + (state_key IS NOT NULL)::integer, 1, 0) OVER w AS expected
            FROM events WHERE position > 0 AND room_nid NOT IN ({_FORKING})
            WINDOW w AS (PARTITION BY room_nid ORDER BY position)
        ) e
        WHERE state_version <> expected OR fork_nid IS NOT NULL
        """,
    ),
    Constraint(
        "where nothing forks, each state event changes the state",
        f"""
        SELECT format('%s', e.event_id) FROM events e LEFT JOIN room_state s
            ON s.room_nid = e.room_nid AND s.type = e.type AND s.state_key = e.state_key
            AND s.since_version = e.state_version + 1 AND s.event_nid = e.event_nid
        WHERE e.position > 0 AND e.state_key IS NOT NULL AND s.room_nid IS NULL
            AND e.room_nid NOT IN ({_FORKING})
        """,
    ),
    Constraint(
        "forks belong to a version of their room and consist of its events",
        f"""
        SELECT format('%s: fork number %s', e.event_id, e.fork_nid)
        FROM events e LEFT JOIN state_forks f USING (fork_nid)
        WHERE e.fork_nid IS NOT NULL
            AND (f.room_nid = e.room_nid AND f.base_version = e.state_version) IS NOT TRUE
            AND e.room_nid NOT IN ({_DELETED})
        UNION ALL
        SELECT format('fork number %s: %s %s', f.fork_nid, f.type, f.state_key)
        FROM state_fork_entries f JOIN state_forks USING (fork_nid)
        LEFT JOIN events e USING (event_nid)
        WHERE f.event_nid IS NOT NULL AND (e.room_nid = state_forks.room_nid AND e.type = f.type
            AND e.state_key = f.state_key) IS NOT TRUE
            AND state_forks.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "what counts as missing is not here",
        """
        SELECT format('%s', e.event_id) FROM missing_events m
        JOIN events e ON e.event_id = m.event_id AND e.room_nid = m.room_nid
        WHERE e.state_version IS NOT NULL
        """,
    ),
    Constraint(
        "relations belong to events, and those of redacted events are withdrawn",
        """
        SELECT format('event number %s', r.event_nid)
        FROM relations r LEFT JOIN events e USING (event_nid)
        WHERE (e.room_nid = r.room_nid AND e.sender_nid = r.sender_nid
            AND (e.redacted_by IS NULL) <> starts_with(r.rel_type, '-')) IS NOT TRUE
        """,
    ),
    Constraint(
        "receipts stand at events of their room, and within their stream",
        f"""
        SELECT format('user number %s in room number %s: %s', p.user_nid, p.room_nid, p.kind)
        FROM receipts p LEFT JOIN events e USING (event_nid)
        WHERE (e.room_nid = p.room_nid AND e.position = p.event_position AND p.position <=
            (SELECT position FROM stream_positions WHERE stream = 'receipts')) IS NOT TRUE
            AND p.room_nid NOT IN ({_DELETED})
        """,
    ),
    Constraint(
        "state events have their auth events, which are state events",
        f"""
        SELECT format('%s', e.event_id) FROM events e LEFT JOIN event_auth a USING (event_nid)
        WHERE (e.state_key IS NULL) <> (a.event_nid IS NULL)
        UNION ALL
        SELECT format('event number %s: auth event number %s', a.event_nid, nid)
        FROM event_auth a JOIN events own USING (event_nid) CROSS JOIN unnest(a.auth_nids) AS nid
        LEFT JOIN events e ON e.event_nid = nid
        WHERE e.state_key IS NULL AND own.room_nid NOT IN ({_DELETED})
        UNION ALL
        SELECT format('event number %s, which is not here', a.event_nid)
        FROM event_auth a LEFT JOIN events e USING (event_nid) WHERE e.event_nid IS NULL
        """,
    ),
)


async def tell_server_name(db: Connection, server_name: ServerName) -> None:
    """Whose events count as made here, for the rest of the transaction."""
    await db.execute("SELECT set_config('foyer.server_name', $1, true)", server_name)


async def offences(db: Connection, constraint: Constraint) -> AsyncIterator[str]:
    """What breaks a constraint, a sentence each."""
    async for row in db.cursor(constraint.broken):
        yield row[0]


async def all_events(db: Connection) -> AsyncIterator[EventRow]:
    """Every event, in the order of their numbers."""
    async for row in db.cursor(f"{_EVENTS} ORDER BY e.event_nid", prefetch=PREFETCHED):
        yield _event_row(row)


async def accepted_events(db: Connection) -> AsyncIterator[EventRow]:
    """Accepted events that moved a head, room by room, in the order of their positions."""
    query = (
        f"{_EVENTS} WHERE e.position > 0 AND r.deleted_at IS NULL ORDER BY e.room_nid, e.position"
    )
    async for row in db.cursor(query, prefetch=PREFETCHED):
        yield _event_row(row)


async def members(db: Connection) -> AsyncIterator[MembershipRow]:
    """Memberships beside the membership events of the current state."""
    query = f"""
        SELECT coalesce(m.room_nid, s.room_nid) AS room_nid,
            coalesce(m.user_id, s.state_key) AS user_id, m.event_nid, m.membership,
            s.event_nid AS state_nid, e.raw, r.version
        FROM (
            SELECT room_nid, state_key, event_nid FROM room_state
            WHERE type = 'm.room.member' AND until_version IS NULL
        ) s FULL JOIN (
            SELECT room_nid, event_nid, membership, user_id
            FROM memberships LEFT JOIN users USING (user_nid)
        ) m ON m.room_nid = s.room_nid AND m.user_id = s.state_key
        LEFT JOIN events e ON e.event_nid = s.event_nid
        LEFT JOIN rooms r ON r.room_nid = coalesce(m.room_nid, s.room_nid)
        WHERE coalesce(m.room_nid, s.room_nid) NOT IN ({_DELETED})
    """
    async for row in db.cursor(query, prefetch=PREFETCHED):
        yield MembershipRow(**dict(row))


async def extremities(db: Connection) -> AsyncIterator[tuple[int, frozenset[EventID]]]:
    """Rooms by number, in order, and the IDs of their forward extremities."""
    query = f"""
        SELECT h.room_nid, array_agg(e.event_id) FILTER (WHERE e.event_id IS NOT NULL) AS ids
        FROM room_heads h LEFT JOIN LATERAL unnest(h.extremities) AS nid ON true
        LEFT JOIN events e ON e.event_nid = nid
        WHERE h.room_nid NOT IN ({_DELETED})
        GROUP BY h.room_nid ORDER BY h.room_nid
    """
    async for row in db.cursor(query):
        yield row["room_nid"], frozenset(map(EventID, row["ids"] or ()))


async def lost(db: Connection, named: Collection[tuple[int, EventID]]) -> list[EventID]:
    """Which of the events (with their room's number) neither have a place in the room's graph nor
    are known to be missing in it."""
    rows = await db.fetch(
        """
        SELECT w.event_id FROM unnest($1::bigint[], $2::text[], $3::uuid[])
            AS w (room_nid, event_id, uuid)
        WHERE NOT EXISTS (
            SELECT FROM events e WHERE e.uuid = w.uuid AND e.room_nid = w.room_nid
                AND e.state_version IS NOT NULL
        ) AND NOT EXISTS (
            SELECT FROM missing_events m WHERE m.room_nid = w.room_nid AND m.event_id = w.event_id
        )
        """,
        [room_nid for room_nid, _ in named],
        [event_id for _, event_id in named],
        [native_uuid(event_id) for _, event_id in named],
    )
    return [EventID(row["event_id"]) for row in rows]


async def previous_of_others(db: Connection, event_ids: Collection[EventID]) -> list[bytes]:
    """The bytes of those of the events that have a place in the graph and were not accepted."""
    rows = await db.fetch(
        "SELECT raw FROM events WHERE uuid = ANY($1) AND status IN (1, 2)",
        list(map(native_uuid, event_ids)),
    )
    return [row["raw"] for row in rows]


_EVENTS = """
    SELECT e.event_nid, e.room_nid, r.room_id, r.version, e.event_id, e.uuid, u.user_id AS sender,
        e.type, e.state_key, e.depth, e.ts, e.position, e.status = 0 AS is_accepted,
        e.redacted_by IS NOT NULL AS is_redacted, r.deleted_at IS NOT NULL AS is_of_deleted, e.raw
    FROM events e JOIN rooms r USING (room_nid) LEFT JOIN users u ON u.user_nid = e.sender_nid
"""


def _event_row(row: Record) -> EventRow:
    return EventRow(**dict(row))
