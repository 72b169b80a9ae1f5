"""Messages at the end of their rooms: heads, positions and events in one statement.

What most batches hold needs no other row, so it needs no transaction around several statements
either: one round trip in the place of five. The order of locks is that of any batch, heads before
the counter of positions.
"""

from collections.abc import Iterable, Sequence

from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts, Status
from homeserver.storage.database import Connection
from homeserver.storage.rooms import RAISED_HEADS, HeadAdvance, head_arguments, spaced
from homeserver.values import value

_SEPARATOR = "\x1e"
"""Canonical JSON escapes it, so it stands in no event's bytes."""

_APPEND = f"""
    WITH {RAISED_HEADS}, fresh AS MATERIALIZED (
        SELECT f.*, row_number() OVER (ORDER BY f.number) AS place FROM unnest(
            string_to_array($7, ' ')::bigint[], string_to_array($8, ' ')::bigint[],
            string_to_array($9, ' ')::bigint[], string_to_array($10, ' ')::bigint[],
            string_to_array($11, ' ')::bigint[], string_to_array($12, ' ', '')::bigint[],
            string_to_array($13, ' ')::uuid[], string_to_array($14, ' ')::integer[],
            string_to_array($15, ' ')::boolean[], string_to_array($16, '{_SEPARATOR}'),
            string_to_array($17, '{_SEPARATOR}'), string_to_array($18, '{_SEPARATOR}', ''),
            string_to_array(convert_from($19::bytea, 'UTF8'), '{_SEPARATOR}')
        ) WITH ORDINALITY AS f (event_nid, room_nid, sender_nid, depth, ts, session_nid, uuid,
            state_version, is_message, type, event_id, txn_id, raw, number)
        JOIN raised USING (room_nid)
    ), taken AS (
        UPDATE stream_positions SET position = position + (SELECT count(*) FROM fresh)
        WHERE stream = $20 RETURNING position - (SELECT count(*) FROM fresh) AS before
    ), written AS (
        INSERT INTO events (event_nid, position, room_nid, sender_nid, depth, ts, session_nid, uuid,
            state_version, status, is_message, type, event_id, txn_id, raw)
        SELECT event_nid, before + place, room_nid, sender_nid, depth, ts, session_nid, uuid,
            state_version, {Status.ACCEPTED.value}, is_message, type, event_id, txn_id,
            convert_to(raw, 'UTF8')
        FROM fresh, taken ORDER BY place
    )
    SELECT taken.before, raised.room_nid
    FROM taken CROSS JOIN locked LEFT JOIN raised USING (room_nid)
"""


@value
class Appended:
    """first: the position of the first event that was written; the others follow it in order.
    raised: the rooms whose events were written; of the others nothing was."""

    first: int
    raised: frozenset[int]


def is_plain(event: Event, facts: LocalFacts) -> bool:
    """Whether `append` can write the event: one that changes no state and stands in no fork."""
    return (
        event.state_key is None
        and facts.status is Status.ACCEPTED
        and facts.fork_nid is None
        and facts.redacted_by is None
        and event.type != ""
        and _SEPARATOR not in event.type
        and _SEPARATOR not in (facts.txn_id or "")
    )


async def append(
    db: Connection,
    advances: Sequence[HeadAdvance],
    events: Sequence[tuple[Event, LocalFacts]],
    *,
    stream: str,
) -> Appended:
    """Raises heads, and writes the events of the rooms that were raised, in order.

    events: plain ones, without positions. db: outside any transaction, for this is one.
    """
    rows = await db.fetch(_APPEND, *head_arguments(advances), *_event_arguments(events), stream)
    raised = frozenset(row["room_nid"] for row in rows if row["room_nid"] is not None)
    return Appended(rows[0]["before"] + 1 if rows else 0, raised)


def _event_arguments(events: Sequence[tuple[Event, LocalFacts]]) -> tuple[object, ...]:
    facts = [each for _, each in events]
    return (
        spaced(each.event_nid for each in facts),
        spaced(each.room_nid for each in facts),
        spaced(each.sender_nid for each in facts),
        spaced(event.depth for event, _ in events),
        spaced(event.origin_server_ts for event, _ in events),
        " ".join("" if each.session_nid is None else str(each.session_nid) for each in facts),
        " ".join(each.uuid.hex for each in facts),
        spaced(_known(each.state_version) for each in facts),
        spaced(int(each.is_message) for each in facts),
        _separated(event.type for event, _ in events),
        _separated(event.event_id for event, _ in events),
        _separated(each.txn_id or "" for each in facts),
        _SEPARATOR.encode().join(event.raw for event, _ in events),
    )


def _separated(texts: Iterable[str]) -> str:
    return _SEPARATOR.join(texts)


def _known(version: int | None) -> int:
    assert version is not None
    return version
