"""One room at once and what happens in it, for who looks into it without having joined.

Source: C-S API v1.19 "Room Previews", room_initial_sync.yaml, peeking_events.yaml.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from homeserver.identifiers import RoomID
from homeserver.requester import Requester
from homeserver.streams.tail import Committed, EventTail
from homeserver.sync.waiting import Waiter
from homeserver.sync.waiting_room import WaitingRoom
from homeserver.views.room_access import RoomAccess
from homeserver.views.room_pages import Page, PageQuery, RoomPages
from homeserver.views.room_reads import RoomReads

MAX_WAIT_MS = 60_000
_PAGE = 100
"""Events of one answer, at the most."""


@dataclass(frozen=True, slots=True)
class RoomAtOnce:
    """page: the newest events, the newest first. state: all of it, a JSON array."""

    page: Page
    state: bytes
    is_published: bool


@dataclass(frozen=True, slots=True)
class News:
    """What happened between two places of a room."""

    page: Page
    start: int
    end: int


class Peeking:
    """All raise NotAllowed for a room that the reader may not look into, and Unavailable."""

    def __init__(
        self,
        *,
        access: RoomAccess,
        pages: RoomPages,
        reads: RoomReads,
        events: EventTail,
        waiting_room: WaitingRoom,
    ) -> None:
        self._access = access
        self._pages = pages
        self._reads = reads
        self._events = events
        self._waiting_room = waiting_room
        self._waiting: dict[int, dict[Waiter, None]] = {}
        events.subscribe(self._happened)

    async def at_once(self, by: Requester, room_id: RoomID, *, limit: int) -> RoomAtOnce:
        room = await self._access.find(room_id)
        page = await self._pages.page(by, room_id, PageQuery(forwards=False, limit=limit))
        return RoomAtOnce(page, await self._reads.state(by, room_id), room.published)

    async def news(
        self, by: Requester, room_id: RoomID, *, since: int | None, timeout_ms: int
    ) -> News:
        """What came after a place, or after now. Waits for it, once: the answer may be empty.

        Raises NotAuthenticated where the session ends meanwhile.
        """
        with self._waiting_room.outside(by) as waiter:
            room = await self._access.find(room_id)
            start = self._events.position if since is None else since
            with self._in_room(room.room_nid, waiter):
                news = await self._read(by, room_id, start)
                if news.page.events or timeout_ms <= 0 or self._waiting_room.is_closed:
                    return news
                await self._waiting_room.stand(by, waiter, timeout_ms / 1000)
                return await self._read(by, room_id, start)

    async def _read(self, by: Requester, room_id: RoomID, start: int) -> News:
        """Up to where the stream stood, so that nothing after it is passed over."""
        upto = max(start, self._events.position)
        query = PageQuery(forwards=True, start=start, stop=upto, limit=_PAGE)
        page = await self._pages.page(by, room_id, query)
        return News(page, start, upto if page.end is None else page.end)

    def _happened(self, batch: Sequence[Committed]) -> None:
        for room_nid in {committed.room.room_nid for committed in batch}:
            for waiter in self._waiting.get(room_nid, ()):
                waiter.end()

    @contextmanager
    def _in_room(self, room_nid: int, waiter: Waiter) -> Iterator[None]:
        of_room = self._waiting.setdefault(room_nid, {})
        of_room[waiter] = None
        try:
            yield
        finally:
            of_room.pop(waiter, None)
            if not of_room:
                self._waiting.pop(room_nid, None)
