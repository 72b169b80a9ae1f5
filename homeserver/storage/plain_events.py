"""Pages of a room in which nothing is hidden, read as cheaply as can be.

Most events are messages with nothing beside them: of those, the stored form says all.
"""

from homeserver.identifiers import EventID
from homeserver.storage.aggregations import EDIT, REFERENCE, THREAD
from homeserver.storage.database import Connection
from homeserver.values import value


@value
class PlainRow:
    """raw: None for an event of which more must be known: state, redactions and what was redacted,
    events on forks, and those that something hangs on. session_nid, txn_id: who sent it here, with
    the scope of the ID in front.
    """

    event_nid: int
    position: int
    state_version: int
    event_id: EventID
    session_nid: int | None
    txn_id: str | None
    raw: bytes | None


def _page(order: str) -> str:
    return f"""
        SELECT e.event_nid, e.position, e.state_version, e.event_id, e.session_nid, e.txn_id,
            CASE WHEN e.state_key IS NULL AND e.redacted_by IS NULL AND e.fork_nid IS NULL
                AND e.type <> 'm.room.redaction'
                AND NOT EXISTS (
                    SELECT FROM relations c WHERE c.parent_uuid = e.uuid
                        AND c.rel_type IN ('{EDIT}', '{THREAD}', '{REFERENCE}')
                )
            THEN e.raw END AS raw
        FROM events e
        WHERE e.room_nid = $1 AND e.position > $2 AND e.position <= $3
        ORDER BY e.position {order} LIMIT $4
    """


_FORWARDS, _BACKWARDS = _page("ASC"), _page("DESC")


async def page(
    db: Connection,
    room_nid: int,
    *,
    after: int,
    upto: int,
    forwards: bool,
    limit: int,
) -> list[PlainRow]:
    """Events of a room with after < position <= upto: the first forwards, or the last backwards,
    in that order."""
    statement = _FORWARDS if forwards else _BACKWARDS
    rows = await db.fetch(statement, room_nid, after, upto, limit)
    return [PlainRow(*row) for row in rows]
