"""Pings: they find clients that are gone, and their answers prove what clients have received.

A connection has at most one ping on the way. TCP keeps the order, so the answer to a ping proves
that everything written before it has arrived.
"""

from collections.abc import Callable
from math import ceil

from clientapi.native.connection import Connection
from clientapi.native.cursor import Progress
from clientapi.native.framing import number_of, ping_frame
from homeserver.clock import Clock

OnGone = Callable[[Connection], None]


class Pings:
    """Sends pings and takes their answers."""

    def __init__(self, *, progress: Progress, clock: Clock) -> None:
        self._progress = progress
        self._clock = clock

    def send(self, connection: Connection) -> None:
        """Sends a ping, or sees to it that one follows the answer to the one on the way."""
        outbox = connection.outbox
        if outbox is None or outbox.is_closing():
            return
        if connection.pinged_at is not None:
            connection.ping_again = True
            return
        connection.ping += 1
        connection.ping_again = False
        connection.pinged_at = self._clock.monotonic()
        # What waits in a backlog is not written yet: such a ping proves nothing about it.
        connection.ping_position = self._progress.events if connection.is_live else 0
        outbox.write(ping_frame(connection.ping))

    def answered(self, connection: Connection, payload: bytes) -> bool:
        """Whether a pong answers the ping on the way. RFC 6455, 5.5.3: other pongs mean nothing."""
        if connection.pinged_at is None or number_of(payload) != connection.ping:
            return False
        connection.pinged_at = None
        return True


class Heartbeat:
    """One wheel of all connections: each has its place, and is pinged when the hand is there."""

    def __init__(
        self,
        *,
        interval_s: float,
        timeout_s: float,
        pings: Pings,
        on_gone: OnGone,
        clock: Clock,
    ) -> None:
        self.tick_s = min(1.0, interval_s / 10)
        """How often `tick` wants to be called."""
        self._timeout_s = timeout_s
        self._pings = pings
        self._on_gone = on_gone
        self._clock = clock
        self._wheel: list[set[Connection]] = [set() for _ in range(ceil(interval_s / self.tick_s))]
        self._hand = 0
        # Where those stand whose ping is as old as its answer may take.
        self._late = ceil(timeout_s / self.tick_s)

    def add(self, connection: Connection) -> None:
        self._wheel[connection.number % len(self._wheel)].add(connection)

    def remove(self, connection: Connection) -> None:
        self._wheel[connection.number % len(self._wheel)].discard(connection)

    def tick(self) -> None:
        """The hand moves on."""
        self._hand = (self._hand + 1) % len(self._wheel)
        if self._late < len(self._wheel):
            self._find_gone(self._wheel[self._hand - self._late])
        self._find_gone(self._wheel[self._hand])
        for connection in self._wheel[self._hand]:
            if connection.pinged_at is None:
                self._pings.send(connection)

    def _find_gone(self, place: set[Connection]) -> None:
        limit = self._clock.monotonic() - self._timeout_s
        late = [each for each in place if each.pinged_at is not None and each.pinged_at <= limit]
        for connection in late:
            self._on_gone(connection)
