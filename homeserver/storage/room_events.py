"""Events of one room in the order of the stream: pages of them, and places in it.

Positions of history that was fetched later run downwards below 0, so the order of positions is the
order of the room, oldest first, everywhere.
"""

from collections.abc import Collection, Sequence

from homeserver.event_filter import EventFilter, like_pattern
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.storage.aggregations import (
    EDIT,
    REFERENCE,
    SEEN,
    THREAD,
    Sight,
    sight_columns,
)
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.timeline import Span, span_columns

PageRow = tuple[StoredEvent, bool]
"""An event, and whether something hangs on it that is aggregated, whoever may see it."""

LOOKED_THROUGH = 20_000
"""Events that one page with a filter looks through at most."""

_IS_SENT_BY_IGNORED = """
    m.state_key IS NULL
    AND m.sender_nid = ANY(ARRAY(SELECT user_nid FROM users WHERE user_id = ANY($9::text[])))
"""
# Raw is canonical JSON, where a key is written in one way; whether `url` is a key of the content
# is then asked of the event.
_PASSES = f"""
    NOT ({_IS_SENT_BY_IGNORED})
    AND ($10::text[] IS NULL OR m.type LIKE ANY($10))
    AND NOT m.type LIKE ANY($11::text[])
    AND ($12::text[] IS NULL
        OR m.sender_nid = ANY(ARRAY(SELECT user_nid FROM users WHERE user_id = ANY($12))))
    AND m.sender_nid <> ALL(ARRAY(SELECT user_nid FROM users WHERE user_id = ANY($13::text[])))
    AND ($14::boolean IS NOT TRUE OR position('"url":'::bytea IN m.raw) > 0)
    AND (NOT $15::boolean OR EXISTS (
        SELECT FROM relations t
        WHERE t.parent_uuid = m.uuid AND t.room_nid = m.room_nid
            AND t.rel_type <> 'redaction' AND NOT starts_with(t.rel_type, '-')
            AND ($16::text[] IS NULL OR t.rel_type = ANY($16))
            AND ($17::text[] IS NULL
                OR t.sender_nid = ANY(ARRAY(SELECT user_nid FROM users WHERE user_id = ANY($17))))
    ))
"""


def _page(order: str, passes: str) -> str:
    return f"""
        SELECT {COLUMNS}, EXISTS (
            SELECT FROM relations c
            WHERE c.parent_uuid = e.uuid AND c.rel_type IN ('{EDIT}', '{THREAD}', '{REFERENCE}')
        ) AS is_parent
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
            AS s (room_nid, after, upto, since, until)
        CROSS JOIN LATERAL (
            SELECT m.* FROM events m
            WHERE m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
                AND m.state_version >= s.since AND m.state_version < s.until
                AND m.position > $6 AND m.position <= $7 AND {passes}
            ORDER BY m.position {order} LIMIT $8
        ) e
        JOIN rooms r ON r.room_nid = e.room_nid
        ORDER BY e.position {order} LIMIT $8
    """


_FORWARDS, _BACKWARDS = _page("ASC", "true"), _page("DESC", "true")
_FILTERED_FORWARDS, _FILTERED_BACKWARDS = _page("ASC", _PASSES), _page("DESC", _PASSES)

# The smallest position from which on the next event is not older than a time, where events stand
# in the order of their times: a search by halves.
_PLACE_OF_TIME = """
    WITH RECURSIVE search (low, high) AS (
        SELECT (SELECT position FROM events WHERE room_nid = $1 AND position IS NOT NULL
                ORDER BY position LIMIT 1),
            (SELECT position + 1 FROM events WHERE room_nid = $1 AND position IS NOT NULL
                ORDER BY position DESC LIMIT 1)
        UNION ALL
        SELECT CASE WHEN probe.is_older THEN middle.place + 1 ELSE low END,
            CASE WHEN probe.is_older THEN high ELSE middle.place END
        FROM search
        CROSS JOIN LATERAL (SELECT low + (high - low) / 2 AS place) middle
        CROSS JOIN LATERAL (
            SELECT ts < $2 AS is_older FROM events
            WHERE room_nid = $1 AND position >= middle.place ORDER BY position LIMIT 1
        ) probe
        WHERE low < high
    )
    SELECT low FROM search WHERE low >= high
"""


async def page(
    db: Connection,
    spans: Sequence[Span],
    *,
    after: int,
    upto: int,
    forwards: bool,
    limit: int,
) -> list[PageRow]:
    """Events of the spans with after < position <= upto: the first `limit` of them forwards, or
    the last backwards, in that order."""
    statement = _FORWARDS if forwards else _BACKWARDS
    rows = await db.fetch(statement, *span_columns(spans), after, upto, limit)
    return [(stored_event(row), row["is_parent"]) for row in rows]


async def filtered_page(
    db: Connection,
    spans: Sequence[Span],
    *,
    after: int,
    upto: int,
    forwards: bool,
    limit: int,
    only: EventFilter,
    ignored: Collection[UserID],
) -> list[PageRow]:
    """The same, of those that a filter lets through; whether `contains_url` is right, `matches`
    must be asked. ignored: whose messages are left out, but not their state events.
    """
    rows = await db.fetch(
        _FILTERED_FORWARDS if forwards else _FILTERED_BACKWARDS,
        *span_columns(spans),
        after,
        upto,
        limit,
        list(ignored),
        None if only.types is None else list(map(like_pattern, only.types)),
        list(map(like_pattern, only.not_types)),
        None if only.senders is None else list(only.senders),
        list(only.not_senders),
        only.contains_url,
        only.is_by_relations,
        None if only.related_by_rel_types is None else list(only.related_by_rel_types),
        None if only.related_by_senders is None else list(only.related_by_senders),
    )
    return [(stored_event(row), row["is_parent"]) for row in rows]


async def at_positions(
    db: Connection, room_nid: int, positions: Collection[int]
) -> list[StoredEvent]:
    """In no particular order."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM events e JOIN rooms r USING (room_nid)"
        " WHERE e.position = ANY($1::bigint[]) AND e.room_nid = $2",
        list(positions),
        room_nid,
    )
    return [stored_event(row) for row in rows]


async def reach(
    db: Connection, room_nid: int, *, after: int, upto: int, forwards: bool
) -> int | None:
    """How far LOOKED_THROUGH events reach from one end of a range; None: they reach through it."""
    order, farthest = ("ASC", "max") if forwards else ("DESC", "min")
    row = await db.fetchrow(
        f"SELECT count(*) AS count, {farthest}(position) AS position FROM ("
        " SELECT position FROM events WHERE room_nid = $1 AND position > $2 AND position <= $3"
        f" ORDER BY position {order} LIMIT {LOOKED_THROUGH}) looked_through",
        room_nid,
        after,
        upto,
    )
    assert row is not None
    return row["position"] if row["count"] == LOOKED_THROUGH else None


async def place_of_time(db: Connection, room_nid: int, ts: int) -> int | None:
    """Where the room comes to a time (milliseconds): events from this position on are not older.

    Only nearly so where the events of a room are not in the order of their times. None: there are
    no events.
    """
    place: int | None = await db.fetchval(_PLACE_OF_TIME, room_nid, ts)
    return place


_AROUND = f"""
    SELECT t.position AS middle, {COLUMNS}
    FROM unnest($7::bigint[], $8::bigint[]) AS t (room_nid, position) CROSS JOIN LATERAL (
        (SELECT m.event_nid FROM events m
            WHERE m.room_nid = t.room_nid AND m.position < t.position AND {SEEN}
            ORDER BY m.position DESC LIMIT $9)
        UNION ALL
        (SELECT m.event_nid FROM events m
            WHERE m.room_nid = t.room_nid AND m.position > t.position AND {SEEN}
            ORDER BY m.position LIMIT $10)
    ) beside
    JOIN events e ON e.event_nid = beside.event_nid JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position
"""


async def around(
    db: Connection, sight: Sight, middles: Sequence[StoredEvent], *, before: int, after: int
) -> dict[int, list[StoredEvent]]:
    """What stands right before and right after each of some events, by its position, in order."""
    rows = await db.fetch(
        _AROUND,
        *sight_columns(sight),
        [each.facts.room_nid for each in middles],
        [each.facts.position for each in middles],
        before,
        after,
    )
    found: dict[int, list[StoredEvent]] = {}
    for row in rows:
        found.setdefault(row["middle"], []).append(stored_event(row))
    return found
