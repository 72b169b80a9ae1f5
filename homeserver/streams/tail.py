"""The stream of events, in memory."""

from collections.abc import Mapping, Sequence

from homeserver.events.content import membership_of
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.storage import events, room_state, streams
from homeserver.storage.database import Connection, Database
from homeserver.streams.people import People, Person
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail
from homeserver.streams.room_records import RoomRecords
from homeserver.values import value

EVENTS = "events"
RING_SIZE = 2_000
"""Who is farther behind is told from the database. An event takes some 2.5 KB."""


@value
class Committed:
    """An accepted event with what its readers need.

    prev_membership: for a membership event, what the user was before it; "leave" if nothing.
    """

    stored: StoredEvent
    room: RoomRecord
    sender: Person
    prev_membership: str | None = None

    @property
    def position(self) -> int:
        position = self.stored.facts.position
        assert position is not None
        return position


EventTail = Tail[Committed]


def event_tail(*, database: Database, people: People, rooms: RoomRecords) -> EventTail:
    """The tail of all accepted events of all rooms."""

    async def read(db: Connection, position: int) -> Stretch[Committed]:
        found = await events.after_position(db, position, READ_LIMIT)
        rows = await complete(db, found, people=people, rooms=rooms)
        return Stretch(rows, rows[-1].position if rows else position)

    async def newest(db: Connection) -> int:
        return await streams.current(db, EVENTS)

    return Tail(database=database, topic=EVENTS, read=read, newest=newest, ring_size=RING_SIZE)


async def complete(
    db: Connection, found: Sequence[StoredEvent], *, people: People, rooms: RoomRecords
) -> list[Committed]:
    """Adds room, sender and former membership to events that were read."""
    senders = await people.get_many({stored.facts.sender_nid for stored in found})
    before = await room_state.entries_before(db, [each for each in found if _is_member(each)])
    completed = []
    for stored in found:
        room = await rooms.by_nid(stored.facts.room_nid)
        assert room is not None
        membership = _former_membership(stored, before) if _is_member(stored) else None
        completed.append(Committed(stored, room, senders[stored.facts.sender_nid], membership))
    return completed


def _former_membership(stored: StoredEvent, before: Mapping[int, StoredEvent]) -> str:
    former = before.get(stored.facts.event_nid)
    return membership_of(None if former is None else former.event)


def _is_member(stored: StoredEvent) -> bool:
    return stored.event.type == "m.room.member" and stored.event.is_state
