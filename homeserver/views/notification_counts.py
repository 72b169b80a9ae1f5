"""How much everybody has not read, for both protocols: one source, kept in memory.

A room's counters are loaded when somebody first asks, as deep as he has not read; after that they
follow the streams. Everything is read in one snapshot, and what the streams brought since is then
done again in memory, so that nothing is missed and nothing counted twice.
Source: C-S API v1.19 "Receiving notifications", "Marking notifications as read".
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from homeserver.errors import Unavailable
from homeserver.messages import thread_of
from homeserver.push_rules.evaluation import Program
from homeserver.push_rules.ruleset import PUSH_RULES
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.database import Database
from homeserver.storage.notifications import EVERYBODY
from homeserver.storage.receipts import ReadRow
from homeserver.streams.account_data import AccountDataTail
from homeserver.streams.judgements import Judgements
from homeserver.streams.judging import Judgement
from homeserver.streams.people import People, Person
from homeserver.streams.push_programs import PushPrograms
from homeserver.streams.receipts import ReceiptTail
from homeserver.streams.room_counters import (
    MAIN,
    Difference,
    Reader,
    RoomCounters,
    RoomCounts,
)
from homeserver.streams.room_tracks import Entry
from homeserver.streams.tail import Committed, EventTail
from homeserver.views import unread
from homeserver.views.unread import UnreadRoom, UnreadRooms

MAX_READERS = 100_000
"""Of more pairs of a user and a room, those of the rooms that nobody came to for the longest leave
first.
"""
_TIMEOUT_S = 10.0

Recounted = Callable[[int, Committed], None]
"""Takes a reader, and the event by which his count changed otherwise than by a message of others.
"""
Listens = Callable[[int], bool]
"""Whether a user wants to know."""
_PAUSE_S = 0.02


class NotificationCounts:
    """Counts of unread messages and notifications. All that awaits raises Unavailable."""

    def __init__(
        self,
        *,
        database: Database,
        people: People,
        programs: PushPrograms,
        events: EventTail,
        receipts: ReceiptTail,
        account_data: AccountDataTail,
        judgements: Judgements,
        max_readers: int = MAX_READERS,
    ) -> None:
        self._database = database
        self._people = people
        self._programs = programs
        self._events = events
        self._receipts = receipts
        self._judgements = judgements
        self._max_readers = max_readers
        self._rooms: OrderedDict[int, RoomCounters] = OrderedDict()
        self._rooms_of: dict[int, set[int]] = {}
        self._readers = 0
        self._listeners: list[tuple[Recounted, Listens]] = []
        judgements.subscribe(self._judged)
        receipts.subscribe(self._read)
        account_data.subscribe(self._rules_changed)

    def peek(self, user_nid: int, room_nid: int) -> RoomCounts | None:
        """As they are now, with every event that the tail has handed over; None: not in memory."""
        room = self._rooms.get(room_nid)
        if room is None or self._judgements.is_waiting(room_nid):
            return None
        reader = room.readers.get(user_nid)
        return None if reader is None else room.counts(reader)

    def peek_read(self, user_nid: int, room_nid: int) -> int | None:
        """How far a room is read by the farthest receipt that is not one of a thread."""
        room = self._rooms.get(room_nid)
        reader = None if room is None else room.readers.get(user_nid)
        if reader is None:
            return None
        return reader.mark_in(MAIN) if reader.has_receipt else (reader.marks or {}).get(MAIN)

    def subscribe(self, listener: Recounted, listens: Listens) -> None:
        """Called where the count of somebody who listens is not what he would count himself; must
        not block.
        """
        self._listeners.append((listener, listens))

    async def of_rooms(self, user_nid: int, room_nids: Collection[int]) -> dict[int, RoomCounts]:
        """By room; rooms that the user is not in are left out."""
        if any(self._judgements.is_waiting(room_nid) for room_nid in room_nids):
            await self._judgements.settled(room_nids)
        found, missing = {}, []
        for room_nid in room_nids:
            counts = self.peek(user_nid, room_nid)
            if counts is None:
                missing.append(room_nid)
            else:
                found[room_nid] = counts
        if missing:
            found |= await self._load(user_nid, missing)
        return found

    async def _load(self, user_nid: int, room_nids: Sequence[int]) -> dict[int, RoomCounts]:
        person = await self._people.get(user_nid)
        if person is None:
            return {}
        program = await self._programs.of(user_nid)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while True:
                    known = await self._from_database(person, room_nids)
                    if self._can_continue(known):
                        found = self._take(person, program, known)
                        if found is not None:
                            return found
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise Unavailable("The server is catching up; please try again.") from None

    async def _from_database(self, person: Person, room_nids: Sequence[int]) -> UnreadRooms:
        floors = {nid: self._rooms[nid].floor for nid in room_nids if nid in self._rooms}
        async with self._database.snapshot() as db:
            known = await unread.of_rooms(db, person.user_nid, person.user_id, room_nids, floors)
        # A tail moves on without telling where there is nothing to tell.
        while not self._has_reached(known):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_S)
        await self._judgements.settled(room_nids)
        return known

    def _has_reached(self, known: UnreadRooms) -> bool:
        standing = known.standing
        return (
            self._events.position >= standing.events
            and self._receipts.position >= standing.receipts
        )

    def _can_continue(self, known: UnreadRooms) -> bool:
        """Whether memory knows all that came after what was read."""
        standing = known.standing
        return (
            self._judgements.reaches(min(standing.judged, standing.events))
            and self._events.since(standing.events) is not None
            and self._receipts.since(standing.receipts) is not None
            and all(self._is_deep_enough(room) for room in known.rooms)
        )

    def _is_deep_enough(self, room: UnreadRoom) -> bool:
        counters = self._rooms.get(room.room_nid)
        return room.entries is not None or (counters is not None and counters.floor <= room.mark)

    def _take(
        self, person: Person, program: Program, known: UnreadRooms
    ) -> dict[int, RoomCounts] | None:
        """None: what was read since opens what is not known."""
        recent: dict[int, list[Committed]] = {}
        for committed in self._events.since(known.standing.events) or ():
            recent.setdefault(committed.room.room_nid, []).append(committed)
        reads = [
            row
            for row in self._receipts.since(known.standing.receipts) or ()
            if row.reader_nid == person.user_nid
        ]
        found: dict[int, RoomCounts] = {}
        for room in known.rooms:
            news = recent.get(room.room_nid, [])
            counters = self._counters(room, known, news)
            if any(_ends_stay(committed, person.user_id) for committed in news):
                continue
            reader = self._reader(person, program, room, known)
            if not all(
                reader.read(row.thread, row.event_position)
                for row in reads
                if row.room_nid == room.room_nid
            ):
                return None
            self._admit(room.room_nid, counters, reader)
            found[room.room_nid] = counters.counts(reader)
        self._evict()
        return found

    def _counters(
        self, room: UnreadRoom, known: UnreadRooms, news: Sequence[Committed]
    ) -> RoomCounters:
        """The room's, deep enough for this reader."""
        judgements = self._judgements.since(room.room_nid, known.standing.judged)
        entries = _as_judged(room.entries or (), judgements, upto=known.standing.events)
        counters = self._rooms.get(room.room_nid)
        if counters is None:
            counters = RoomCounters(room_id=room.room_id, floor=room.floor, entries=entries)
            self._rooms[room.room_nid] = counters
            by_position = {each.position: each for each in judgements}
            for committed in news:
                _apply(counters, committed, by_position.get(committed.position))
        elif room.floor < counters.floor:
            counters.deepen(room.floor, entries)
            for judgement in judgements:
                if judgement.removed is not None:
                    counters.remove(judgement.removed)
        self._rooms.move_to_end(room.room_nid)
        return counters

    def _reader(
        self, person: Person, program: Program, room: UnreadRoom, known: UnreadRooms
    ) -> Reader:
        judgements = self._judgements.since(room.room_nid, known.standing.judged)
        removed = {each.removed for each in judgements}
        differences = [
            *room.differences,
            *(
                Difference(each.position, each.thread, meaning.notify, meaning.highlight)
                for each in judgements
                for meaning in each.meanings
                if meaning.user_nid == person.user_nid
            ),
        ]
        return Reader(
            user_nid=person.user_nid,
            user_id=person.user_id,
            mark=room.mark,
            has_receipt=room.has_receipt,
            marks=room.marks,
            muted=program.mutes(room.room_id),
            differences=[each for each in differences if each.position not in removed],
            hidden=room.hidden,
        )

    def _admit(self, room_nid: int, counters: RoomCounters, reader: Reader) -> None:
        self._readers += reader.user_nid not in counters.readers
        counters.readers[reader.user_nid] = reader
        self._rooms_of.setdefault(reader.user_nid, set()).add(room_nid)

    def _evict(self) -> None:
        while self._readers > self._max_readers and len(self._rooms) > 1:
            room_nid, counters = self._rooms.popitem(last=False)
            for user_nid in counters.readers:
                self._leaves(user_nid, room_nid)

    def _forget(self, user_nid: int, room_nid: int) -> None:
        del self._rooms[room_nid].readers[user_nid]
        self._leaves(user_nid, room_nid)

    def _leaves(self, user_nid: int, room_nid: int) -> None:
        self._readers -= 1
        rooms = self._rooms_of[user_nid]
        rooms.discard(room_nid)
        if not rooms:
            del self._rooms_of[user_nid]

    def _judged(self, committed: Committed, judgement: Judgement | None) -> None:
        room_nid = committed.room.room_nid
        counters = self._rooms.get(room_nid)
        if counters is None:
            return
        concerned = [
            (reader, counters.counts(reader).unread_count)
            for reader in _recounted(counters, committed, judgement)
            if any(listens(reader.user_nid) for _, listens in self._listeners)
        ]
        _apply(counters, committed, judgement)
        for reader, before in concerned:
            if counters.counts(reader).unread_count != before:
                self._tell(reader.user_nid, committed)
        if committed.prev_membership is None:
            return
        own = counters.readers.get(committed.sender.user_nid)
        if own is not None and own.user_id == committed.stored.event.state_key:
            moved = [own]
        else:
            moved = list(counters.readers.values())
        for reader in moved:
            if _ends_stay(committed, reader.user_id):
                self._forget(reader.user_nid, room_nid)

    def _tell(self, user_nid: int, committed: Committed) -> None:
        for listener, listens in self._listeners:
            if listens(user_nid):
                listener(user_nid, committed)

    def _read(self, batch: Sequence[ReadRow]) -> None:
        for row in batch:
            counters = self._rooms.get(row.room_nid)
            reader = None if counters is None else counters.readers.get(row.reader_nid)
            if reader is not None and not reader.read(row.thread, row.event_position):
                self._forget(row.reader_nid, row.room_nid)

    def _rules_changed(self, batch: Sequence[AccountDataRow]) -> None:
        for row in batch:
            if row.type != PUSH_RULES or row.room_nid != GLOBAL:
                continue
            program = self._programs.peek(row.user_nid)
            for room_nid in self._rooms_of.get(row.user_nid, ()):
                counters = self._rooms[room_nid]
                if program is not None:
                    muted = program.mutes(counters.room_id)
                    counters.readers[row.user_nid].mute(muted=muted)


def _recounted(
    counters: RoomCounters, committed: Committed, judgement: Judgement | None
) -> Sequence[Reader]:
    """Those for whom an event may do something else than add a message of somebody else."""
    if judgement is not None and judgement.removed is not None:
        removed = judgement.removed
        return [reader for reader in counters.readers.values() if reader.mark < removed]
    own = counters.readers.get(committed.sender.user_nid)
    return () if own is None or not committed.stored.facts.is_message else (own,)


def _apply(counters: RoomCounters, committed: Committed, judgement: Judgement | None) -> None:
    """An event comes to a room, after all that is known."""
    entry = _entry(committed, judgement)
    if entry is not None:
        counters.add(entry)
    if judgement is None:
        return
    for meaning in judgement.meanings:
        if meaning.user_nid != EVERYBODY:
            counters.tell(
                meaning.user_nid,
                Difference(judgement.position, judgement.thread, meaning.notify, meaning.highlight),
            )
    if judgement.removed is not None:
        counters.remove(judgement.removed)


def _entry(committed: Committed, judgement: Judgement | None) -> Entry | None:
    """What counts for everybody; None: nothing does."""
    stored = committed.stored
    is_message = stored.facts.is_message
    if stored.facts.redacted_by is not None:
        return None
    notify, highlight = is_message, False
    for meaning in () if judgement is None else judgement.meanings:
        if meaning.user_nid == EVERYBODY:
            notify, highlight = meaning.notify, meaning.highlight
    if not notify and not is_message:
        return None
    thread = (thread_of(stored.event) or MAIN) if judgement is None else judgement.thread
    return Entry(committed.position, stored.facts.sender_nid, thread, is_message, notify, highlight)


def _as_judged(
    entries: Sequence[Entry], judgements: Sequence[Judgement], *, upto: int
) -> Sequence[Entry]:
    """Entries of the database with what was judged, but is not written yet."""
    found = {entry.position: entry for entry in entries}
    for judgement in judgements:
        for meaning in judgement.meanings if judgement.position <= upto else ():
            entry = found.get(judgement.position)
            if meaning.user_nid == EVERYBODY and (meaning.notify or entry is not None):
                found[judgement.position] = Entry(
                    judgement.position,
                    judgement.sender_nid,
                    judgement.thread,
                    entry is not None,
                    meaning.notify,
                    meaning.highlight,
                )
    return [found[position] for position in sorted(found)]


def _ends_stay(committed: Committed, user_id: str) -> bool:
    """Whether somebody comes or goes by an event: what counted for him does not any more."""
    event = committed.stored.event
    if event.type != "m.room.member" or event.state_key != user_id:
        return False
    return event.content.get("membership") != "join" or committed.prev_membership != "join"
