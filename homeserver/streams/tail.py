"""The newest events in memory: read once a process, handed to all who wait for them.

Positions are gapless, so what a committer hands over directly either continues the tail, or the
tail knows that something is missing and reads it (design section 8).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from homeserver.errors import Unavailable
from homeserver.events.content import membership_of
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.storage import events, room_state, streams
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.streams.people import People, Person
from homeserver.streams.room_records import RoomRecords

EVENTS = "events"
RING_SIZE = 5_000
READ_LIMIT = 1_000
IDLE_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
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


Listener = Callable[[Sequence[Committed]], None]


class EventTail:
    """A ring of recent events in position order, and those who listen to new ones."""

    def __init__(self, *, database: Database, people: People, rooms: RoomRecords) -> None:
        self._database = database
        self._people = people
        self._rooms = rooms
        self._ring: deque[Committed] = deque(maxlen=RING_SIZE)
        self._listeners: list[Listener] = []
        self._wanted = 0
        self._wake = asyncio.Event()
        self._reading = False
        self.position = 0
        """Everything up to here has been handed to the listeners."""

    def listen(self, bus: Bus) -> None:
        bus.subscribe(EVENTS, lambda payload: self.announced(int(payload)))

    def subscribe(self, listener: Listener) -> None:
        """Called on the event loop, in position order, once a batch; must not block or raise."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begins at the newest position that is visible. Raises Unavailable."""
        async with self._database.connection() as db:
            self.position = await streams.current(db, EVENTS)
        self._wanted = self.position

    def since(self, position: int) -> Sequence[Committed] | None:
        """What came after a position, or None where the ring no longer reaches back."""
        count = self.position - position
        if count == 0:
            return ()
        if count < 0 or count > len(self._ring):
            return None
        return tuple(islice(self._ring, len(self._ring) - count, None))

    def offer(self, batch: Sequence[Committed]) -> None:
        """Takes what this process just committed, if it continues the tail."""
        if not batch:
            return
        if not self._reading and batch[0].position == self.position + 1:
            self._wanted = max(self._wanted, batch[-1].position)
            self._dispatch(batch)
        else:
            self.announced(batch[-1].position)

    def announced(self, position: int) -> None:
        """Somebody committed up to this position."""
        if position > self._wanted:
            self._wanted = position
            self._wake.set()

    def poll(self) -> None:
        """Look at the database: announcements may have been missed."""
        self._wanted = max(self._wanted, self.position + 1)
        self._wake.set()

    async def run(self) -> None:
        """Reads what was announced and not handed over, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(IDLE_POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                self.poll()
            self._wake.clear()
            try:
                await self._catch_up()
            except Unavailable:
                await asyncio.sleep(IDLE_POLL_S / 10)
                self._wake.set()

    async def _catch_up(self) -> None:
        self._reading = True
        try:
            while (wanted := self._wanted) > self.position:
                batch = await self._read()
                self._dispatch(batch)
                if not batch and wanted == self._wanted:
                    self._wanted = self.position
        finally:
            self._reading = False

    async def _read(self) -> list[Committed]:
        async with self._database.connection() as db:
            found = await events.after_position(db, self.position, READ_LIMIT)
            return await complete(db, found, people=self._people, rooms=self._rooms)

    def _dispatch(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        self._ring.extend(batch)
        self.position = batch[-1].position
        for listener in self._listeners:
            listener(batch)


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
