"""What hangs on events, as one reader sees it: newest edits, threads, references.

Source: C-S API v1.19 "Aggregations of child events". Children that the reader may not see, or that
somebody wrote whom he ignores, do not count.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, UserID
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.timeline import EDITS_CONSIDERED, MAX_VERSION, Span, span_columns

EDIT = "m.replace"
THREAD = "m.thread"
REFERENCE = "m.reference"
AGGREGATED = (EDIT, THREAD, REFERENCE)

MAX_REFERENCES = 100
"""References to one event that are told, the first of them; `relations` has all."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody sees. spans: of all rooms in question. ignored: whose messages he does not."""

    reader_nid: int
    spans: Sequence[Span]
    ignored: Collection[UserID] = ()


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """participated: the reader wrote one of its messages."""

    latest: StoredEvent
    count: int
    participated: bool


# A message on a fork may be seen by other rules than its base version's, so it counts only where
# all versions can be seen.
SEEN = f"""
    m.position IS NOT NULL
    AND EXISTS (
        SELECT FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
            AS s (room_nid, after, upto, since, until)
        WHERE s.room_nid = m.room_nid AND m.position > s.after AND m.position <= s.upto
            AND m.state_version >= s.since AND m.state_version < s.until
            AND (m.fork_nid IS NULL OR s.since = 0 AND s.until = {MAX_VERSION})
    )
    AND m.sender_nid <> ALL(ARRAY(SELECT user_nid FROM users WHERE user_id = ANY($6::text[])))
"""
_EDITS = f"""
    SELECT o.uuid AS edited, {COLUMNS}
    FROM unnest($7::uuid[], $8::bigint[], $9::bigint[], $10::text[])
        AS o (uuid, room_nid, sender_nid, type)
    CROSS JOIN LATERAL (
        SELECT m.event_nid FROM (
            SELECT event_nid FROM relations
            WHERE parent_uuid = o.uuid AND rel_type = '{EDIT}'
                AND sender_nid = o.sender_nid AND room_nid = o.room_nid
            ORDER BY event_nid DESC LIMIT {EDITS_CONSIDERED}
        ) latest JOIN events m USING (event_nid)
        WHERE m.type = o.type AND m.state_key IS NULL AND {SEEN}
            AND (m.type = 'm.room.encrypted' OR position('"m.new_content":{{'::bytea IN m.raw) > 0)
        ORDER BY m.ts DESC, m.event_id DESC LIMIT 1
    ) newest
    JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
"""
_THREADS = f"""
    SELECT o.uuid AS root, thread.count, thread.participated, {COLUMNS}
    FROM unnest($7::uuid[], $8::bigint[]) AS o (uuid, room_nid) CROSS JOIN LATERAL (
        SELECT count(*) AS count, bool_or(m.sender_nid = $9) AS participated,
            max(m.position) AS latest
        FROM relations t JOIN events m USING (event_nid)
        WHERE t.parent_uuid = o.uuid AND t.rel_type = '{THREAD}' AND t.room_nid = o.room_nid
            AND {SEEN}
    ) thread
    JOIN events e ON e.position = thread.latest JOIN rooms r ON r.room_nid = e.room_nid
"""
_REFERENCES = f"""
    SELECT o.uuid AS parent, found.event_id
    FROM unnest($7::uuid[], $8::bigint[]) AS o (uuid, room_nid) CROSS JOIN LATERAL (
        SELECT m.event_id, m.position FROM relations t JOIN events m USING (event_nid)
        WHERE t.parent_uuid = o.uuid AND t.rel_type = '{REFERENCE}' AND t.room_nid = o.room_nid
            AND {SEEN}
        ORDER BY m.position LIMIT {MAX_REFERENCES}
    ) found
    ORDER BY found.position
"""


async def kinds(db: Connection, events: Sequence[StoredEvent]) -> dict[str, set[UUID]]:
    """Which of the events have something of each kind hanging on them, whoever may see it."""
    rows = await db.fetch(
        "SELECT DISTINCT parent_uuid, rel_type FROM relations"
        " WHERE parent_uuid = ANY($1::uuid[]) AND rel_type = ANY($2::text[])",
        [stored.facts.uuid for stored in events],
        list(AGGREGATED),
    )
    found: dict[str, set[UUID]] = {kind: set() for kind in AGGREGATED}
    for row in rows:
        found[row["rel_type"]].add(row["parent_uuid"])
    return found


async def edits(
    db: Connection, sight: Sight, events: Sequence[StoredEvent]
) -> dict[UUID, StoredEvent]:
    """The most recent valid edit of each event, also of an encrypted one.

    Source: C-S API v1.19 "Validity of replacement events", "Server-side aggregation of m.replace
    relationships".
    """
    rows = await db.fetch(
        _EDITS,
        *sight_columns(sight),
        [stored.facts.uuid for stored in events],
        [stored.facts.room_nid for stored in events],
        [stored.facts.sender_nid for stored in events],
        [stored.event.type for stored in events],
    )
    return {row["edited"]: stored_event(row) for row in rows}


async def threads(
    db: Connection, sight: Sight, roots: Sequence[StoredEvent]
) -> dict[UUID, ThreadRow]:
    """The thread of each root that has one."""
    rows = await db.fetch(
        _THREADS,
        *sight_columns(sight),
        [stored.facts.uuid for stored in roots],
        [stored.facts.room_nid for stored in roots],
        sight.reader_nid,
    )
    return {
        row["root"]: ThreadRow(stored_event(row), row["count"], bool(row["participated"]))
        for row in rows
    }


async def references(
    db: Connection, sight: Sight, events: Sequence[StoredEvent]
) -> dict[UUID, list[EventID]]:
    """What refers to each event, the oldest first."""
    rows = await db.fetch(
        _REFERENCES,
        *sight_columns(sight),
        [stored.facts.uuid for stored in events],
        [stored.facts.room_nid for stored in events],
    )
    found: dict[UUID, list[EventID]] = {}
    for row in rows:
        found.setdefault(row["parent"], []).append(EventID(row["event_id"]))
    return found


def sight_columns(sight: Sight) -> tuple[list[int] | list[UserID], ...]:
    """The first six parameters of a statement with SEEN."""
    return (*span_columns(sight.spans), list(sight.ignored))
