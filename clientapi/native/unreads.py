"""`unread`: how much somebody has not read, told whenever a client cannot count it itself.

A client counts messages of others as they come. What else changes the count is told: its user's
own read marks and messages, and deletions. The number is that of what was published up to the
frame, so that a client that goes on counting from it stays right.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

import structlog

from clientapi.native.audience import Audience
from clientapi.native.cursor import Cursor, Progress
from clientapi.native.fanout import Fanout
from clientapi.native.framing import json_frame
from homeserver.errors import Unavailable
from homeserver.streams.tail import Committed
from homeserver.views.live import Live as LiveViews

_MAX_DUE = 10_000
_MAX_LATE = 10_000

log = structlog.get_logger(__name__)

_Key = tuple[int, int]
"""A reader and a room."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told of a room. upto: once events up to there are published; last_read: the
    message to which the reader's mark moved, if it did.
    """

    room_uuid: UUID
    upto: int = 0
    last_read: UUID | None = None

    def after(self, former: "Due | None") -> "Due":
        """Both in one."""
        if former is None:
            return self
        upto, last_read = max(former.upto, self.upto), self.last_read or former.last_read
        return Due(self.room_uuid, upto, last_read)


class Unreads:
    """Tells connected readers. waiting: events that the tail has handed over and that are not
    published yet.
    """

    def __init__(
        self,
        *,
        audience: Audience,
        fanout: Fanout,
        views: LiveViews,
        progress: Progress,
        waiting: Callable[[], Iterable[Committed]],
    ) -> None:
        self._audience = audience
        self._fanout = fanout
        self._views = views
        self._progress = progress
        self._waiting = waiting
        self._due: dict[_Key, Due] = {}
        self._unknown: dict[_Key, Due] = {}
        self._late: OrderedDict[_Key, tuple[Due, int]] = OrderedDict()
        self._counting: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self._counting is not None:
            self._counting.cancel()

    def is_heard(self, reader_nid: int) -> bool:
        """Whether a reader is connected."""
        return self._audience.user(reader_nid) is not None

    def recounted(self, reader_nid: int, committed: Committed) -> None:
        """An event changed somebody's count, and not by being a message of another."""
        due = Due(committed.room.uuid, upto=committed.position)
        self.due(reader_nid, committed.room.room_nid, due)

    def is_behind(self, reader_nid: int, room_nid: int, position: int) -> bool:
        """Whether the reader has read farther than to an event, as far as is known at once."""
        read = self._views.peek_read(reader_nid, room_nid)
        return read is not None and position < read

    def due(self, reader_nid: int, room_nid: int, due: Due) -> None:
        """A reader's count is not what it was."""
        key = reader_nid, room_nid
        if self._audience.of_user(reader_nid) and len(self._due) < _MAX_DUE:
            self._due[key] = due.after(self._due.get(key))
            if self._due[key].upto <= self._progress.events:
                self._tell_now(key, late=due.upto > 0)

    def publishing(self, upto: int) -> None:
        """Events up to a position are published next. What is to be told with them goes first: who
        gets the events has got this, and who does not comes back with a cursor before them.
        """
        for key in [key for key, due in self._due.items() if due.upto <= upto]:
            self._tell_now(key, late=False)

    def late(self, reader_nid: int, since: int) -> dict[int, Due]:
        """By room, what a reader was told only after the event or the mark, and what a client that
        comes back from a position may so have missed.
        """
        return {
            room_nid: due
            for (nid, room_nid), (due, told_at) in self._late.items()
            if nid == reader_nid and told_at >= since
        }

    def count(
        self, reader_nid: int, room_nid: int, later: Iterable[Committed] | None = None
    ) -> int | None:
        """As of what is published, or before the later events; None: not known at once."""
        count = self._views.peek_unread(reader_nid, room_nid)
        if count is None:
            return None
        waiting = self._waiting() if later is None else later
        return max(0, count - _of_others(waiting, reader_nid, room_nid))

    def _tell_now(self, key: _Key, *, late: bool) -> None:
        due = self._due.pop(key)
        count = self.count(*key)
        if count is None:
            self._look_up(key, due)
        else:
            self._tell(key, due, count, late=late)

    def _look_up(self, key: _Key, due: Due) -> None:
        if len(self._unknown) < _MAX_DUE:
            self._unknown[key] = due.after(self._unknown.get(key))
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        """One after the other, so that they do not take the database from messages."""
        while self._unknown:
            key = next(iter(self._unknown))
            try:
                counted = await self._views.unread(*key)
            except Unavailable as error:
                log.info("unread_not_counted", error=str(error))
                del self._unknown[key]
                continue
            count = self.count(*key)
            due = self._unknown.pop(key)
            self._tell(key, due, counted if count is None else count, late=True)

    def _tell(self, key: _Key, due: Due, count: int, *, late: bool) -> None:
        frame = unread(due.room_uuid, count, due.last_read, self._progress.cursor)
        self._fanout.write(self._audience.of_user(key[0]), frame)
        if late:
            self._late[key] = due, self._progress.events
            self._late.move_to_end(key)
            if len(self._late) > _MAX_LATE:
                self._late.popitem(last=False)


def unread(room_uuid: UUID, count: int, last_read: UUID | None, cursor: Cursor) -> bytes:
    """`unread` for a reader. count: messages of others after his mark; last_read: None: it has not
    moved.
    """
    frame = {"type": "unread", "room_id": room_uuid, "unread_count": count}
    moved = {} if last_read is None else {"last_read_id": last_read}
    return json_frame({**frame, **moved, "cursor": str(cursor)})


def _of_others(later: Iterable[Committed], reader_nid: int, room_nid: int) -> int:
    return sum(
        committed.room.room_nid == room_nid
        and committed.stored.facts.is_message
        and committed.sender.user_nid != reader_nid
        for committed in later
    )
