"""The conversation of a room: pages of messages, threads, and who has read what.

Only members read. What they see of the past is what the room's history visibility shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.errors import InvalidInput, NotFound
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import native_uuid
from homeserver.messages import thread_of
from homeserver.requester import Requester
from homeserver.storage import events, timeline
from homeserver.storage.database import Connection, Database
from homeserver.storage.timeline import MAX_POSITION
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.people import People, Person
from homeserver.streams.room_records import RoomRecords
from homeserver.views import erasure, history
from homeserver.views.history import ReadableRoom
from homeserver.views.messages import Messages, MessageView

MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_RECEIPTS = 1_000


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """How far a message came with somebody: milliseconds, None where it did not come so far."""

    user: Person
    delivered_at_ms: int | None
    read_at_ms: int | None


class Timeline:
    """Reads of messages. All raise Unavailable, and NotFound for what the reader may not know."""

    def __init__(
        self,
        *,
        database: Database,
        rooms: RoomRecords,
        people: People,
        messages: Messages,
        erased: ErasedUsers,
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people
        self._messages = messages
        self._erased = erased

    async def page(
        self,
        by: Requester,
        room_uuid: UUID,
        limit: int = DEFAULT_PAGE,
        before: UUID | None = None,
    ) -> list[MessageView]:
        """The `limit` messages right before one, or the newest; the oldest first.

        Messages in threads are among them, deleted ones are not. limit: 1 to 200.
        """
        _check_limit(limit)
        room = await self._room(room_uuid)
        async with self._database.snapshot() as db:
            readable = await self._readable(db, by, room)
            end = await self._end(db, room, before)
            found = await timeline.page(db, readable.spans, before=end, limit=limit)
            shown = await self._shown(db, readable, found)
            hanging = await self._messages.hanging(db, shown, by)
        return await self._messages.views(shown, hanging)

    async def message(self, by: Requester, message_uuid: UUID) -> MessageView:
        """One message; of a deleted one, when it was deleted."""
        stored, room = await self._found(message_uuid)
        async with self._database.snapshot() as db:
            readable = await self._visible_in(db, by, room, stored)
            message = erasure.shown(stored, readable, self._erased.known)
            hanging = await self._messages.hanging(db, [message], by)
        return (await self._messages.views([message], hanging))[0]

    async def thread(
        self,
        by: Requester,
        root_uuid: UUID,
        limit: int = DEFAULT_PAGE,
        before: UUID | None = None,
    ) -> list[MessageView]:
        """A page of the messages of a thread, its root not among them; the oldest first.

        root_uuid: any message of the thread, for threads do not nest.
        """
        _check_limit(limit)
        stored, room = await self._found(root_uuid)
        async with self._database.snapshot() as db:
            readable = await self._visible_in(db, by, room, stored)
            root = thread_of(stored.event)
            found = await timeline.thread_page(
                db,
                readable.spans,
                stored.facts.uuid if root is None else native_uuid(root),
                before=await self._end(db, room, before),
                limit=limit,
            )
            shown = await self._shown(db, readable, found)
            hanging = await self._messages.hanging(db, shown, by)
        return await self._messages.views(shown, hanging)

    async def receipts_of(self, by: Requester, message_uuid: UUID) -> list[ReceiptView]:
        """Who of the other members has received and read a message; at most 1,000 of them."""
        stored, room = await self._found(message_uuid)
        async with self._database.snapshot() as db:
            await self._visible_in(db, by, room, stored)
            rows = await timeline.receipts_of(db, stored, limit=MAX_RECEIPTS)
        people = await self._people.get_many([row.user_nid for row in rows])
        return [ReceiptView(people[row.user_nid], row.delivered_at, row.read_at) for row in rows]

    async def _room(self, uuid: UUID) -> RoomRecord:
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise _no_such_room()
        return room

    async def _found(self, message_uuid: UUID) -> tuple[StoredEvent, RoomRecord]:
        """A message and its room, whoever may see it."""
        async with self._database.connection() as db:
            stored = await events.by_uuid(db, message_uuid)
        if stored is None or not stored.facts.is_message or stored.facts.position is None:
            raise _no_such_message()
        room = await self._rooms.by_nid(stored.facts.room_nid)
        if room is None or room.deleted_at is not None:
            raise _no_such_message()
        return stored, room

    async def _shown(
        self, db: Connection, readable: ReadableRoom, found: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """Those that the reader may see, as he may see them."""
        visible = await history.visible_only(db, readable, found)
        return erasure.all_shown(visible, {readable.room_nid: readable}, self._erased.known)

    async def _readable(self, db: Connection, by: Requester, room: RoomRecord) -> ReadableRoom:
        readable = await history.of_room(db, room.room_nid, by.user_id)
        if not readable.is_member:
            raise _no_such_room()
        return readable

    async def _visible_in(
        self, db: Connection, by: Requester, room: RoomRecord, stored: StoredEvent
    ) -> ReadableRoom:
        readable = await history.of_room(db, room.room_nid, by.user_id)
        if not readable.is_member or not await history.visible_only(db, readable, [stored]):
            raise _no_such_message()
        return readable

    async def _end(self, db: Connection, room: RoomRecord, before: UUID | None) -> int:
        """Where a page ends. Raises NotFound for what is no event of the room."""
        if before is None:
            return MAX_POSITION
        place = await timeline.place_of(db, before)
        if place is None or place[0] != room.room_nid:
            raise _no_such_message()
        return place[1]


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {MAX_PAGE}.", field="limit")


def _no_such_room() -> NotFound:
    return NotFound("Room not found", kind="room")


def _no_such_message() -> NotFound:
    return NotFound("Message not found", kind="message")
