"""Read and delivery receipts, and the fully read marker.

Source: C-S API v1.19 "Receipts", "Fully read markers"; a marker only moves forward.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from homeserver.actions.lookups import Lookups, no_such_message
from homeserver.actions.members import Members
from homeserver.clock import Clock
from homeserver.errors import InvalidInput
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, RoomID, native_uuid
from homeserver.messages import relation_of, thread_of
from homeserver.requester import Requester
from homeserver.storage import receipts
from homeserver.storage.database import Database
from homeserver.storage.receipts import MAIN, PRIVATE, READ, UNTHREADED, PlaceRow
from homeserver.streams.account_data import AccountDataWriter
from homeserver.streams.people import People, Person
from homeserver.streams.receipts import Mark, ReceiptWriter
from homeserver.streams.tail import Committed, EventTail

REMEMBERED = 2_000
"""Events: most receipts are for the newest ones, and the database knows the others."""
_NOTHING: frozenset[UUID] = frozenset()
FULLY_READ = "m.fully_read"


@dataclass(frozen=True, slots=True)
class Markers:
    """The events up to which somebody says that he has read. None: nothing is said about it.

    thread: of the two read receipts; '' for those that are about the whole room.
    """

    fully_read: EventID | None = None
    read: EventID | None = None
    private: EventID | None = None
    thread: str = UNTHREADED


class Receipts:
    """Moving markers. Recent messages are known from the tail, so a marker costs no look-up."""

    def __init__(
        self,
        *,
        database: Database,
        writer: ReceiptWriter,
        account_data: AccountDataWriter,
        lookups: Lookups,
        members: Members,
        people: People,
        tail: EventTail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._writer = writer
        self._account_data = account_data
        self._lookups = lookups
        self._members = members
        self._people = people
        self._clock = clock
        self._recent: OrderedDict[UUID, PlaceRow] = OrderedDict()
        tail.subscribe(self._remember)

    async def read(self, by: Requester, room_uuid: UUID, message: UUID) -> None:
        """Moves the reader's marker to a message, unless it is farther already.

        Raises NotFound for a room that one is not in or a message that is not in it.
        """
        room = await self._lookups.room(room_uuid)
        await self._members.require(by, room)
        place = await self._place(room, message)
        await self._writer.read(await self._person(by), _mark(room, place), self._clock.now_ms())

    async def mark(self, by: Requester, room_id: RoomID, markers: Markers) -> None:
        """Moves markers forward, each if it is not farther already.

        Raises NotFound for a room that one is not in or an event that is not in it, NotAllowed,
        and InvalidInput for an event that does not stand in the thread.
        """
        room = await self._lookups.room(native_uuid(room_id))
        await self._members.require(by, room)
        asked = markers.fully_read, markers.read, markers.private
        places = [await self._place_if(room, event_id) for event_id in asked]
        for place in filter(None, places[1:]):
            _check_thread(place, markers.thread)
        fully_read, read, private = places
        person = await self._person(by)
        if fully_read is not None:
            await self._fully_read(by, room, fully_read)
        if read is not None:
            await self._move(person, room, read, READ, markers.thread)
        if private is not None:
            await self._move(person, room, private, PRIVATE, markers.thread)

    def delivered(self, user_nid: int, room_nid: int, event_nid: int, position: int) -> None:
        """A device of the user has received everything in a room up to an event."""
        now_ms = self._clock.now_ms()
        self._writer.delivered(user_nid, room_nid, event_nid, position, now_ms)

    async def _fully_read(self, by: Requester, room: RoomRecord, place: PlaceRow) -> None:
        await self._account_data.put(
            by.user_nid,
            room.room_nid,
            FULLY_READ,
            orjson.dumps({"event_id": place.event_id}),
            event_position=place.event_position,
        )

    async def _move(
        self, person: Person, room: RoomRecord, place: PlaceRow, kind: str, thread: str
    ) -> None:
        mark, now_ms = _mark(room, place), self._clock.now_ms()
        await self._writer.read(person, mark, now_ms, kind=kind, thread=thread)

    async def _person(self, by: Requester) -> Person:
        person = await self._people.get(by.user_nid)
        assert person is not None
        return person

    async def _place_if(self, room: RoomRecord, event_id: EventID | None) -> PlaceRow | None:
        return None if event_id is None else await self._place(room, native_uuid(event_id))

    async def _place(self, room: RoomRecord, event_uuid: UUID) -> PlaceRow:
        """Any accepted event, also one that was redacted: it may be the last that there is."""
        place = self._recent.get(event_uuid) or await self._look_up(event_uuid)
        if place is None or place.room_nid != room.room_nid:
            raise no_such_message()
        return place

    async def _look_up(self, event_uuid: UUID) -> PlaceRow | None:
        async with self._database.connection() as db:
            place = await receipts.place(db, event_uuid)
        if place is not None:
            self._keep(event_uuid, place)
        return place

    def _remember(self, batch: Sequence[Committed]) -> None:
        """Those whose place can be told from themselves; of what is redacted, that it is."""
        for committed in batch:
            redacts = committed.stored.event.redacts
            if redacts is not None:
                self._recent.pop(native_uuid(redacts), None)
            place = _place_of(committed)
            if place is not None:
                self._keep(committed.stored.facts.uuid, place)

    def _keep(self, event_uuid: UUID, place: PlaceRow) -> None:
        self._recent[event_uuid] = place
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)


def _place_of(committed: Committed) -> PlaceRow | None:
    """Of a message that hangs on none, or directly on the root of a thread."""
    event, facts = committed.stored.event, committed.stored.facts
    root = thread_of(event)
    if not facts.is_message or (root is None and relation_of(event) is not None):
        return None
    return PlaceRow(
        event_nid=facts.event_nid,
        event_position=committed.position,
        event_id=event.event_id,
        room_nid=facts.room_nid,
        message_uuid=facts.uuid,
        thread=None if root is None else native_uuid(root),
        onto=_NOTHING,
        is_redacted=False,
    )


def _check_thread(place: PlaceRow, thread: str) -> None:
    """C-S API v1.19 `postReceipt`: the event must be related to the thread.

    A thread's root, and what hangs on it, stand in the main timeline; but whoever opens the thread
    reads them there. What was redacted lost its relation, though clients may still know it.
    """
    if thread == UNTHREADED:
        return
    if thread == MAIN:
        fits = place.thread is None or place.is_redacted
    else:
        root = native_uuid(thread)
        own = native_uuid(place.event_id)
        fits = root in (place.thread, own) or (place.thread is None and root in place.onto)
    if not fits:
        raise InvalidInput("The event does not stand in that thread.", field="thread_id")


def _mark(room: RoomRecord, place: PlaceRow) -> Mark:
    return Mark(
        room_nid=room.room_nid,
        room_uuid=room.uuid,
        event_nid=place.event_nid,
        event_position=place.event_position,
        message_uuid=place.message_uuid,
        event_id=place.event_id,
    )
