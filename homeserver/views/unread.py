"""How much somebody has not read: messages of others after his read marker.

Without a marker, after his join; and in any case after what he said himself last.
"""

from collections.abc import Mapping, Sequence

from homeserver.identifiers import UserID
from homeserver.storage import room_lists
from homeserver.storage.database import Connection
from homeserver.storage.room_lists import JoinedRow
from homeserver.storage.timeline import Span
from homeserver.views import history
from homeserver.views.history import ReadableRoom

Readable = Mapping[int, ReadableRoom]


async def readable_rooms(db: Connection, reader: UserID, rows: Sequence[JoinedRow]) -> Readable:
    """What must be known about the rooms besides that the reader is in them. Two queries."""
    unread = [row.room.room_nid for row in rows if row.read_position is None]
    nids = [row.room.room_nid for row in rows]
    return await history.of_rooms(db, reader, nids, in_detail=unread)


def visible_spans(rows: Sequence[JoinedRow], readable: Readable) -> list[Span]:
    """All that the reader may see in the rooms."""
    return [span for row in rows for span in _spans_of(row, readable)]


async def counts(
    db: Connection, user_nid: int, rows: Sequence[JoinedRow], readable: Readable
) -> dict[int, int]:
    """Unread messages by room, at most 999 each; rooms without any are left out. One query."""
    spans = [span for row in rows for span in reversed(_after_mark(row, readable))]
    return await room_lists.unread_counts(db, user_nid, spans)


def _after_mark(row: JoinedRow, readable: Readable) -> list[Span]:
    known = readable.get(row.room.room_nid)
    joined_at = row.position if known is None else known.joined_at
    mark = joined_at if row.read_position is None else row.read_position
    if mark is None:
        return []
    return [
        Span(span.room_nid, max(span.after, mark), span.upto, span.since, span.until)
        for span in _spans_of(row, readable)
        if span.upto > mark
    ]


def _spans_of(row: JoinedRow, readable: Readable) -> Sequence[Span]:
    known = readable.get(row.room.room_nid)
    return (Span(row.room.room_nid),) if known is None else known.spans
