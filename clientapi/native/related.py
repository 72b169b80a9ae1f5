"""Looking up what frames of some events need: edited messages, rooms, members."""

import asyncio

import structlog

from clientapi.native.publications import (
    AT_ONCE,
    Edited,
    Kind,
    Redacted,
    Related,
    RoomContext,
)
from homeserver.errors import Unavailable
from homeserver.identifiers import UserID, native_uuid
from homeserver.messages import relation_of
from homeserver.streams.people import People, Person
from homeserver.streams.tail import Committed
from homeserver.views.live import Live as LiveViews
from homeserver.views.live import RemovedEdit
from homeserver.views.room_settings import RoomDetails

_AT_A_TIME = 4
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

log = structlog.get_logger(__name__)


class Relating:
    """Looks things up, a few at a time, until it is known what they are."""

    def __init__(self, *, views: LiveViews, people: People) -> None:
        self._views = views
        self._people = people
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._rooms: dict[int, asyncio.Task[RoomDetails | None]] = {}

    async def related(self, committed: Committed, kind: Kind) -> Related:
        """What `publish` needs for an event. While the database is away, this waits for it: an
        event that could not be told would be missing for good.
        """
        if kind in AT_ONCE:
            return None
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._look_up(committed, kind)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _look_up(self, committed: Committed, kind: Kind) -> Related:
        if kind is Kind.EDIT:
            return await self._edited(committed)
        if kind is Kind.REDACTION:
            return await self._redacted(committed)
        room = self._room(committed.room.room_nid)
        subject = await self._subject(committed) if kind is Kind.MEMBERSHIP else None
        return RoomContext(await asyncio.shield(room), subject)

    async def _edited(self, committed: Committed) -> Edited | None:
        relation = relation_of(committed.stored.event)
        assert relation is not None
        async with self._slots:
            message = await self._views.message(native_uuid(relation.event_id))
        return None if message is None else Edited(message)

    async def _redacted(self, committed: Committed) -> Redacted | None:
        async with self._slots:
            removed = await self._views.removed(committed)
            if removed is None:
                return None
            edited = isinstance(removed, RemovedEdit)
            message = await self._views.message(removed.message_uuid) if edited else None
        return Redacted(removed, message)

    async def _subject(self, committed: Committed) -> Person | None:
        user_id = committed.stored.event.state_key
        if user_id == committed.sender.user_id:
            return committed.sender
        return await self._people.by_user_id(UserID(user_id or ""))

    def _room(self, room_nid: int) -> "asyncio.Task[RoomDetails | None]":
        """A read that has not begun yet will see this event too, so it serves for both."""
        task = self._rooms.get(room_nid)
        if task is None:
            task = asyncio.create_task(self._load_room(room_nid))
            self._rooms[room_nid] = task
        return task

    async def _load_room(self, room_nid: int) -> RoomDetails | None:
        async with self._slots:
            del self._rooms[room_nid]
            return await self._views.room(room_nid)
