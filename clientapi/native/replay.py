"""Resuming: what a client missed while it was away, in order, before it goes live.

While a client gets what it missed, what happens meanwhile waits in its backlog.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from clientapi.errors import Problem, problem_of
from clientapi.native.audience import Audience
from clientapi.native.connection import Connection
from clientapi.native.connections import Connections
from clientapi.native.cursor import Cursor
from clientapi.native.framing import json_frame
from clientapi.native.heartbeat import Pings
from clientapi.native.publications import (
    MEMBER_TYPE,
    Kind,
    Publication,
    Step,
    kind_of,
    membership_step,
    message_new,
    publish,
)
from clientapi.native.reads import ReadMark, message_read
from clientapi.native.related import Relating
from clientapi.native.unreads import Due, Unreads, unread
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.streams.tail import Committed, EventTail
from homeserver.views.live import Live as LiveViews
from schema.wire.errors import CloseCode, ErrorCode

_PAGE = 200
_AT_A_TIME = 8
_MAX_BUFFERED_BYTES = 65_536
_BUFFER_POLL_S = 0.02

CURSOR_TOO_OLD = json_frame(
    Problem(
        code=ErrorCode.CURSOR_TOO_OLD,
        message="More was missed than the server sends again: load the rooms over REST",
    ).frame()
)

log = structlog.get_logger(__name__)


class TooOld(Exception):
    """More was missed than is sent again, or the cursor is none of this server's."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What a connection missed. recent: all of it, if memory still had it when it entered."""

    since: Cursor
    upto: Cursor
    recent: Sequence[Committed] | None


class Replay:
    """Sends clients what they missed."""

    def __init__(
        self,
        *,
        tail: EventTail,
        audience: Audience,
        connections: Connections,
        views: LiveViews,
        relating: Relating,
        unreads: Unreads,
        pings: Pings,
        max_events: int,
    ) -> None:
        self._tail = tail
        self._audience = audience
        self._connections = connections
        self._views = views
        self._relating = relating
        self._unreads = unreads
        self._pings = pings
        self._max_events = max_events
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    def missed(self, connection: Connection, since: Cursor, upto: Cursor) -> Missed:
        """To be called in the step in which the connection enters: its rooms are those of then."""
        connection.cursor = str(since)
        recent = self._tail.since(since.events)
        listener = self._audience.user(connection.by.user_nid)
        if recent is not None and listener is not None:
            recent = [each for each in recent if each.position <= upto.events]
            recent = heard_by(connection.by.user_id, listener.rooms, recent)
        return Missed(since, upto, recent)

    async def resume(self, connection: Connection, missed: Missed) -> None:
        """Sends what was missed, says so, and lets the connection go live."""
        try:
            replayed = await self._send_all(connection, missed)
        except TooOld:
            self.start_afresh(connection, missed.upto)
            return
        except ConnectionResetError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            self._give_up(connection, error)
            return
        connection.heard_from = missed.since.events
        self._finish(connection, missed.upto, replayed)

    def start_afresh(self, connection: Connection, upto: Cursor) -> None:
        """For a client that missed too much: it loads everything over REST."""
        self._connections.answer(connection, CURSOR_TOO_OLD)
        self._finish(connection, upto, 0)

    def nothing_missed(self, connection: Connection, upto: Cursor) -> None:
        """For a client that begins now and wants to know where that is."""
        self._finish(connection, upto, 0)

    def _finish(self, connection: Connection, upto: Cursor, replayed: int) -> None:
        frame = {"type": "resumed", "cursor": str(upto), "replayed": replayed}
        self._connections.answer(connection, json_frame(frame))
        connection.cursor = None
        if connection.farewell is None:
            connection.go_live()
            # Its answer proves the receipt of everything that was sent again.
            self._pings.send(connection)

    def _give_up(self, connection: Connection, error: Exception) -> None:
        """Without what it missed, the connection is of no use: it shall try again."""
        problem = problem_of(error)
        if problem.is_defect:
            log.error("resume_failed", exc_info=error)
        self._connections.close(connection, CloseCode.RESTART, json_frame(problem.frame()))

    async def _send_all(self, connection: Connection, missed: Missed) -> int:
        """Returns how many frames were sent."""
        sent = events = 0
        after = missed.since.events
        by = connection.by
        recounted = self._unreads.late(by.user_nid, after)
        while page := await self._page(connection, missed, after, events):
            events += len(page)
            if events > self._max_events:
                raise TooOld
            sent += await self._send_page(connection, page, missed.since.receipts)
            recounted |= _recounted(by, page)
            after = page[-1].position
        marks = await self._marks(connection, missed)
        sent += await self._send_unread(connection, missed, recounted, marks)
        return sent + await self._send_reads(connection, missed, marks)

    async def _page(
        self, connection: Connection, missed: Missed, after: int, offset: int
    ) -> Sequence[Committed]:
        if missed.recent is not None:
            return missed.recent[offset : offset + _PAGE]
        by, upto = connection.by, missed.upto.events
        async with self._slots:
            return await self._views.replay(by.user_nid, after, upto, _PAGE)

    async def _send_page(
        self, connection: Connection, page: Sequence[Committed], receipts: int
    ) -> int:
        kinds = [kind_of(each) for each in page]
        lookups = map(self._relating.related, page, kinds)
        related = await asyncio.gather(*lookups)
        publications = [
            publish(committed, kind, found, receipts)
            for committed, kind, found in zip(page, kinds, related, strict=True)
        ]
        deleted = {each.stored.event.redacts for each in page if each.stored.event.redacts}
        last_change = _last_changes(page, publications)
        frames: list[bytes] = []
        for index, committed in enumerate(page):
            if kinds[index] is Kind.MESSAGE and committed.stored.event.event_id in deleted:
                cursor = str(Cursor(committed.position, receipts))
                frames.append(message_new(committed, cursor, blank=True))
                continue
            shown = last_change.get(committed.room.room_nid) == index
            frames += _frames_for(connection, committed, publications[index], with_room=shown)
        await self._write(connection, frames)
        return len(frames)

    async def _marks(self, connection: Connection, missed: Missed) -> Sequence[ReadMark]:
        if missed.since.receipts >= missed.upto.receipts:
            return ()
        marks = await self._views.reads(
            connection.by.user_nid,
            missed.since.receipts,
            missed.upto.receipts,
            self._max_events + 1,
        )
        if len(marks) > self._max_events:
            raise TooOld
        return marks

    async def _send_unread(
        self,
        connection: Connection,
        missed: Missed,
        recounted: Mapping[int, Due],
        marks: Sequence[ReadMark],
    ) -> int:
        """How much is unread where that cannot be counted from what was sent. Goes before the marks
        themselves, so that who gets one of them has got this.
        """
        reader_nid = connection.by.user_nid
        own = [mark for mark in marks if mark.reader_nid == reader_nid]
        listener = self._audience.user(reader_nid)
        present = {} if listener is None else listener.rooms
        changed = {**recounted, **{mark.room_nid: Due(mark.room_uuid) for mark in own}}
        rooms = {room_nid: due for room_nid, due in changed.items() if room_nid in present}
        counts = {nid: await self._views.unread(reader_nid, nid) for nid in rooms}
        cursor = Cursor(missed.upto.events, missed.since.receipts)
        later = self._tail.since(missed.upto.events) or ()
        frames = []
        for room_nid, due in rooms.items():
            exact = self._unreads.count(reader_nid, room_nid, later)
            count = counts[room_nid] if exact is None else exact
            last_read = _farthest(own, room_nid) or due.last_read
            frames.append(unread(due.room_uuid, count, last_read, cursor))
        await self._write(connection, frames)
        return len(frames)

    async def _send_reads(
        self, connection: Connection, missed: Missed, marks: Sequence[ReadMark]
    ) -> int:
        frames = [
            message_read(mark, Cursor(missed.upto.events, mark.position))
            for mark in marks
            if mark.is_of_room and not mark.is_private
        ]
        await self._write(connection, frames)
        return len(frames)

    async def _write(self, connection: Connection, frames: Sequence[bytes]) -> None:
        """Waits while the client does not read: heartbeats and its backlog say when it is gone."""
        outbox = connection.outbox
        if outbox is None or outbox.is_closing() or connection.farewell is not None:
            raise ConnectionResetError
        if frames:
            outbox.write(b"".join(frames))
        while outbox.get_write_buffer_size() > _MAX_BUFFERED_BYTES:
            await asyncio.sleep(_BUFFER_POLL_S)
            if outbox.is_closing():
                raise ConnectionResetError


def heard_by(
    user_id: UserID, rooms: Mapping[int, int], events: Sequence[Committed]
) -> list[Committed]:
    """Those of the events that reached a user: in rooms while he was a member, and his own
    memberships. rooms: his rooms after the last of the events.
    """
    present = set(rooms)
    for committed in reversed(events):
        if _is_about(user_id, committed):
            was_present = committed.prev_membership == "join"
            (present.add if was_present else present.discard)(committed.room.room_nid)
    heard = []
    for committed in events:
        own = _is_about(user_id, committed)
        if own or committed.room.room_nid in present:
            heard.append(committed)
        if own:
            step = membership_step(committed)
            if step is Step.ENTERS:
                present.add(committed.room.room_nid)
            elif step is Step.LEAVES:
                present.discard(committed.room.room_nid)
    return heard


def _is_about(user_id: UserID, committed: Committed) -> bool:
    event = committed.stored.event
    return event.state_key == user_id and event.type == MEMBER_TYPE


def _recounted(by: Requester, events: Sequence[Committed]) -> dict[int, Due]:
    """The rooms where something besides messages of others may have changed what is unread."""
    return {
        committed.room.room_nid: Due(committed.room.uuid)
        for committed in events
        if kind_of(committed) is Kind.REDACTION
        or (committed.sender.user_nid == by.user_nid and committed.stored.facts.is_message)
    }


def _farthest(own: Sequence[ReadMark], room_nid: int) -> UUID | None:
    """Up to where somebody has read a room, by the marks that moved."""
    marks = [mark for mark in own if mark.room_nid == room_nid and mark.is_of_room]
    return max(marks, key=lambda mark: mark.event_position).message_uuid if marks else None


def _last_changes(page: Sequence[Committed], publications: Sequence[Publication]) -> dict[int, int]:
    """Where in a page each room last changed: one `room.updated` there tells them all."""
    return {
        committed.room.room_nid: index
        for index, (committed, publication) in enumerate(zip(page, publications, strict=True))
        if publication.room_changed is not None
    }


def _frames_for(
    connection: Connection, committed: Committed, publication: Publication, *, with_room: bool
) -> list[bytes]:
    by = connection.by
    if _is_about(by.user_id, committed):
        return list(publication.subject)
    frames = list(publication.members)
    if with_room and publication.room_changed is not None:
        frames.append(publication.room_changed(by.user_uuid))
    return frames
