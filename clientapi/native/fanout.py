"""Writing one frame to many sockets.

The bytes of a frame are made once and written straight to each transport. Everything else that
writes there (answers, pings, aiohttp's closing handshake) writes whole frames in one step of the
event loop and compresses nothing, so frames never mix. Measured against `WebSocketResponse`'s own
writer on one machine: 5.4 µs of CPU for a delivery instead of 6.4, nearly all of it the kernel's.
"""

from collections.abc import Callable, Iterable

from clientapi.native.connection import Connection

OnSlow = Callable[[Connection], None]


class Fanout:
    """Writes frames, and finds the clients that do not read them."""

    def __init__(self, *, max_pending_bytes: int, on_slow: OnSlow) -> None:
        self._max_pending_bytes = max_pending_bytes
        self._on_slow = on_slow
        self._gathered: dict[Connection, list[bytes]] | None = None

    def write(self, connections: Iterable[Connection], frame: bytes) -> None:
        """Writes to each connection that is open; ends those with too much waiting."""
        if self._gathered is not None:
            self._gather(self._gathered, connections, frame)
            return
        slow: list[Connection] | None = None
        limit = self._max_pending_bytes
        for connection in connections:
            sink = connection.sink
            if sink.is_closing():
                continue
            if sink.get_write_buffer_size() > limit:
                slow = [*(slow or ()), connection]
            else:
                sink.write(frame)
        for connection in slow or ():
            self._on_slow(connection)

    def gather(self) -> None:
        """Until `flush`, hold frames back: several for one connection become one write."""
        self._gathered = {}

    def flush(self) -> None:
        """Write what was gathered; the frames of each connection keep their order."""
        gathered, self._gathered = self._gathered, None
        for connection, frames in (gathered or {}).items():
            self.write((connection,), frames[0] if len(frames) == 1 else b"".join(frames))

    @staticmethod
    def _gather(
        gathered: dict[Connection, list[bytes]], connections: Iterable[Connection], frame: bytes
    ) -> None:
        for connection in connections:
            frames = gathered.get(connection)
            if frames is None:
                gathered[connection] = [frame]
            else:
                frames.append(frame)
