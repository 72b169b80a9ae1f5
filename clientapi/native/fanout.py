"""Writing one frame to many sockets.

The bytes of a frame are made once and handed to each connection's outbox. Everything else that
writes there (answers, pings, aiohttp's closing handshake) writes whole frames in one step of the
event loop and compresses nothing, so frames never mix. Measured against `WebSocketResponse`'s own
writer on one machine: 5.4 µs of CPU for a delivery instead of 6.4, nearly all of it the kernel's.
"""

from collections.abc import Callable, Iterable

from prometheus_client import Counter

from clientapi.native.connection import Connection
from clientapi.native.framing import type_of

OnSlow = Callable[[Connection], None]


class FrameCounts:
    """Counts frames by their type: there are few, and `labels` takes longer than all the rest."""

    def __init__(self, frames_out: Counter) -> None:
        self._frames_out = frames_out
        self._by_type: dict[str, Counter] = {}

    def add(self, frame: bytes, count: int = 1) -> None:
        """The frame was written so many times."""
        frame_type = type_of(frame)
        counter = self._by_type.get(frame_type)
        if counter is None:
            counter = self._by_type[frame_type] = self._frames_out.labels(frame_type)
        counter.inc(count)


class Fanout:
    """Writes frames, and finds the clients that do not read them."""

    def __init__(self, *, max_pending_bytes: int, on_slow: OnSlow, frames_out: FrameCounts) -> None:
        self._max_pending_bytes = max_pending_bytes
        self._on_slow = on_slow
        self._frames_out = frames_out

    def write(self, connections: Iterable[Connection], frame: bytes) -> None:
        """Writes to each connection that is open; ends those with too much waiting."""
        slow: list[Connection] = []
        count = 0
        limit = self._max_pending_bytes
        for connection in connections:
            sink = connection.sink
            if sink.is_closing():
                continue
            if sink.get_write_buffer_size() > limit:
                slow.append(connection)
            else:
                sink.write(frame)
                count += 1
        if count:
            self._frames_out.add(frame, count)
        for connection in slow:
            self._on_slow(connection)
