"""Who is writing, where. It lives in memory and ends by itself."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.events.stored import RoomRecord
from homeserver.streams.people import Person
from homeserver.streams.tail import Committed, EventTail

TICK_S = 0.5
REPEAT_S = 2.0
"""Who goes on writing is told of again, for clients that forget it by themselves."""

MAX_WRITING = 50_000

Listener = Callable[[RoomRecord, Person, bool], None]
"""Where, who, and whether they write (True) or have stopped (False)."""


@dataclass(frozen=True, slots=True)
class _Writing:
    """Times in seconds of the monotonic clock."""

    room: RoomRecord
    person: Person
    ends_at: float
    told_at: float


class TypingStream:
    """People who are writing, until they stop, send, or are not heard of for the timeout."""

    def __init__(self, *, clock: Clock, timeout_s: float, tail: EventTail) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._writing: dict[tuple[int, int], _Writing] = {}
        self._listeners: list[Listener] = []
        tail.subscribe(self._sent)

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def start(self, room: RoomRecord, person: Person) -> None:
        now = self._clock.monotonic()
        key = room.room_nid, person.user_nid
        before = self._writing.get(key)
        if before is None and len(self._writing) >= MAX_WRITING:
            return
        tell = before is None or now - before.told_at >= REPEAT_S
        told_at = now if before is None or tell else before.told_at
        self._writing[key] = _Writing(room, person, now + self._timeout_s, told_at)
        if tell:
            self._tell(room, person, writing=True)

    def stop(self, room_nid: int, user_nid: int) -> None:
        writing = self._writing.pop((room_nid, user_nid), None)
        if writing is not None:
            self._tell(writing.room, writing.person, writing=False)

    async def run(self) -> None:
        """Ends what has timed out, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            ended = [key for key, each in self._writing.items() if each.ends_at <= now]
            for room_nid, user_nid in ended:
                self.stop(room_nid, user_nid)

    def _sent(self, batch: Sequence[Committed]) -> None:
        """Whoever has sent has stopped writing."""
        if not self._writing:
            return
        for committed in batch:
            self.stop(committed.room.room_nid, committed.sender.user_nid)

    def _tell(self, room: RoomRecord, person: Person, *, writing: bool) -> None:
        for listener in self._listeners:
            listener(room, person, writing)
