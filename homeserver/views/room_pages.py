"""Pages of a room's events: back and forth, around an event, and at a time.

Source: C-S API v1.19 message_pagination.yaml, event_context.yaml, room_event_by_timestamp.yaml.
A place between two events is written as the position of the one before it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from orjson import Fragment

from homeserver.client_event import JsonObject
from homeserver.errors import NotFound
from homeserver.event_filter import ALL, EventFilter
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid
from homeserver.message_json import Message
from homeserver.requester import Requester
from homeserver.storage import events, plain_events, room_events, room_state_at
from homeserver.storage.database import Connection, Database
from homeserver.storage.plain_events import PlainRow
from homeserver.storage.room_events import PageRow
from homeserver.storage.timeline import MAX_POSITION
from homeserver.views import history
from homeserver.views.client_events import ClientEvents
from homeserver.views.page_cache import CachedPage, Key, Outline, PageCache
from homeserver.views.plain_rows import Rendered, cacheable, is_plain, render_rows
from homeserver.views.read_ahead import ReadAhead
from homeserver.views.room_access import OpenRoom, RoomAccess

DEFAULT_LIMIT = 10
MAX_LIMIT = 500
MAX_CONTEXT = 200
_NEIGHBOURS = 50
"""Events on each side of a time of which the nearest is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which events: from a place, to a place, forwards or backwards. Places: None for the end of
    the room that the direction comes from or goes to.
    """

    forwards: bool
    start: int | None = None
    stop: int | None = None
    limit: int = DEFAULT_LIMIT
    only: EventFilter = ALL

    @property
    def after(self) -> int:
        bound = self.start if self.forwards else self.stop
        return -MAX_POSITION if bound is None else bound

    @property
    def upto(self) -> int:
        bound = self.stop if self.forwards else self.start
        return MAX_POSITION if bound is None else bound

    @property
    def size(self) -> int:
        """How many events at the most."""
        limit = self.limit if self.only.limit is None else min(self.limit, self.only.limit)
        return max(1, min(limit, MAX_LIMIT))


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events. start, end: places; end None: there is no more. state: what helps to show
    the events; the members who sent them, where members are loaded lazily.
    """

    events: Sequence[JsonObject | Fragment]
    state: list[JsonObject]
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Context:
    """An event and what stands around it. before: the newest first."""

    event: JsonObject
    before: list[JsonObject]
    after: list[JsonObject]
    state: list[JsonObject]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """Events in the order asked for. end: the place up to which was looked; None: to the end.

    parents: on which of them something hangs.
    """

    events: list[StoredEvent]
    end: int | None
    parents: frozenset[UUID] = frozenset()


class RoomPages:
    """Reads of the order of events. All raise NotAllowed for a room that the reader may not look
    into, and Unavailable.
    """

    def __init__(
        self,
        *,
        database: Database,
        access: RoomAccess,
        client_events: ClientEvents,
        cache: PageCache,
    ) -> None:
        self._database = database
        self._access = access
        self._client_events = client_events
        self._cache = cache
        self._read_ahead = ReadAhead()

    async def page(self, by: Requester, room_id: RoomID, query: PageQuery) -> Page:
        """At most MAX_LIMIT events. Usually one query: the page itself is a single one, and what
        hangs on it may be as it is a moment later. None for a page that somebody read before.
        """
        record = await self._access.find(room_id)
        ignored = await self._client_events.remember_ignored(by)
        known = self._access.peek(by, record)
        if known is not None and is_plain(known, query.only, ignored):
            kept = await self._arriving(known, query)
            if kept is not None and not query.only.lazy_load_members:
                self._expect_next(by, known, query, kept.outline)
                events = kept.events(by.session_nid, self._client_events.now_ms())
                return Page(events, [], kept.outline.start, kept.outline.end)
        async with self._database.connection() as db:
            room = await self._access.open(db, by, record)
            if is_plain(room, query.only, ignored):
                return await self._plain_page(db, by, room, query)
            found = await find_page(db, room, query, ignored)
            senders = await _senders(db, room, found.events, query.only)
            shown = await self._client_events.render(
                db,
                by,
                found.events,
                rooms={room.room_nid: room.readable},
                parents=found.parents,
            )
            start = query.start
            if start is None:
                start = _edge([_place(each) for each in found.events], query.forwards)
        return Page(shown, self._client_events.plain(senders), start, found.end)

    async def _arriving(self, room: OpenRoom, query: PageQuery) -> CachedPage | None:
        """The same as `_kept`, if need be in a moment."""
        key = _key(room, query)
        if key is not None:
            await self._read_ahead.arrived(key)
        return self._kept(room, query)

    def _expect_next(
        self, by: Requester, room: OpenRoom, query: PageQuery, outline: Outline
    ) -> None:
        """Reads the page after this one beforehand, where this one could be kept: then the other
        usually can be, too.
        """
        start, end = query.start, outline.end
        if end is None or not self._read_ahead.goes_on(by, room.room_nid, start=start, end=end):
            return
        following = replace(query, start=end, only=ALL, limit=query.size)
        key, next_key = _key(room, query), _key(room, following)
        if key is None or next_key is None or self._cache.get(key) is None:
            return
        if self._cache.get(next_key) is None:
            self._read_ahead.begin(next_key, partial(self._read_beforehand, by, room, following))

    async def _read_beforehand(self, by: Requester, room: OpenRoom, query: PageQuery) -> None:
        async with self._database.connection() as db:
            await self._read(db, by, room, query)

    def _kept(self, room: OpenRoom, query: PageQuery) -> CachedPage | None:
        """The page as somebody read it before who might see the same."""
        key = _key(room, query)
        kept = None if key is None else self._cache.get(key)
        return kept if kept is not None and kept.is_for(room.readable) else None

    async def _plain_page(
        self, db: Connection, by: Requester, room: OpenRoom, query: PageQuery
    ) -> Page:
        """The same where nothing is hidden and nothing is filtered."""
        kept = self._kept(room, query)
        if kept is not None:
            self._expect_next(by, room, query, kept.outline)
            shown = kept.events(by.session_nid, self._client_events.now_ms())
            return await self._with_members(db, room, query, shown, kept.outline)
        rendered, outline = await self._read(db, by, room, query)
        now_ms = self._client_events.now_ms()
        written = [
            Fragment(each.json(by.session_nid, now_ms)) if isinstance(each, Message) else each
            for each in rendered.events
        ]
        self._expect_next(by, room, query, outline)
        return await self._with_members(db, room, query, written, outline)

    async def _read(
        self, db: Connection, by: Requester, room: OpenRoom, query: PageQuery
    ) -> tuple[Rendered, Outline]:
        """A page that is kept for others from now on, if it can be."""
        changes, key = self._cache.changes, _key(room, query)
        rows = await plain_events.page(
            db,
            room.room_nid,
            after=query.after,
            upto=query.upto,
            forwards=query.forwards,
            limit=query.size + 1,
        )
        page = rows[: query.size]
        rendered = await render_rows(db, by, room, page, self._client_events)
        outline = _outline(page, rendered.senders, query, is_all=len(rows) == len(page))
        if key is not None and (keepable := cacheable(room, page, rendered, outline)) is not None:
            self._cache.put(key, keepable, changes=changes)
        return rendered, outline

    async def _with_members(
        self,
        db: Connection,
        room: OpenRoom,
        query: PageQuery,
        shown: Sequence[JsonObject | Fragment],
        outline: Outline,
    ) -> Page:
        members: list[StoredEvent] = []
        if query.only.lazy_load_members and shown:
            members = await room_state_at.members(
                db, room.room_nid, outline.newest_version, only=outline.senders
            )
        return Page(shown, self._client_events.plain(members), outline.start, outline.end)

    async def context(
        self, by: Requester, room_id: RoomID, event_id: EventID, *, limit: int, only: EventFilter
    ) -> Context:
        """At most `limit` events around one, half of them before it. Raises NotFound."""
        record = await self._access.find(room_id)
        ignored = await self._client_events.remember_ignored(by)
        size = max(0, min(limit, MAX_CONTEXT))
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            event = await _visible(db, room, event_id)
            before, after = await _around(db, room, _place(event), size, only, ignored)
            last = _place(after[-1] if after else event)
            state = await _state(db, room, last, [event, *before, *after], only)
            shown = await self._client_events.render(
                db, by, [event, *before, *after], rooms={room.room_nid: room.readable}
            )
        return Context(
            event=shown[0],
            before=shown[1 : len(before) + 1],
            after=shown[len(before) + 1 :],
            state=self._client_events.plain(state),
            start=_place(before[-1] if before else event) - 1,
            end=last,
        )

    async def at_time(
        self, by: Requester, room_id: RoomID, ts: int, *, forwards: bool
    ) -> tuple[EventID, int]:
        """The nearest event that the reader may see at a time or after it, or before it.

        Returns its ID and its time. Raises NotFound.
        """
        record = await self._access.find(room_id)
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            place = await room_events.place_of_time(db, room.room_nid, ts)
            near = [] if place is None else await _near(db, room, place - 1)
        fitting = [each.event for each in near if _fits(each, ts, forwards=forwards)]
        if not fitting:
            raise NotFound("There is no event there.", kind="message")
        nearest = min(fitting, key=lambda event: abs(event.origin_server_ts - ts))
        return nearest.event_id, nearest.origin_server_ts


async def find_page(
    db: Connection, room: OpenRoom, query: PageQuery, ignored: Collection[UserID]
) -> Found:
    """The events of a page that the reader may see and wants to."""
    only = query.only
    if not only.allows_room(room.record.room_id) or only.allows_none:
        return Found([], None)
    horizon = await _horizon(db, room, query)
    rows = await _rows(db, room, query, ignored, horizon)
    size = query.size
    more = len(rows) > size
    page = [stored for stored, _ in rows[:size]]
    end = _end(_place(page[-1]), query.forwards) if more else horizon
    visible = await history.visible_only(db, room.readable, page)
    if not only.allows_all_of_room:
        visible = [each for each in visible if only.matches(each.event)]
    return Found(visible, end, frozenset(each.facts.uuid for each, parent in rows if parent))


async def _rows(
    db: Connection,
    room: OpenRoom,
    query: PageQuery,
    ignored: Collection[UserID],
    horizon: int | None,
) -> list[PageRow]:
    """One event more than the page has, if there are so many; not all may be visible."""
    after, upto, forwards = query.after, query.upto, query.forwards
    if horizon is not None:
        after, upto = (after, horizon) if forwards else (horizon, upto)
    limit = query.size + 1
    spans = room.readable.spans
    if query.only.allows_all_of_room and not ignored:
        found = await room_events.page(
            db, spans, after=after, upto=upto, forwards=forwards, limit=limit
        )
    else:
        found = await room_events.filtered_page(
            db,
            spans,
            after=after,
            upto=upto,
            forwards=forwards,
            limit=limit,
            only=query.only,
            ignored=ignored,
        )
    return await _with_changes(db, room, query, found, range(after + 1, upto + 1))


async def _with_changes(
    db: Connection, room: OpenRoom, query: PageQuery, found: list[PageRow], places: range
) -> list[PageRow]:
    """And the events that set the reader's membership or the visibility.

    C-S API v1.19 "Room History Visibility": they may be seen by the state after them, too, so they
    stand right outside of the spans.
    """
    if room.readable.is_all_visible:
        return found
    limit = query.size + 1
    if len(found) >= limit:
        last = _place(found[-1][0])
        places = range(places.start, last) if query.forwards else range(last, places.stop)
    known = {_place(each) for each, _ in found}
    missing = [each for each in room.readable.changes if each in places and each not in known]
    if not missing:
        return found
    changes = await room_events.at_positions(db, room.room_nid, missing)
    seen = [
        (each, False) for each in changes if query.only.matches(each.event) and _shows(room, each)
    ]
    rows = [*found, *seen]
    return sorted(rows, key=lambda row: _place(row[0]), reverse=not query.forwards)[:limit]


def _shows(room: OpenRoom, stored: StoredEvent) -> bool:
    return stored.facts.fork_nid is not None or room.readable.shows(stored)


async def _horizon(db: Connection, room: OpenRoom, query: PageQuery) -> int | None:
    """How far a page with a filter looks; None: as far as it likes."""
    if query.only.allows_all_of_room:
        return None
    farthest = await room_events.reach(
        db, room.room_nid, after=query.after, upto=query.upto, forwards=query.forwards
    )
    if farthest is None:
        return None
    return farthest if query.forwards else farthest - 1


async def _around(
    db: Connection,
    room: OpenRoom,
    place: int,
    size: int,
    only: EventFilter,
    ignored: Collection[UserID],
) -> tuple[list[StoredEvent], list[StoredEvent]]:
    """What stands before an event, the newest first, and after it."""
    half = size // 2
    before, after = Found([], None), Found([], None)
    if half:
        query = PageQuery(forwards=False, start=place - 1, limit=half, only=only)
        before = await find_page(db, room, query, ignored)
    if size - half:
        query = PageQuery(forwards=True, start=place, limit=size - half, only=only)
        after = await find_page(db, room, query, ignored)
    return before.events, after.events


async def _state(
    db: Connection,
    room: OpenRoom,
    place: int,
    shown: Sequence[StoredEvent],
    only: EventFilter,
) -> list[StoredEvent]:
    """The state right after a place, as far as the filter lets it through."""
    version = await room_state_at.version_at(db, room.room_nid, place)
    state = await room_state_at.whole(
        db,
        room.room_nid,
        room.no_later_than(version),
        members={each.event.sender for each in shown} if only.lazy_load_members else None,
    )
    return [each for each in state if only.matches(each.event)]


async def _senders(
    db: Connection, room: OpenRoom, shown: Sequence[StoredEvent], only: EventFilter
) -> list[StoredEvent]:
    """ "Lazy-loading room members": who sent the events, as they were at the newest of them.

    Who came with one of the events comes with that event.
    """
    if not only.lazy_load_members or not shown:
        return []
    newest = max(shown, key=_place)
    return await room_state_at.members(
        db,
        room.room_nid,
        newest.facts.state_version,
        only={each.event.sender for each in shown},
    )


async def _near(db: Connection, room: OpenRoom, place: int) -> list[StoredEvent]:
    """Events right before and right after a place, in their order."""
    before = await find_page(
        db, room, PageQuery(forwards=False, start=place, limit=_NEIGHBOURS), ()
    )
    after = await find_page(db, room, PageQuery(forwards=True, start=place, limit=_NEIGHBOURS), ())
    return [*reversed(before.events), *after.events]


async def _visible(db: Connection, room: OpenRoom, event_id: EventID) -> StoredEvent:
    found = await visible_event(db, room, event_id)
    if found is None:
        raise NotFound("Event not found.", kind="message")
    return found


async def visible_event(db: Connection, room: OpenRoom, event_id: EventID) -> StoredEvent | None:
    """An event of the room, if it is there and the reader may see it."""
    stored = await events.by_uuid(db, native_uuid(event_id))
    if stored is None or stored.facts.position is None or stored.facts.room_nid != room.room_nid:
        return None
    seen = await history.visible_only(db, room.readable, [stored])
    return seen[0] if seen else None


def _place(stored: StoredEvent) -> int:
    assert stored.facts.position is not None
    return stored.facts.position


def _end(last: int, forwards: bool) -> int:  # noqa: FBT001
    return last if forwards else last - 1


def _key(room: OpenRoom, query: PageQuery) -> Key | None:
    """What a page is kept under; None for the newest, which is another in a moment."""
    if query.start is None:
        return None
    return room.room_nid, query.after, query.upto, query.size, query.forwards


def _outline(
    rows: Sequence[PlainRow], senders: frozenset[UserID], query: PageQuery, *, is_all: bool
) -> Outline:
    start = query.start
    if start is None:
        start = _edge([row.position for row in rows], query.forwards)
    return Outline(
        start=start,
        end=None if is_all else _end(rows[-1].position, query.forwards),
        newest_version=rows[-1 if query.forwards else 0].state_version if rows else 0,
        senders=senders,
    )


def _edge(positions: Sequence[int], forwards: bool) -> int:  # noqa: FBT001
    """The place where a page began that came from the end of the room."""
    if not positions:
        return 0
    return positions[0] - 1 if forwards else positions[0]


def _fits(stored: StoredEvent, ts: int, *, forwards: bool) -> bool:
    when = stored.event.origin_server_ts
    return when >= ts if forwards else when <= ts
