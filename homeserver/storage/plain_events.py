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
    events on forks, and those that something hangs on. txn_id: with its scope, if the session that
    reads has sent it.
    """

    event_nid: int
    position: int
    state_version: int
    event_id: EventID
    txn_id: str | None
    raw: bytes | None


def _page(order: str) -> str:
    return f"""
        SELECT e.event_nid, e.position, e.state_version, e.event_id,
            CASE WHEN e.session_nid = $2 THEN e.txn_id END AS txn_id,
            CASE WHEN e.state_key IS NULL AND e.redacted_by IS NULL AND e.fork_nid IS NULL
                AND e.type <> 'm.room.redaction'
                AND NOT EXISTS (
                    SELECT FROM relations c WHERE c.parent_uuid = e.uuid
                        AND c.rel_type IN ('{EDIT}', '{THREAD}', '{REFERENCE}')
                )
            THEN e.raw END AS raw
        FROM events e
        WHERE e.room_nid = $1 AND e.position > $3 AND e.position <= $4
        ORDER BY e.position {order} LIMIT $5
    """


_FORWARDS, _BACKWARDS = _page("ASC"), _page("DESC")


async def page(
    db: Connection,
    room_nid: int,
    session_nid: int,
    *,
    after: int,
    upto: int,
    forwards: bool,
    limit: int,
) -> list[PlainRow]:
    """Events of a room with after < position <= upto: the first forwards, or the last backwards,
    in that order. session_nid: that which reads."""
    statement = _FORWARDS if forwards else _BACKWARDS
    rows = await db.fetch(statement, room_nid, session_nid, after, upto, limit)
    return [PlainRow(*row) for row in rows]
