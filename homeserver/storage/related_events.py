"""What relates to an event, and the threads of a room, as one reader sees them.

Source: C-S API v1.19 "Relationships API", threads_list.yaml.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import StoredEvent
from homeserver.storage.aggregations import SEEN, THREAD, Sight, sight_columns
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event

MAX_DEPTH = 3
""" "Homeservers SHOULD traverse at least 3 levels of relationships." """


@dataclass(frozen=True, slots=True)
class Children:
    """Children of an event by kind and type (None: all), and their children to a depth."""

    room_nid: int
    parent: UUID
    rel_type: str | None = None
    event_type: str | None = None
    depth: int = 1


@dataclass(frozen=True, slots=True)
class ThreadRoot:
    """The first message of a thread, and the position of the newest."""

    root: StoredEvent
    latest: int


# What was redacted relates to nothing any more, and a redaction is no relation to clients. "Filters
# … will be applied to all events returned", also to those in between.
_IS_ASKED_FOR = """
    t.room_nid = $7 AND t.rel_type <> 'redaction' AND NOT starts_with(t.rel_type, '-')
    AND ($9::text IS NULL OR t.rel_type = $9) AND ($10::text IS NULL OR c.type = $10)
"""


def _children(order: str) -> str:
    return f"""
        WITH RECURSIVE related (event_nid, uuid, depth) AS (
            SELECT c.event_nid, c.uuid, 1 FROM relations t JOIN events c USING (event_nid)
            WHERE t.parent_uuid = $8 AND {_IS_ASKED_FOR}
            UNION
            SELECT c.event_nid, c.uuid, p.depth + 1
            FROM related p JOIN relations t ON t.parent_uuid = p.uuid
            JOIN events c ON c.event_nid = t.event_nid
            WHERE p.depth < $11 AND {_IS_ASKED_FOR}
        )
        SELECT {COLUMNS} FROM (
            SELECT m.event_nid FROM (SELECT DISTINCT event_nid FROM related) found
            JOIN events m USING (event_nid)
            WHERE {SEEN} AND m.position > $12 AND m.position <= $13
            ORDER BY m.position {order} LIMIT $14
        ) page JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
        ORDER BY e.position {order}
    """


_FORWARDS, _BACKWARDS = _children("ASC"), _children("DESC")

_THREADS = f"""
    SELECT thread.latest, {COLUMNS} FROM (
        SELECT t.parent_uuid, max(m.position) AS latest,
            bool_or(m.sender_nid = $8) AS participated
        FROM relations t JOIN events m USING (event_nid)
        WHERE t.room_nid = $7 AND t.rel_type = '{THREAD}' AND {SEEN}
        GROUP BY t.parent_uuid
    ) thread
    JOIN events e ON e.uuid = thread.parent_uuid JOIN rooms r ON r.room_nid = e.room_nid
    WHERE e.room_nid = $7 AND e.position IS NOT NULL AND thread.latest <= $9
        AND (NOT $10::boolean OR thread.participated OR e.sender_nid = $8)
    ORDER BY thread.latest DESC LIMIT $11
"""


async def children(
    db: Connection,
    sight: Sight,
    wanted: Children,
    *,
    after: int,
    upto: int,
    forwards: bool,
    limit: int,
) -> list[StoredEvent]:
    """Related events with after < position <= upto: the first forwards, or the last backwards, in
    that order."""
    rows = await db.fetch(
        _FORWARDS if forwards else _BACKWARDS,
        *sight_columns(sight),
        wanted.room_nid,
        wanted.parent,
        wanted.rel_type,
        wanted.event_type,
        wanted.depth,
        after,
        upto,
        limit,
    )
    return [stored_event(row) for row in rows]


async def threads(
    db: Connection,
    sight: Sight,
    room_nid: int,
    *,
    upto: int,
    participated: bool,
    limit: int,
) -> Sequence[ThreadRoot]:
    """Roots of threads whose newest message has a position up to this one, the newest first.

    participated: only of those in which the reader wrote. Whether he may see the roots is another
    question.
    """
    rows = await db.fetch(
        _THREADS, *sight_columns(sight), room_nid, sight.reader_nid, upto, participated, limit
    )
    return [ThreadRoot(stored_event(row), row["latest"]) for row in rows]
