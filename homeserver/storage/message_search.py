"""Table `message_search`: the words of messages, and of names and topics of rooms, by position in
the stream of events.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.stored import StoredEvent
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event
from homeserver.storage.relations import WITHDRAWN

FACE_TYPES = ("m.room.name", "m.room.topic")
"""State that can be found by its words, with an empty state key."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What a query found. rank: the higher, the closer."""

    stored: StoredEvent
    rank: float


@dataclass(frozen=True, slots=True)
class Touched:
    """What a stretch of the stream changed, up to a position.

    messages: new ones, names and topics included, and those that were edited. redactions: event
    numbers.
    """

    upto: int
    messages: frozenset[UUID]
    redactions: tuple[int, ...]


async def touched(db: Connection, after: int, limit: int) -> Touched:
    """By the next `limit` events of the stream; `upto` is `after` if there are none."""
    row = await db.fetchrow(
        """
        WITH stretch AS (
            SELECT event_nid, position, uuid, is_message, type,
                state_key = '' AND type = ANY($3::text[]) AS is_face
            FROM events WHERE position > $1 ORDER BY position LIMIT $2
        )
        SELECT max(s.position) AS upto,
            coalesce(array_agg(s.uuid) FILTER (WHERE s.is_message OR s.is_face), '{}') AS messages,
            coalesce(array_agg(t.parent_uuid) FILTER (WHERE t.parent_uuid IS NOT NULL), '{}')
                AS edited,
            coalesce(array_agg(s.event_nid) FILTER (WHERE s.type = 'm.room.redaction'), '{}')
                AS redactions
        FROM stretch s LEFT JOIN relations t
            ON t.event_nid = s.event_nid AND t.rel_type = 'm.replace'
        """,
        after,
        limit,
        list(FACE_TYPES),
    )
    assert row is not None
    return Touched(
        upto=after if row["upto"] is None else row["upto"],
        messages=frozenset((*row["messages"], *row["edited"])),
        redactions=tuple(row["redactions"]),
    )


async def messages_edited_by(db: Connection, event_uuids: Collection[UUID]) -> frozenset[UUID]:
    """The messages that edits were of which are redacted now."""
    rows = await db.fetch(
        "SELECT t.parent_uuid FROM events e JOIN relations t USING (event_nid)"
        " WHERE e.uuid = ANY($1::uuid[]) AND t.rel_type = $2",
        list(event_uuids),
        f"{WITHDRAWN}m.replace",
    )
    return frozenset(row["parent_uuid"] for row in rows)


async def put(db: Connection, lexemes: Mapping[int, Sequence[str]]) -> None:
    """Sets what messages (by position) can be found by. No lexeme contains a space or a newline.

    Arrays go as text: asyncpg asks of each element whether it is an array itself.
    """
    await db.execute(
        "INSERT INTO message_search (position, lexemes)"
        " SELECT m.position, array_to_tsvector(string_to_array(m.words, ' '))"
        " FROM unnest(string_to_array($1, ' ')::bigint[], string_to_array($2, E'\\n'))"
        " AS m (position, words)"
        " ON CONFLICT (position) DO UPDATE SET lexemes = excluded.lexemes"
        " WHERE message_search.lexemes <> excluded.lexemes",
        " ".join(map(str, lexemes)),
        "\n".join(" ".join(words) for words in lexemes.values()),
    )


async def remove(db: Connection, positions: Collection[int]) -> None:
    await db.execute(
        "DELETE FROM message_search WHERE position = ANY($1::bigint[])", list(positions)
    )


async def choose_plans_by_words(db: Connection) -> None:
    """For the rest of the transaction: how a search is best done depends on how common its words
    are, so a plan for any words whatever is a bad one.
    """
    await db.execute("SET LOCAL plan_cache_mode = force_custom_plan")


_RANKED = f"""
    SELECT hit.rank, {COLUMNS} FROM (
        SELECT position, rank FROM (
            SELECT position, ts_rank(lexemes, $2::text::tsquery) AS rank FROM message_search
            WHERE lexemes @@ $1::text::tsquery ORDER BY position DESC LIMIT $6
        ) newest
        WHERE (rank, position) < ($3::real, $4::bigint) ORDER BY rank DESC, position DESC LIMIT $5
    ) hit JOIN events e USING (position) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY hit.rank DESC, e.position DESC
"""
_RECENT = f"""
    SELECT hit.rank, {COLUMNS} FROM (
        SELECT position, ts_rank(lexemes, $2::text::tsquery) AS rank FROM message_search
        WHERE lexemes @@ $1::text::tsquery AND position < $3 ORDER BY position DESC LIMIT $4
    ) hit JOIN events e USING (position) JOIN rooms r ON r.room_nid = e.room_nid
    ORDER BY e.position DESC
"""
RANKED = 5_000
"""Of what a query finds, the newest that are compared by rank."""


async def best(
    db: Connection, tsquery: str, words: str, *, below: tuple[float, int], limit: int
) -> list[Hit]:
    """What a query finds, the closest to the words first, of equal ones the newest.

    below: rank and position of the hit after which to go on.
    """
    rows = await db.fetch(_RANKED, tsquery, words, *below, limit, RANKED)
    return [Hit(stored_event(row), row["rank"]) for row in rows]


async def recent(db: Connection, tsquery: str, words: str, *, before: int, limit: int) -> list[Hit]:
    """What a query finds, the newest first."""
    rows = await db.fetch(_RECENT, tsquery, words, before, limit)
    return [Hit(stored_event(row), row["rank"]) for row in rows]


async def newest(db: Connection, tsquery: str, *, before: int, limit: int) -> list[StoredEvent]:
    """The newest messages before a position that a query finds, the newest first."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM ("
        " SELECT position FROM message_search"
        " WHERE lexemes @@ $1::text::tsquery AND position < $2 ORDER BY position DESC LIMIT $3"
        ") hit JOIN events e USING (position) JOIN rooms r ON r.room_nid = e.room_nid"
        " ORDER BY e.position DESC",
        tsquery,
        before,
        limit,
    )
    return [stored_event(row) for row in rows]
