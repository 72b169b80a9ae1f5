"""Read and delivery receipts.

Source: C-S API v1.19 "Receipts"; a marker only moves forward.
"""

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from homeserver.actions.lookups import Lookups, no_such_message
from homeserver.actions.members import Members
from homeserver.clock import Clock
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.requester import Requester
from homeserver.streams.people import People
from homeserver.streams.receipts import Mark, ReceiptWriter
from homeserver.streams.tail import Committed, EventTail

REMEMBERED = 10_000


class Receipts:
    """Moving markers. Recent messages are known from the tail, so a marker costs no look-up."""

    def __init__(
        self,
        *,
        writer: ReceiptWriter,
        lookups: Lookups,
        members: Members,
        people: People,
        tail: EventTail,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._lookups = lookups
        self._members = members
        self._people = people
        self._clock = clock
        self._recent: OrderedDict[UUID, Mark] = OrderedDict()
        tail.subscribe(self._remember)

    async def read(self, by: Requester, room_uuid: UUID, message: UUID) -> None:
        """Moves the reader's marker to a message, unless it is farther already.

        Raises NotFound for a room that one is not in or a message that is not in it.
        """
        room = await self._lookups.room(room_uuid)
        await self._members.require(by, room)
        mark = self._recent.get(message) or await self._look_up(message)
        if mark.room_nid != room.room_nid:
            raise no_such_message()
        person = await self._people.get(by.user_nid)
        assert person is not None
        await self._writer.read(person, mark, self._clock.now_ms())

    def delivered(self, user_nid: int, room_nid: int, event_nid: int, position: int) -> None:
        """A device of the user has received everything in a room up to an event."""
        now_ms = self._clock.now_ms()
        self._writer.delivered(user_nid, room_nid, event_nid, position, now_ms)

    async def _look_up(self, message: UUID) -> Mark:
        stored, room = await self._lookups.message(message)
        if stored.facts.position is None:
            raise no_such_message()
        return _mark(stored, room)

    def _remember(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            if committed.stored.facts.is_message:
                mark = _mark(committed.stored, committed.room)
                self._recent[mark.message_uuid] = mark
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)


def _mark(stored: StoredEvent, room: RoomRecord) -> Mark:
    assert stored.facts.position is not None
    return Mark(
        room_nid=room.room_nid,
        room_uuid=room.uuid,
        event_nid=stored.facts.event_nid,
        event_position=stored.facts.position,
        message_uuid=stored.facts.uuid,
        event_id=stored.event.event_id,
    )
