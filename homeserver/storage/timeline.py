"""Messages of rooms: pages of them, and what hangs on each (edits, reactions, threads, receipts).

Everything is asked for many messages at once, so that the number of queries does not depend on
how many there are.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.messages import thread_of
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.receipts import MAIN

MAX_POSITION = 2**63 - 1
MAX_VERSION = 2**31 - 1

EDITS_CONSIDERED = 50
"""Of a message that was edited more often, the edits that came last."""
MAX_KEYS = 100
"""Different reactions to one message that are told."""
MAX_REACTORS = 50
"""People who are named for a reaction; the others only count."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a room: after < position <= upto, of events whose state before them has a
    version with since <= version < until.
    """

    room_nid: int
    after: int = -MAX_POSITION
    upto: int = MAX_POSITION
    since: int = 0
    until: int = MAX_VERSION


@dataclass(frozen=True, slots=True)
class Stay:
    """A stretch of a room's state versions, from `since` to before `until`, in which somebody was
    a member. The event that ended it still has a version of the stretch.
    """

    room_nid: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class ReactionRow:
    """Everybody who reacted to a message with one key. reactors: the first of them."""

    key: str
    count: int
    reactors: tuple[UUID, ...]
    mine: bool


@dataclass(frozen=True, slots=True)
class ReceivedRow:
    """When somebody had received and read a message, at the latest; milliseconds."""

    user_nid: int
    delivered_at: int | None
    read_at: int | None


@dataclass(frozen=True, slots=True)
class Unseen:
    """What of some messages does not count for one reader: edits and reactions of these people
    (user_nid), except while he was in the room.
    """

    senders: Sequence[int] = ()
    stays: Sequence[Stay] = ()


NOTHING_UNSEEN = Unseen()

_SPANS = """
    unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
        AS s (room_nid, after, upto, since, until)
"""
_IN_SPAN = """
    m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
    AND m.state_version >= s.since AND m.state_version < s.until
"""
_IS_SHOWN = "m.is_message AND m.redacted_by IS NULL AND m.position IS NOT NULL"

_PAGE = f"""
    SELECT {COLUMNS} FROM (
        SELECT found.event_nid, found.position FROM {_SPANS} CROSS JOIN LATERAL (
            SELECT m.event_nid, m.position FROM events m
            WHERE {_IN_SPAN} AND {_IS_SHOWN} AND m.position < $6
            ORDER BY m.position DESC LIMIT $7
        ) found
        ORDER BY found.position DESC LIMIT $7
    ) page JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position
"""
# A thread is short beside its room, so all of it is looked at for a page in stream order.
_THREAD_PAGE = f"""
    SELECT {COLUMNS} FROM (
        SELECT m.event_nid FROM relations t JOIN events m USING (event_nid), {_SPANS}
        WHERE t.parent_uuid = $8 AND t.rel_type = 'm.thread'
            AND {_IN_SPAN} AND {_IS_SHOWN} AND m.position < $6
        ORDER BY m.position DESC LIMIT $7
    ) page JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position
"""


def _unless_unseen(event: str, first: int) -> str:
    """A condition with the parameters of `_unseen_columns`. first: the number of the first."""
    return f"""
        AND ({event}.sender_nid <> ALL(${first}::bigint[]) OR EXISTS (
            SELECT FROM unnest(${first + 1}::bigint[], ${first + 2}::integer[],
                               ${first + 3}::integer[]) AS stay (room_nid, since, until)
            WHERE stay.room_nid = {event}.room_nid
                AND {event}.state_version >= stay.since AND {event}.state_version < stay.until
        ))
    """


# C-S API v1.19 "Validity of replacement events": same room, sender and type, no state, and a
# m.new_content, which in an encrypted event nobody here can see. Raw is canonical JSON, where that
# key can be written in one way only. Which is the most recent: "Server-side aggregation of
# m.replace relationships".
_EDITS = f"""
    SELECT o.uuid AS edited, {COLUMNS}
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[])
        AS o (uuid, room_nid, sender_nid, type)
    CROSS JOIN LATERAL (
        SELECT edit.event_nid FROM (
            SELECT event_nid FROM relations
            WHERE parent_uuid = o.uuid AND rel_type = 'm.replace'
                AND sender_nid = o.sender_nid AND room_nid = o.room_nid
            ORDER BY event_nid DESC LIMIT {EDITS_CONSIDERED}
        ) latest JOIN events edit USING (event_nid)
        WHERE edit.type = o.type AND edit.state_key IS NULL AND edit.position IS NOT NULL
            AND (edit.type = 'm.room.encrypted'
                OR position('"m.new_content":{{'::bytea IN edit.raw) > 0)
            {_unless_unseen("edit", 5)}
        ORDER BY edit.ts DESC, edit.event_id DESC LIMIT 1
    ) newest
    JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = e.room_nid
"""
# C-S API v1.19 "Annotations client behaviour": counted by key.
_REACTIONS = f"""
    SELECT o.uuid, k.key, k.count, k.mine, ARRAY(
        SELECT u.uuid FROM unnest(k.nids) WITH ORDINALITY AS n (user_nid, place)
        JOIN users u USING (user_nid) ORDER BY n.place
    ) AS reactors
    FROM unnest($1::uuid[], $2::bigint[]) AS o (uuid, room_nid) CROSS JOIN LATERAL (
        SELECT a.key, count(*) AS count, bool_or(a.sender_nid = $3) AS mine,
            (array_agg(a.sender_nid ORDER BY a.event_nid))[1:{MAX_REACTORS}] AS nids,
            min(a.event_nid) AS first
        FROM relations a JOIN events m USING (event_nid)
        WHERE a.parent_uuid = o.uuid AND a.rel_type = 'm.annotation' AND a.room_nid = o.room_nid
            AND m.type = 'm.reaction' AND m.position IS NOT NULL
            {_unless_unseen("m", 4)}
        GROUP BY a.key ORDER BY first LIMIT {MAX_KEYS}
    ) k
    ORDER BY k.first
"""


async def page(
    db: Connection, spans: Sequence[Span], *, before: int = MAX_POSITION, limit: int
) -> list[StoredEvent]:
    """The last `limit` messages of the spans before a position, oldest first."""
    rows = await db.fetch(_PAGE, *span_columns(spans), before, limit)
    return [stored_event(row) for row in rows]


async def thread_page(
    db: Connection,
    spans: Sequence[Span],
    root_uuid: UUID,
    *,
    before: int = MAX_POSITION,
    limit: int,
) -> list[StoredEvent]:
    """The same with the messages of one thread."""
    rows = await db.fetch(_THREAD_PAGE, *span_columns(spans), before, limit, root_uuid)
    return [stored_event(row) for row in rows]


async def place_of(db: Connection, uuid: UUID) -> tuple[int, int] | None:
    """Room and position of an event in the stream; None: there is no such event there."""
    row = await db.fetchrow("SELECT room_nid, position FROM events WHERE uuid = $1", uuid)
    if row is None or row["position"] is None:
        return None
    return row["room_nid"], row["position"]


async def rooms_with_relations_of(
    db: Connection, messages: Sequence[StoredEvent], user_ids: Collection[UserID]
) -> list[tuple[int, int]]:
    """Who of the users has edited one of the messages or reacted to it, and in which room: pairs
    of user_nid and room_nid.
    """
    rows = await db.fetch(
        "SELECT DISTINCT t.sender_nid, t.room_nid FROM relations t JOIN users u"
        " ON u.user_nid = t.sender_nid"
        " WHERE t.parent_uuid = ANY($1::uuid[]) AND t.rel_type IN ('m.replace', 'm.annotation')"
        " AND u.user_id = ANY($2::text[])",
        [stored.facts.uuid for stored in messages],
        list(user_ids),
    )
    return [(row["sender_nid"], row["room_nid"]) for row in rows]


async def edits(
    db: Connection, messages: Sequence[StoredEvent], unseen: Unseen = NOTHING_UNSEEN
) -> dict[UUID, StoredEvent]:
    """The most recent edit of each message, by the message's UUID."""
    rows = await db.fetch(
        _EDITS,
        [stored.facts.uuid for stored in messages],
        [stored.facts.room_nid for stored in messages],
        [stored.facts.sender_nid for stored in messages],
        [stored.event.type for stored in messages],
        *_unseen_columns(unseen),
    )
    return {row["edited"]: stored_event(row) for row in rows}


async def reactions(
    db: Connection,
    messages: Sequence[StoredEvent],
    reader_nid: int | None,
    unseen: Unseen = NOTHING_UNSEEN,
) -> dict[UUID, list[ReactionRow]]:
    """Reactions by the message's UUID, those that somebody had first first."""
    rows = await db.fetch(
        _REACTIONS,
        [stored.facts.uuid for stored in messages],
        [stored.facts.room_nid for stored in messages],
        reader_nid,
        *_unseen_columns(unseen),
    )
    found: dict[UUID, list[ReactionRow]] = {}
    for row in rows:
        mine = bool(row["mine"])
        reaction = ReactionRow(row["key"], row["count"], tuple(row["reactors"]), mine)
        found.setdefault(row["uuid"], []).append(reaction)
    return found


async def thread_counts(db: Connection, messages: Sequence[StoredEvent]) -> dict[UUID, int]:
    """How many messages stand in the thread of each; those without one are left out."""
    rows = await db.fetch(
        f"SELECT t.parent_uuid, count(*) AS count"
        " FROM unnest($1::uuid[], $2::bigint[]) AS o (uuid, room_nid)"
        " JOIN relations t ON t.parent_uuid = o.uuid AND t.rel_type = 'm.thread'"
        " AND t.room_nid = o.room_nid"
        f" JOIN events m ON m.event_nid = t.event_nid AND {_IS_SHOWN} GROUP BY t.parent_uuid",
        [stored.facts.uuid for stored in messages],
        [stored.facts.room_nid for stored in messages],
    )
    return {row["parent_uuid"]: row["count"] for row in rows}


async def redaction_times(db: Connection, redaction_nids: Collection[int]) -> dict[int, int]:
    """When redactions were made (milliseconds), by their numbers."""
    rows = await db.fetch(
        "SELECT event_nid, ts FROM events WHERE event_nid = ANY($1::bigint[])",
        list(redaction_nids),
    )
    return {row["event_nid"]: row["ts"] for row in rows}


async def receipts_of(db: Connection, message: StoredEvent, *, limit: int) -> list[ReceivedRow]:
    """How far other members than the sender have come who came as far as a message.

    A receipt stands for everything before it, so its time is the latest that it can have been.
    Those of the thread of the message count, but not those of others.
    """
    thread = thread_of(message.event)
    rows = await db.fetch(
        """
        SELECT c.user_nid, min(c.ts) AS delivered_at, min(c.ts) FILTER (WHERE c.kind = 'read')
            AS read_at
        FROM receipts c JOIN memberships m USING (room_nid, user_nid)
        WHERE c.room_nid = $1 AND c.event_position >= $2 AND c.user_nid <> $3
            AND m.membership = 'join' AND c.kind <> 'private' AND c.thread = ANY($5::text[])
        GROUP BY c.user_nid ORDER BY c.user_nid LIMIT $4
        """,
        message.facts.room_nid,
        message.facts.position,
        message.facts.sender_nid,
        limit,
        ["", MAIN if thread is None else thread],
    )
    return [ReceivedRow(row["user_nid"], row["delivered_at"], row["read_at"]) for row in rows]


def _unseen_columns(unseen: Unseen) -> tuple[list[int], ...]:
    return (
        list(unseen.senders),
        [stay.room_nid for stay in unseen.stays],
        [stay.since for stay in unseen.stays],
        [stay.until for stay in unseen.stays],
    )


def span_columns(spans: Iterable[Span]) -> tuple[list[int], ...]:
    """Spans as the five arrays that a query takes."""
    rows = [(span.room_nid, span.after, span.upto, span.since, span.until) for span in spans]
    columns = tuple(map(list, zip(*rows, strict=True)))
    return columns or ([], [], [], [], [])
