"""Finding events by their words, as Matrix clients do.

Source: C-S API v1.19 "Server Side Search", search.yaml.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver import search_terms
from homeserver.client_event import JsonObject
from homeserver.event_filter import ALL, EventFilter
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import RoomID, UserID
from homeserver.requester import Requester
from homeserver.search_terms import (
    name_lexeme,
    quoted,
    room_lexeme,
    sender_lexeme,
    topic_lexeme,
)
from homeserver.storage import memberships, message_search, room_events, room_state_at, users
from homeserver.storage.aggregations import Sight
from homeserver.storage.database import Connection, Database
from homeserver.storage.message_search import Hit
from homeserver.storage.timeline import MAX_POSITION
from homeserver.views import history
from homeserver.views.client_events import ClientEvents
from homeserver.views.erasure import Erased, is_hidden
from homeserver.views.history import ReadableRoom
from homeserver.views.room_access import state_seen_by
from homeserver.views.search import require_search

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
DEFAULT_CONTEXT = 5
MAX_CONTEXT = 20
MAX_TERM_CHARS = 1_000

BODY, NAME, TOPIC = "content.body", "content.name", "content.topic"
KEYS = (BODY, NAME, TOPIC)
RANK, RECENT = "rank", "recent"

_KIND_LEXEMES = {NAME: name_lexeme(), TOPIC: topic_lexeme()}
_MAX_HITS = 1_000
_MAX_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Group:
    """What results have in common: key "room_id" or "sender", and its value."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Point:
    """Where a page of results ended, by rank and position; group: of which it tells more."""

    rank: float = math.inf
    position: int = MAX_POSITION
    group: Group | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """How much context each result comes with. profiles: with those of the senders."""

    before: int = DEFAULT_CONTEXT
    after: int = DEFAULT_CONTEXT
    profiles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What to look for, and where. keys: some of KEYS. start: where the page before it ended."""

    term: str
    keys: Collection[str] = KEYS
    only: EventFilter = ALL
    order_by: str = RANK
    around: Around | None = None
    include_state: bool = False
    start: Point = Point()

    @property
    def size(self) -> int:
        limit = DEFAULT_LIMIT if self.only.limit is None else self.only.limit
        return max(1, min(limit, MAX_LIMIT))


@dataclass(frozen=True, slots=True)
class Context:
    """What stands around a result. start, end: places. profiles: by user ID."""

    before: list[JsonObject]
    after: list[JsonObject]
    start: int
    end: int
    profiles: Mapping[str, JsonObject]


@dataclass(frozen=True, slots=True)
class Result:
    """An event that was found."""

    event: JsonObject
    rank: float
    context: Context | None


@dataclass(frozen=True, slots=True)
class Results:
    """A page. count: how many there are at least. next_point: None: there are no more. state: of
    the rooms, by ID, if it was asked for.
    """

    results: list[Result] = field(default_factory=list)
    count: int = 0
    highlights: Sequence[str] = ()
    next_point: Point | None = None
    state: Mapping[RoomID, list[JsonObject]] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """Hits that the reader may see, and their rooms."""

    hits: list[Hit] = field(default_factory=list)
    rooms: dict[int, ReadableRoom] = field(default_factory=dict)
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Whose messages are not found: of the erased, those that the reader was not there for."""

    ignored: Collection[UserID]
    erased: Erased


class EventSearch:
    """Reads by words, in the rooms that the reader is in or was in."""

    def __init__(self, *, database: Database, client_events: ClientEvents, enabled: bool) -> None:
        """enabled: whether there is an index to search in."""
        self._database = database
        self._client_events = client_events
        self._enabled = enabled

    async def search(self, by: Requester, query: SearchQuery) -> Results:
        """Events that have words which begin like those of the term, all of them.

        Raises NotAllowed where search is switched off, and Unavailable.
        """
        require_search(enabled=self._enabled)
        words = search_terms.query(query.term[:MAX_TERM_CHARS])
        if words is None or not query.keys or query.only.allows_none:
            return Results()
        ignored = await self._client_events.remember_ignored(by)
        async with self._database.snapshot() as db:
            tsquery = await _tsquery(db, by, query, words)
            if tsquery is None:
                return Results(highlights=search_terms.words(query.term))
            left_out = _LeftOut(ignored, self._client_events.erased)
            found = await _search(db, by, query, (tsquery, words), left_out)
            return await self._results(db, by, query, found, ignored)

    async def _results(
        self,
        db: Connection,
        by: Requester,
        query: SearchQuery,
        found: _Found,
        ignored: Collection[UserID],
    ) -> Results:
        page = found.hits[: query.size]
        events = [hit.stored for hit in page]
        shown = await self._client_events.render(db, by, events, rooms=found.rooms)
        sight = Sight(
            by.user_nid, [span for room in found.rooms.values() for span in room.spans], ignored
        )
        contexts = await self._contexts(db, by, query.around, events, sight, found.rooms)
        more = len(found.hits) > len(page) or not found.exhausted
        return Results(
            results=[
                Result(event, hit.rank, contexts.get(hit.stored.facts.event_nid))
                for event, hit in zip(shown, page, strict=True)
            ],
            count=len(found.hits),
            highlights=search_terms.words(query.term),
            next_point=_point(page[-1], query.start.group) if page and more else None,
            state=await self._state(db, events, found.rooms) if query.include_state else {},
        )

    async def _contexts(
        self,
        db: Connection,
        by: Requester,
        around: Around | None,
        events: Sequence[StoredEvent],
        sight: Sight,
        rooms: Mapping[int, ReadableRoom],
    ) -> dict[int, Context]:
        """By the numbers of the events."""
        if around is None or not events:
            return {}
        beside = await room_events.around(
            db, sight, events, before=around.before, after=around.after
        )
        neighbours = [each for group in beside.values() for each in group]
        shown = await self._client_events.render(db, by, neighbours, bundled=False, rooms=rooms)
        by_nid = {
            each.facts.event_nid: event for each, event in zip(neighbours, shown, strict=True)
        }
        profiles = await _profiles(db, events, beside) if around.profiles else {}
        return {
            each.facts.event_nid: _context(each, beside.get(_place(each), ()), by_nid, profiles)
            for each in events
        }

    async def _state(
        self, db: Connection, events: Sequence[StoredEvent], rooms: Mapping[int, ReadableRoom]
    ) -> dict[RoomID, list[JsonObject]]:
        ids = {each.facts.room_nid: each.event.room_id for each in events}
        versions = {nid: state_seen_by(rooms[nid]) for nid in ids}
        found = await room_state_at.whole_of_rooms(db, versions)
        return {ids[nid]: self._client_events.plain(state) for nid, state in found.items()}


async def _tsquery(db: Connection, by: Requester, query: SearchQuery, words: str) -> str | None:
    """None: there is nowhere to look."""
    rooms = await memberships.searchable_rooms_of(db, by.user_nid)
    group = query.start.group
    wanted = [
        room_lexeme(nid)
        for nid, room_id in rooms.items()
        if query.only.allows_room(room_id) and _in_group(group, "room_id", room_id)
    ]
    if not wanted:
        return None
    parts = [words, _any_of(wanted), *_kinds(query.keys)]
    senders = query.only.senders
    if group is not None and group.key == "sender":
        senders = frozenset((group.value,))
    if senders is not None:
        known = await users.by_user_ids(db, [UserID(each) for each in senders])
        if not known:
            return None
        parts.append(_any_of([sender_lexeme(each.user_nid) for each in known]))
    return " & ".join(f"({part})" for part in parts)


def _kinds(keys: Collection[str]) -> list[str]:
    """Messages have no lexeme of their kind, so they are what is neither name nor topic."""
    if set(keys) >= set(KEYS):
        return []
    kinds = [quoted(_KIND_LEXEMES[key]) for key in (NAME, TOPIC) if key in keys]
    if BODY in keys:
        kinds.append(f"!({_any_of(_KIND_LEXEMES.values())})")
    return [" | ".join(kinds)]


def _any_of(lexemes: Collection[str]) -> str:
    return " | ".join(map(quoted, lexemes))


def _in_group(group: Group | None, key: str, value: str) -> bool:
    return group is None or group.key != key or group.value == value


async def _search(
    db: Connection,
    by: Requester,
    query: SearchQuery,
    terms: tuple[str, str],
    left_out: _LeftOut,
) -> _Found:
    """One result more than the page has, if there is one. Hits may be invisible to the reader,
    filtered or deleted since, so there are rounds, ever larger.
    """
    found = _Found()
    start, count = query.start, max(query.size + 1, 100)
    await message_search.choose_plans_by_words(db)
    for _ in range(_MAX_ROUNDS):
        hits = await _hits(db, query.order_by, terms, start, count)
        await _add_visible(db, by, query, hits, found, left_out)
        found.exhausted = len(hits) < count
        if found.exhausted or len(found.hits) > query.size:
            break
        start = _point(hits[-1], None)
        count = min(count * 2, _MAX_HITS)
    return found


async def _hits(
    db: Connection, order_by: str, terms: tuple[str, str], start: Point, count: int
) -> list[Hit]:
    if order_by == RECENT:
        return await message_search.recent(db, *terms, before=start.position, limit=count)
    return await message_search.best(db, *terms, below=(start.rank, start.position), limit=count)


async def _add_visible(
    db: Connection,
    by: Requester,
    query: SearchQuery,
    hits: Sequence[Hit],
    found: _Found,
    left_out: _LeftOut,
) -> None:
    there = [hit for hit in hits if _is_wanted(hit.stored, query.only, left_out.ignored)]
    new = {hit.stored.facts.room_nid for hit in there} - found.rooms.keys()
    if new:
        found.rooms |= await history.of_all(db, by.user_id, new)
    visible: set[int] = set()
    for room_nid in {hit.stored.facts.room_nid for hit in there}:
        of_room = [hit.stored for hit in there if hit.stored.facts.room_nid == room_nid]
        room = found.rooms[room_nid]
        seen = await history.visible_only(db, room, of_room)
        visible |= {
            each.facts.event_nid for each in seen if not is_hidden(each, room, left_out.erased)
        }
    found.hits += [hit for hit in there if hit.stored.facts.event_nid in visible]


def _is_wanted(stored: StoredEvent, only: EventFilter, ignored: Collection[UserID]) -> bool:
    if stored.facts.redacted_by is not None or not only.matches(stored.event):
        return False
    return stored.event.is_state or stored.event.sender not in ignored


def _context(
    middle: StoredEvent,
    beside: Sequence[StoredEvent],
    shown: Mapping[int, JsonObject],
    profiles: Mapping[tuple[int, UserID], JsonObject],
) -> Context:
    place, room_nid = _place(middle), middle.facts.room_nid
    before = [each for each in reversed(beside) if _place(each) < place]
    after = [each for each in beside if _place(each) > place]
    senders = {each.event.sender for each in (middle, *beside)}
    return Context(
        before=[shown[each.facts.event_nid] for each in before],
        after=[shown[each.facts.event_nid] for each in after],
        start=_place(before[-1] if before else middle) - 1,
        end=_place(after[-1] if after else middle),
        profiles={
            sender: profiles[room_nid, sender]
            for sender in senders
            if (room_nid, sender) in profiles
        },
    )


async def _profiles(
    db: Connection,
    events: Sequence[StoredEvent],
    beside: Mapping[int, Sequence[StoredEvent]],
) -> dict[tuple[int, UserID], JsonObject]:
    """ "historic profile information": of each sender in each room, at the newest result there."""
    wanted: dict[tuple[int, UserID], int] = {}
    for middle in events:
        version = middle.facts.state_version or 0
        for each in (middle, *beside.get(_place(middle), ())):
            key = each.facts.room_nid, each.event.sender
            wanted[key] = max(version, wanted.get(key, 0))
    found = await room_state_at.senders_at(
        db, [(room_nid, version, user) for (room_nid, user), version in wanted.items()]
    )
    return {
        (each.facts.room_nid, UserID(each.event.state_key or "")): _profile(each) for each in found
    }


def _profile(member: StoredEvent) -> JsonObject:
    content = member.event.content
    found = {key: content.get(key) for key in ("displayname", "avatar_url")}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _point(hit: Hit, group: Group | None) -> Point:
    return Point(hit.rank, _place(hit.stored), group)


def _place(stored: StoredEvent) -> int:
    assert stored.facts.position is not None
    return stored.facts.position
