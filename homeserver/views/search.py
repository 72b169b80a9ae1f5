"""Finding messages by their words, in the rooms of the reader."""

from collections.abc import Sequence
from uuid import UUID

from homeserver import search_terms
from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.events.stored import StoredEvent
from homeserver.requester import Requester
from homeserver.search_terms import quoted, room_lexeme, sender_lexeme
from homeserver.storage import memberships, message_search, timeline
from homeserver.storage.database import Connection, Database
from homeserver.storage.timeline import MAX_POSITION
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.people import People
from homeserver.streams.room_records import RoomRecords
from homeserver.views import history
from homeserver.views.erasure import Erased, is_hidden, rooms_of_erased
from homeserver.views.messages import Messages, MessageView

MAX_PAGE = 200
DEFAULT_PAGE = 50

_FIRST_HITS = 100
_MAX_HITS = 1_000
_MAX_ROUNDS = 8


class Search:
    """Reads by words. All raise Unavailable, and NotFound for what the reader may not know."""

    def __init__(
        self,
        *,
        database: Database,
        rooms: RoomRecords,
        people: People,
        messages: Messages,
        erased: ErasedUsers,
        enabled: bool = True,
    ) -> None:
        """enabled: whether there is an index to search in."""
        self._enabled = enabled
        self._database = database
        self._rooms = rooms
        self._people = people
        self._messages = messages
        self._erased = erased

    async def messages(
        self,
        by: Requester,
        q: str,
        *,
        room: UUID | None = None,
        sender: UUID | None = None,
        before: UUID | None = None,
        limit: int = DEFAULT_PAGE,
    ) -> list[MessageView]:
        """Messages that have words which begin like those of `q`, all of them; the newest first.

        room, sender: only there, only by him. before: only what is older than this message.
        limit: 1 to 200. New messages can be found within a second or so.
        Raises InvalidInput for a `q` without words, NotAllowed where search is switched off.
        """
        require_search(enabled=self._enabled)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit must be between 1 and {MAX_PAGE}.", field="limit")
        words = search_terms.query(q)
        if words is None:
            raise InvalidInput("There is no word in q to look for.", field="q")
        room_nid = None if room is None else await self._room_nid(room)
        sender_nid = None if sender is None else await self._user_nid(sender)
        async with self._database.snapshot() as db:
            rooms = await memberships.rooms_of(db, by.user_nid, "join")
            if room_nid is not None:
                rooms = [nid for nid in rooms if nid == room_nid]
                if not rooms:
                    raise _no_such_room()
            found = await _search(
                db,
                by,
                _tsquery(words, rooms, sender_nid),
                await _end(db, before),
                limit,
                self._erased.known,
            )
            hanging = await self._messages.hanging(db, found, by)
        return await self._messages.views(found, hanging)

    async def _room_nid(self, uuid: UUID) -> int:
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise _no_such_room()
        return room.room_nid

    async def _user_nid(self, uuid: UUID) -> int:
        person = await self._people.by_uuid(uuid)
        if person is None:
            raise NotFound("User not found", kind="user")
        return person.user_nid


async def _search(
    db: Connection,
    by: Requester,
    tsquery: str | None,
    before: int,
    limit: int,
    erased: Erased,
) -> list[StoredEvent]:
    """Hits may be invisible to the reader or deleted since, so there are rounds, ever larger."""
    found: list[StoredEvent] = []
    if tsquery is None:
        return found
    await message_search.choose_plans_by_words(db)
    count = max(limit, _FIRST_HITS)
    for _ in range(_MAX_ROUNDS):
        hits = await message_search.newest(db, tsquery, before=before, limit=count)
        found += await _visible(db, by, hits, erased)
        if len(found) >= limit or len(hits) < count:
            break
        before = hits[-1].facts.position or before
        count = min(count * 2, _MAX_HITS)
    return found[:limit]


async def _visible(
    db: Connection, by: Requester, hits: Sequence[StoredEvent], erased: Erased
) -> list[StoredEvent]:
    """Those of the messages in the reader's rooms that he may see, and not as redacted copies."""
    there = [hit for hit in hits if hit.facts.is_message and hit.facts.redacted_by is None]
    rooms = {hit.facts.room_nid for hit in there}
    forked = {hit.facts.room_nid for hit in there if hit.facts.fork_nid is not None}
    detailed = forked | rooms_of_erased(there, erased)
    readable = await history.of_rooms(db, by.user_id, rooms, in_detail=detailed)
    visible: set[int] = set()
    for room_nid in rooms:
        of_room = [hit for hit in there if hit.facts.room_nid == room_nid]
        if room_nid in readable:
            room = readable[room_nid]
            of_room = await history.visible_only(db, room, of_room)
            of_room = [hit for hit in of_room if not is_hidden(hit, room, erased)]
        visible |= {hit.facts.event_nid for hit in of_room}
    return [hit for hit in there if hit.facts.event_nid in visible]


def _tsquery(words: str, room_nids: Sequence[int], sender_nid: int | None) -> str | None:
    """None: there is nowhere to look."""
    if not room_nids:
        return None
    rooms = " | ".join(quoted(room_lexeme(nid)) for nid in room_nids)
    sender = "" if sender_nid is None else f" & {quoted(sender_lexeme(sender_nid))}"
    return f"{words} & ({rooms}){sender}"


async def _end(db: Connection, before: UUID | None) -> int:
    if before is None:
        return MAX_POSITION
    place = await timeline.place_of(db, before)
    if place is None:
        raise NotFound("Message not found", kind="message")
    return place[1]


def require_search(*, enabled: bool) -> None:
    """Without an index, what is found would be less and less of what is there."""
    if not enabled:
        raise NotAllowed("Searching is switched off on this server.")


def _no_such_room() -> NotFound:
    return NotFound("Room not found", kind="room")
