"""The other processes of this server: who they are, and what they tell of what lives in memory.

Each process says now and then that it is there. What is of the moment, typing and presence, is
shared with those others as it changes, and as a whole with one that is new or may have missed
something. It is never stored: a lost announcement is made good by the next whole, and of a process
that is heard of no more everything is forgotten. Who is alone shares nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import orjson
import structlog

from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.streams.bus import MAX_PAYLOAD_BYTES, Bus

TOPIC = "peer"
BEAT_S = 10.0
GONE_AFTER_S = 35.0
"""Three beats may get lost."""

_MAX_WAITING = 10_000
_HELLO, _BEAT, _BYE = "hello", "beat", "bye"
_PART, _FIRST, _LAST = 0, 1, 2
"""Where in a whole an announcement stands: it may be the first and the last of it."""

Row = list[Any]
"""One thing that is shared, as JSON; all of a topic have the same shape."""

log = structlog.get_logger(__name__)


class Shared(Protocol):
    """One kind of what is shared: typing, presence.

    whole: everything that is true here now. heard: what a process says, which may be all that is
    true there (whole_begins, whole_ends). gone: that process is no more.
    """

    def whole(self) -> Sequence[Row]: ...

    async def heard(self, peer: str, rows: Sequence[Row]) -> None:
        """Raises Unavailable."""

    def whole_begins(self, peer: str) -> None:
        """What was heard before counts only if it is heard again."""

    def whole_ends(self, peer: str) -> None:
        """Nothing else is true of that process."""

    def gone(self, peer: str) -> None: ...


class Peers:
    """Knows the other processes and brings them what is shared."""

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._name = uuid4().hex
        self._has_left = False
        self._heard_at: dict[str, float] = {}
        self._shared: dict[str, Shared] = {}
        self._inbox: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_MAX_WAITING)
        bus.subscribe(TOPIC, lambda payload: self._receive(TOPIC, payload))

    @property
    def is_alone(self) -> bool:
        return not self._heard_at

    def register(self, topic: str, shared: Shared) -> None:
        self._shared[topic] = shared
        self._bus.subscribe(topic, lambda payload: self._receive(topic, payload))

    def tell(self, topic: str, rows: Sequence[Row]) -> None:
        """Something changed here. Nothing is sent where nobody else is."""
        if not self.is_alone and not self._has_left:
            for part in _parts(rows):
                self._say(topic, part, _PART)

    def greet(self) -> None:
        """To be called when the bus is connected (again): asks the others for everything."""
        if not self._has_left:
            self._bus.share(TOPIC, f"{_HELLO} {self._name}")
            self._tell_all()

    def leave(self) -> None:
        """This process ends: nobody needs to wait until that is noticed. It says nothing more."""
        if not self.is_alone:
            self._bus.share(TOPIC, f"{_BYE} {self._name}")
        self._has_left = True

    async def listen(self) -> None:
        """Takes over what others say, in order, until cancelled."""
        while True:
            topic, payload = await self._inbox.get()
            await self._take(topic, payload)
            self._inbox.task_done()

    async def heard_all(self) -> None:
        """Until everything that was said to this process is taken over."""
        await self._inbox.join()

    async def _take(self, topic: str, payload: str) -> None:
        """One announcement. What cannot be looked up now is lost."""
        try:
            if topic == TOPIC:
                self._hear_of(payload)
            else:
                await self._hear_rows(self._shared[topic], payload)
        except Unavailable as error:
            log.warning("shared_lost", topic=topic, error=str(error))

    async def run(self) -> None:
        """Says that this process is there, and misses others, until cancelled."""
        while not self._has_left:
            await asyncio.sleep(BEAT_S)
            self._bus.share(TOPIC, f"{_BEAT} {self._name}")
            self.pass_time()

    def pass_time(self) -> None:
        now = self._clock.monotonic()
        for peer, heard_at in tuple(self._heard_at.items()):
            if now - heard_at > GONE_AFTER_S:
                self._forget(peer)

    def _receive(self, topic: str, payload: str) -> None:
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait((topic, payload))

    def _hear_of(self, payload: str) -> None:
        what, _, peer = payload.partition(" ")
        if peer == self._name:
            return
        if what == _BYE:
            self._forget(peer)
            return
        is_new = peer not in self._heard_at
        self._heard_at[peer] = self._clock.monotonic()
        if what == _HELLO:
            if not self._has_left:
                self._tell_all()
        elif is_new:
            # What it has to tell was said before anybody listened here.
            self.greet()

    async def _hear_rows(self, shared: Shared, payload: str) -> None:
        peer, place, rows = orjson.loads(payload)
        if peer == self._name:
            return
        if peer not in self._heard_at:
            self._hear_of(f"{_BEAT} {peer}")
        if place & _FIRST:
            shared.whole_begins(peer)
        await shared.heard(peer, rows)
        if place & _LAST:
            shared.whole_ends(peer)

    def _tell_all(self) -> None:
        for topic, shared in self._shared.items():
            parts = [*_parts(shared.whole())] or [[]]
            for index, part in enumerate(parts):
                first = _FIRST if index == 0 else _PART
                last = _LAST if index == len(parts) - 1 else _PART
                self._say(topic, part, first | last)

    def _say(self, topic: str, rows: Sequence[Row], place: int) -> None:
        self._bus.share(topic, orjson.dumps([self._name, place, rows]).decode())

    def _forget(self, peer: str) -> None:
        if self._heard_at.pop(peer, None) is not None:
            for shared in self._shared.values():
                shared.gone(peer)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """As many rows together as an announcement holds."""
    part: list[Row] = []
    size = 0
    for row in rows:
        length = len(orjson.dumps(orjson.dumps(row).decode()))
        if part and size + length > MAX_PAYLOAD_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part
