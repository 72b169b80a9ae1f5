"""How much somebody has not read, as the database has it: messages of others after his read marker.

Without a marker, after his join; and in any case after what he said himself last, in the room or in
a thread of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from homeserver.identifiers import RoomID, UserID
from homeserver.storage import notifications
from homeserver.storage.database import Connection
from homeserver.storage.notifications import EVERYBODY, CountedRow, ExceptionRow, Standing
from homeserver.storage.room_lists import JoinedRow
from homeserver.storage.timeline import MAX_POSITION, Span
from homeserver.streams.room_counters import WINDOW, Difference
from homeserver.streams.room_tracks import Entry
from homeserver.views import history
from homeserver.views.history import ReadableRoom

Readable = Mapping[int, ReadableRoom]

_EVERYTHING = -MAX_POSITION


@dataclass(frozen=True, slots=True)
class UnreadRoom:
    """A room that somebody is in, with what may count there.

    mark: how far he has read all of it, by a receipt or because he came then; marks: and each
    thread. entries: what is after `floor`, or
    None where that was not asked for; `hidden`: of those, what he may not see.
    """

    room_nid: int
    room_id: RoomID
    mark: int
    has_receipt: bool
    marks: Mapping[str, int]
    floor: int
    entries: Sequence[Entry] | None
    differences: Sequence[Difference]
    hidden: Sequence[int]


@dataclass(frozen=True, slots=True)
class UnreadRooms:
    """Of one user, at one moment."""

    standing: Standing
    rooms: Sequence[UnreadRoom]


async def readable_rooms(db: Connection, reader: UserID, rows: Sequence[JoinedRow]) -> Readable:
    """What must be known about the rooms besides that the reader is in them. Two queries."""
    nids = [row.room.room_nid for row in rows]
    return await history.of_rooms(db, reader, nids, in_detail=())


def visible_spans(rows: Sequence[JoinedRow], readable: Readable) -> list[Span]:
    """All that the reader may see in the rooms."""
    return [span for row in rows for span in _spans_of(row.room.room_nid, readable)]


async def of_rooms(
    db: Connection,
    user_nid: int,
    user_id: UserID,
    room_nids: Collection[int],
    floors: Mapping[int, int],
) -> UnreadRooms:
    """Those of the rooms that the user is in. Seven queries, in one snapshot.

    floors: rooms of which everything after a position is known already.
    """
    standing = await notifications.standing(db)
    joined = await notifications.joined(db, user_nid, room_nids)
    marks = await notifications.marks(db, user_nid, joined)
    unmarked = [room_nid for room_nid in joined if "" not in marks.get(room_nid, ())]
    readable = await history.of_rooms(db, user_id, joined, in_detail=unmarked)
    bases = {
        room_nid: _base(marks.get(room_nid, {}), room.position, readable.get(room_nid))
        for room_nid, room in joined.items()
    }
    hiding = [room_nid for room_nid in joined if _hides(bases[room_nid], readable.get(room_nid))]
    wanted = [
        (room_nid, base, MAX_POSITION)
        for room_nid, base in bases.items()
        if room_nid in hiding or room_nid not in floors or base < floors[room_nid]
    ]
    messages = _by_room(await notifications.messages(db, wanted, limit=WINDOW))
    exceptions = await notifications.exceptions(db, user_nid, list(bases.items()), limit=2 * WINDOW)
    visible = await _visible(db, hiding, bases, readable)
    fetched = {room_nid for room_nid, _, _ in wanted}
    return UnreadRooms(
        standing,
        [
            _room(
                room_nid,
                joined[room_nid].room_id,
                base,
                marks.get(room_nid, {}),
                messages.get(room_nid, []) if room_nid in fetched else None,
                [each for each in exceptions if each.event.room_nid == room_nid],
                visible.get(room_nid, set()) if room_nid in hiding else None,
            )
            for room_nid, base in bases.items()
        ],
    )


def _room(
    room_nid: int,
    room_id: RoomID,
    base: int,
    marks: Mapping[str, int],
    messages: Sequence[CountedRow] | None,
    exceptions: Sequence[ExceptionRow],
    visible: Collection[int] | None,
) -> UnreadRoom:
    floor = base
    if messages is not None and len(messages) >= WINDOW:
        # The window is full: what is older never counts.
        floor = _EVERYTHING
        exceptions = [each for each in exceptions if each.event.position > messages[0].position]
    return UnreadRoom(
        room_nid=room_nid,
        room_id=room_id,
        mark=base,
        has_receipt="" in marks,
        marks={thread: position for thread, position in marks.items() if thread},
        floor=floor,
        entries=None if messages is None else _entries(messages, exceptions),
        differences=[
            Difference(each.event.position, each.event.thread, each.notify, each.highlight)
            for each in exceptions
            if each.user_nid != EVERYBODY
        ],
        hidden=[
            each.position
            for each in messages or ()
            if visible is not None and each.position not in visible
        ],
    )


def _entries(messages: Sequence[CountedRow], exceptions: Sequence[ExceptionRow]) -> Sequence[Entry]:
    entries = {row.position: Entry(row.position, row.sender_nid, row.thread) for row in messages}
    for each in exceptions:
        event = each.event
        if each.user_nid == EVERYBODY and (each.notify or event.is_message):
            entries[event.position] = Entry(
                event.position,
                event.sender_nid,
                event.thread,
                event.is_message,
                each.notify,
                each.highlight,
            )
    return [entries[position] for position in sorted(entries)]


def _base(marks: Mapping[str, int], position: int | None, known: ReadableRoom | None) -> int:
    """How far somebody has read all of a room. What was there before he came was not for him."""
    if "" in marks:
        return marks[""]
    joined_at = position if known is None else known.joined_at
    return 0 if joined_at is None else joined_at


def _hides(base: int, known: ReadableRoom | None) -> bool:
    """Whether something after the mark may be invisible."""
    if known is None:
        return False
    spans = [span for span in known.spans if span.upto > base]
    return len(spans) != 1 or spans[0].after > base or spans[0].upto < MAX_POSITION


async def _visible(
    db: Connection, room_nids: Collection[int], bases: Mapping[int, int], readable: Readable
) -> dict[int, set[int]]:
    if not room_nids:
        return {}
    spans = [
        Span(span.room_nid, max(span.after, bases[room_nid]), span.upto, span.since, span.until)
        for room_nid in room_nids
        for span in _spans_of(room_nid, readable)
        if span.upto > bases[room_nid]
    ]
    return await notifications.visible_positions(db, spans, limit=WINDOW)


def _by_room(rows: Sequence[CountedRow]) -> dict[int, list[CountedRow]]:
    found: dict[int, list[CountedRow]] = {}
    for row in rows:
        found.setdefault(row.room_nid, []).append(row)
    return found


def _spans_of(room_nid: int, readable: Readable) -> Sequence[Span]:
    known = readable.get(room_nid)
    return (Span(room_nid),) if known is None else known.spans
