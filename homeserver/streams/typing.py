"""Who is writing, where. It lives in memory and ends by itself."""

import asyncio
from collections.abc import Callable, Sequence

from homeserver.clock import Clock
from homeserver.streams.people import Person
from homeserver.streams.tail import Committed, EventTail

TICK_S = 0.5
REPEAT_S = 2.0
"""Who goes on writing is told of again, for clients that forget it by themselves."""

MAX_WRITING = 50_000

Listener = Callable[[int, Person, bool], None]
"""Room number, who, and whether they write (True) or have stopped (False)."""


class TypingStream:
    """People who are writing, until they stop, send, or are not heard of for the timeout."""

    def __init__(self, *, clock: Clock, timeout_s: float, tail: EventTail) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._writing: dict[tuple[int, int], tuple[float, float, Person]] = {}
        self._listeners: list[Listener] = []
        tail.subscribe(self._sent)

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def start(self, room_nid: int, person: Person) -> None:
        now = self._clock.monotonic()
        key = room_nid, person.user_nid
        told_at = self._writing.get(key, (0.0, float("-inf"), person))[1]
        tell = now - told_at >= REPEAT_S
        if key not in self._writing and len(self._writing) >= MAX_WRITING:
            return
        self._writing[key] = (now + self._timeout_s, now if tell else told_at, person)
        if tell:
            self._tell(room_nid, person, writing=True)

    def stop(self, room_nid: int, user_nid: int) -> None:
        entry = self._writing.pop((room_nid, user_nid), None)
        if entry is not None:
            self._tell(room_nid, entry[2], writing=False)

    async def run(self) -> None:
        """Ends what has timed out, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            for room_nid, user_nid in [
                key for key, entry in self._writing.items() if entry[0] <= now
            ]:
                self.stop(room_nid, user_nid)

    def _sent(self, batch: Sequence[Committed]) -> None:
        """Whoever has sent has stopped writing."""
        if not self._writing:
            return
        for committed in batch:
            self.stop(committed.room.room_nid, committed.sender.user_nid)

    def _tell(self, room_nid: int, person: Person, *, writing: bool) -> None:
        for listener in self._listeners:
            listener(room_nid, person, writing)
