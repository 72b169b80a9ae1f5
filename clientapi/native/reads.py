"""`message.read`: who read how far.

In a room of few it is told at once. In a room of many, everybody reads a message within seconds
and each of them concerns everybody: marks are gathered for a moment and written together. In a
crowd only the author and the reader's own devices are told: the rest would be n² frames for each
message, and REST tells who asks.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from clientapi.native.audience import Audience
from clientapi.native.connection import Connection
from clientapi.native.cursor import Cursor, Progress
from clientapi.native.fanout import Fanout
from clientapi.native.framing import json_frame
from clientapi.native.later import Later
from clientapi.native.unreads import Due, Unreads
from homeserver.streams.tail import Committed
from schema.wire.times import timestamp

FEW = 16
"""Connections in a room in which every mark is told at once."""
CROWD = 250
"""Connections in a room in which marks are not told to everybody."""

_GATHERED_S = 0.05
_REMEMBERED = 10_000


class ReadMark(Protocol):
    """Somebody read up to a message. `position`: in the stream of receipts; `ts`: milliseconds.

    is_private: told to nobody else. is_of_room: about the room, and not only one of its threads.
    """

    @property
    def position(self) -> int: ...
    @property
    def event_position(self) -> int: ...
    @property
    def room_nid(self) -> int: ...
    @property
    def room_uuid(self) -> UUID: ...
    @property
    def message_uuid(self) -> UUID: ...
    @property
    def reader_nid(self) -> int: ...
    @property
    def reader_uuid(self) -> UUID: ...
    @property
    def ts(self) -> int: ...
    @property
    def is_private(self) -> bool: ...
    @property
    def is_of_room(self) -> bool: ...


def message_read(mark: ReadMark, cursor: Cursor) -> bytes:
    """`message.read` as the server sends it."""
    frame = {
        "type": "message.read",
        "message_id": mark.message_uuid,
        "user_id": mark.reader_uuid,
        "read_at": timestamp(mark.ts),
        "room_id": mark.room_uuid,
        "cursor": str(cursor),
    }
    return json_frame(frame)


class Reads:
    """Tells who read how far."""

    def __init__(
        self, *, audience: Audience, fanout: Fanout, unreads: Unreads, progress: Progress
    ) -> None:
        self._audience = audience
        self._fanout = fanout
        self._unreads = unreads
        self._progress = progress
        self._newest = 0
        self._held_from: int | None = None
        self._gathered: dict[int, dict[UUID, ReadMark]] = {}
        self._last_messages: OrderedDict[int, tuple[UUID, int]] = OrderedDict()
        self._later = Later(self._flush)

    def start(self, position: int) -> None:
        """position: newest in the stream of receipts."""
        self._newest = self._progress.receipts = position

    def stop(self) -> None:
        self._later.cancel()

    def written(self, batch: Sequence[Committed]) -> None:
        """Remembers the last message of rooms that somebody hears, and its author."""
        for committed in batch:
            room_nid, facts = committed.room.room_nid, committed.stored.facts
            if facts.is_message and self._audience.in_room(room_nid):
                self._last_messages[room_nid] = facts.uuid, facts.sender_nid
                self._last_messages.move_to_end(room_nid)
        while len(self._last_messages) > _REMEMBERED:
            self._last_messages.popitem(last=False)

    def marked(self, batch: Sequence[ReadMark]) -> None:
        """Somebody read up to messages. Marks come in the order of their positions."""
        for mark in batch:
            self._newest = mark.position
            # Whoever gets this and not what follows comes back with a cursor before the mark.
            self._tell_reader(mark)
            if mark.is_private or not mark.is_of_room:
                self._tell_position()
                continue
            hearing = self._audience.in_room(mark.room_nid)
            if FEW < len(hearing) <= CROWD:
                self._gather(mark)
            else:
                concerned = self._concerned(mark) if len(hearing) > CROWD else hearing
                self._tell_position()
                self._fanout.write(concerned, message_read(mark, self._progress.cursor))

    def _gather(self, mark: ReadMark) -> None:
        self._gathered.setdefault(mark.room_nid, {})[mark.reader_uuid] = mark
        if self._held_from is None:
            self._held_from = mark.position
        self._tell_position()
        self._later.ask(_GATHERED_S)

    def _flush(self) -> None:
        gathered, self._gathered, self._held_from = self._gathered, {}, None
        self._tell_position()
        for room_nid, marks in gathered.items():
            frames = [message_read(mark, self._progress.cursor) for mark in marks.values()]
            self._fanout.write(self._audience.in_room(room_nid), b"".join(frames))

    def _tell_position(self) -> None:
        """A cursor names no mark that is still gathered."""
        held_from = self._held_from
        self._progress.receipts = self._newest if held_from is None else held_from - 1

    def _concerned(self, mark: ReadMark) -> Collection[Connection]:
        concerned = set(self._audience.of_user(mark.reader_nid))
        last_uuid, author_nid = self._last_messages.get(mark.room_nid, (None, 0))
        if last_uuid == mark.message_uuid:
            concerned.update(self._audience.of_user(author_nid))
        return concerned

    def _tell_reader(self, mark: ReadMark) -> None:
        is_behind = self._unreads.is_behind(mark.reader_nid, mark.room_nid, mark.event_position)
        last_read = mark.message_uuid if mark.is_of_room and not is_behind else None
        due = Due(mark.room_uuid, last_read=last_read)
        self._unreads.due(mark.reader_nid, mark.room_nid, due)
