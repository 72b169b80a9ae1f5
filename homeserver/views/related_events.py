"""What relates to an event, and the threads of a room.

Source: C-S API v1.19 relations.yaml, threads_list.yaml.
"""

from dataclasses import dataclass, replace

from homeserver.client_event import JsonObject
from homeserver.errors import NotAllowed, NotFound
from homeserver.events.redaction import redact_event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import related_events
from homeserver.storage.aggregations import Sight
from homeserver.storage.database import Connection, Database
from homeserver.storage.related_events import Children
from homeserver.storage.timeline import MAX_POSITION
from homeserver.views import history
from homeserver.views.client_events import ClientEvents
from homeserver.views.room_access import OpenRoom, RoomAccess
from homeserver.views.room_pages import visible_event

DEFAULT_CHILDREN = 20
DEFAULT_THREADS = 20
MAX_LIMIT = 500
MAX_DEPTH = related_events.MAX_DEPTH
"""How far `recurse` goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildrenQuery:
    """Which children of an event: from a place, to a place, forwards or backwards.

    rel_type, event_type: only such; None: all. recurse: theirs, too.
    """

    rel_type: str | None = None
    event_type: str | None = None
    forwards: bool = False
    start: int | None = None
    stop: int | None = None
    limit: int = DEFAULT_CHILDREN
    recurse: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A page. next_place: where the next one begins; None: there is none."""

    events: list[JsonObject]
    next_place: int | None


class RelatedEvents:
    """Reads of relations. All raise Unavailable."""

    def __init__(
        self, *, database: Database, access: RoomAccess, client_events: ClientEvents
    ) -> None:
        self._database = database
        self._access = access
        self._client_events = client_events

    async def children(
        self, by: Requester, room_id: RoomID, parent: EventID, query: ChildrenQuery
    ) -> Part:
        """Events that relate to one. Raises NotFound, also where the reader may not see it."""
        try:
            record = await self._access.find(room_id)
        except NotAllowed:
            raise _no_such_event() from None
        ignored = await self._client_events.remember_ignored(by)
        size = max(1, min(query.limit, MAX_LIMIT))
        async with self._database.snapshot() as db:
            room = await self._access.look(db, by, record)
            if room is None or await visible_event(db, room, parent) is None:
                raise _no_such_event()
            sight = Sight(by.user_nid, room.readable.spans, ignored)
            found = await _children(db, sight, room.room_nid, parent, query, size + 1)
            shown = await self._render(db, by, room, found[:size])
        more = len(found) > size
        return Part(shown, _next_place(found[size - 1], query.forwards) if more else None)

    async def threads(
        self,
        by: Requester,
        room_id: RoomID,
        *,
        start: int | None = None,
        participated: bool = False,
        limit: int = DEFAULT_THREADS,
    ) -> Part:
        """Roots of threads, the one with the newest message first. participated: only of threads
        that the reader wrote in. Raises NotAllowed.
        """
        record = await self._access.find(room_id)
        ignored = await self._client_events.remember_ignored(by)
        size = max(1, min(limit, MAX_LIMIT))
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            found = await related_events.threads(
                db,
                Sight(by.user_nid, room.readable.spans, ignored),
                room.room_nid,
                upto=MAX_POSITION if start is None else start,
                participated=participated,
                limit=size + 1,
            )
            roots = [each.root for each in found[:size]]
            roots = await history.visible_only(db, room.readable, roots)
            shown = await self._render(db, by, room, [_hidden(each, ignored) for each in roots])
        return Part(shown, found[size - 1].latest - 1 if len(found) > size else None)

    async def _render(
        self, db: Connection, by: Requester, room: OpenRoom, found: list[StoredEvent]
    ) -> list[JsonObject]:
        rooms = {room.room_nid: room.readable}
        return await self._client_events.render(db, by, found, rooms=rooms)


async def _children(
    db: Connection,
    sight: Sight,
    room_nid: int,
    parent: EventID,
    query: ChildrenQuery,
    limit: int,
) -> list[StoredEvent]:
    if "\0" in f"{query.rel_type}{query.event_type}":
        return []  # in no stored event, and nothing that Postgres takes
    after, upto = (query.start, query.stop) if query.forwards else (query.stop, query.start)
    return await related_events.children(
        db,
        sight,
        Children(
            room_nid=room_nid,
            parent=native_uuid(parent),
            rel_type=query.rel_type,
            event_type=query.event_type,
            depth=MAX_DEPTH if query.recurse else 1,
        ),
        after=-MAX_POSITION if after is None else after,
        upto=MAX_POSITION if upto is None else upto,
        forwards=query.forwards,
        limit=limit,
    )


def _hidden(root: StoredEvent, ignored: frozenset[UserID]) -> StoredEvent:
    """ "If the thread root event was sent by an ignored user, the event is returned redacted"."""
    if root.event.sender not in ignored or root.event.is_state:
        return root
    return replace(root, event=redact_event(root.event))


def _next_place(last: StoredEvent, forwards: bool) -> int:  # noqa: FBT001
    assert last.facts.position is not None
    return last.facts.position if forwards else last.facts.position - 1


def _no_such_event() -> NotFound:
    return NotFound("Event not found.", kind="message")
