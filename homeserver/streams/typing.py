"""Who is writing, where. It lives in memory and ends by itself."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.events.stored import RoomRecord
from homeserver.streams.people import Person
from homeserver.streams.serials import Serials
from homeserver.streams.tail import Committed, EventTail

TICK_S = 0.5
REPEAT_S = 2.0
"""Who goes on writing is told of again, for clients that forget it by themselves."""

MAX_WRITING = 50_000
KEPT_CHANGES = 10_000

Listener = Callable[[RoomRecord, Person, bool], None]
"""Where, who, and whether they write (True) or have stopped (False)."""
OwnListener = Callable[[RoomRecord, Person, float], None]
"""Where, who, and for how many seconds more, 0 for somebody who has stopped."""


@dataclass(frozen=True, slots=True)
class _Writing:
    """Times in seconds of the monotonic clock. is_own: this process was told so by a client."""

    room: RoomRecord
    person: Person
    ends_at: float
    told_at: float
    is_own: bool


class TypingStream:
    """People who are writing, until they stop, send, or are not heard of for the timeout.

    timeout_s: for those who do not say another.
    """

    def __init__(self, *, clock: Clock, timeout_s: float, tail: EventTail) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._rooms: dict[int, dict[int, _Writing]] = {}
        self._count = 0
        self._serials = Serials(kept=KEPT_CHANGES)
        self._listeners: list[Listener] = []
        self._own_listeners: list[OwnListener] = []
        tail.subscribe(self._happened)

    @property
    def position(self) -> int:
        """Grows whenever somebody starts or stops; begins anew with each process."""
        return self._serials.position

    def changed_since(self, position: int) -> set[int] | None:
        """Rooms in which somebody started or stopped after a position. None: not known any more."""
        return self._serials.since(position)

    def recently_changed(self) -> set[int]:
        """Rooms in which somebody started or stopped of late."""
        return self._serials.known()

    def writing_in(self, room_nid: int) -> list[Person]:
        """Those who started first, first."""
        return [each.person for each in self._rooms.get(room_nid, {}).values()]

    def subscribe(self, listener: Listener) -> None:
        """Also told of who goes on writing; then the position has not changed."""
        self._listeners.append(listener)

    def subscribe_own(self, listener: OwnListener) -> None:
        """Told of what clients say to this process, not of what others have heard."""
        self._own_listeners.append(listener)

    def own(self) -> list[tuple[RoomRecord, Person, float]]:
        """Everybody of whom this process was told, as its own listeners are."""
        now = self._clock.monotonic()
        return [
            (each.room, each.person, each.ends_at - now)
            for room in self._rooms.values()
            for each in room.values()
            if each.is_own and each.ends_at > now
        ]

    def start(self, room: RoomRecord, person: Person, *, timeout_s: float | None = None) -> None:
        lasts_s = self._timeout_s if timeout_s is None else timeout_s
        if self._start(room, person, lasts_s, is_own=True):
            self._tell_own(room, person, lasts_s)

    def stop(self, room_nid: int, user_nid: int) -> None:
        writing = self._end(room_nid, user_nid)
        if writing is not None:
            self._tell_own(writing.room, writing.person, 0.0)

    def hear(self, room: RoomRecord, person: Person, lasts_s: float) -> None:
        """What another process was told."""
        if lasts_s > 0:
            self._start(room, person, lasts_s, is_own=False)
        else:
            self._end(room.room_nid, person.user_nid)

    def _start(self, room: RoomRecord, person: Person, lasts_s: float, *, is_own: bool) -> bool:
        """Whether it is told: not, where that was done a moment ago."""
        now = self._clock.monotonic()
        before = self._rooms.get(room.room_nid, {}).get(person.user_nid)
        if before is None and self._count >= MAX_WRITING:
            return False
        tell = before is None or now - before.told_at >= REPEAT_S
        told_at = now if before is None or tell else before.told_at
        writing = _Writing(room, person, now + lasts_s, told_at, is_own)
        self._rooms.setdefault(room.room_nid, {})[person.user_nid] = writing
        if before is None:
            self._count += 1
            self._serials.changed((room.room_nid,))
        if tell:
            self._tell(room, person, writing=True)
        return tell

    def _end(self, room_nid: int, user_nid: int) -> _Writing | None:
        """What has ended; None: nothing."""
        room = self._rooms.get(room_nid, {})
        writing = room.pop(user_nid, None)
        if writing is None:
            return None
        if not room:
            del self._rooms[room_nid]
        self._count -= 1
        self._serials.changed((room_nid,))
        self._tell(writing.room, writing.person, writing=False)
        return writing

    async def run(self) -> None:
        """Ends what has timed out, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            ended = [
                (room_nid, user_nid)
                for room_nid, room in self._rooms.items()
                for user_nid, each in room.items()
                if each.ends_at <= now
            ]
            for room_nid, user_nid in ended:
                self._end(room_nid, user_nid)

    def _happened(self, batch: Sequence[Committed]) -> None:
        """Whoever has sent has stopped writing, and so has who is no member any more."""
        if not self._rooms:
            return
        for committed in batch:
            room_nid = committed.room.room_nid
            if room_nid not in self._rooms:
                continue
            self._end(room_nid, committed.sender.user_nid)
            if committed.prev_membership == "join":
                self._stop_subject(room_nid, committed.stored.event.state_key)

    def _stop_subject(self, room_nid: int, user_id: str | None) -> None:
        """Whoever a membership is about; also who only changes their name, for they act, too."""
        for person in self.writing_in(room_nid):
            if person.user_id == user_id:
                self._end(room_nid, person.user_nid)

    def _tell_own(self, room: RoomRecord, person: Person, lasts_s: float) -> None:
        for listener in self._own_listeners:
            listener(room, person, lasts_s)

    def _tell(self, room: RoomRecord, person: Person, *, writing: bool) -> None:
        for listener in self._listeners:
            listener(room, person, writing)
