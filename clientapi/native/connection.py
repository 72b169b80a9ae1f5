"""One open WebSocket, without the socket's protocol: where its frames go and what is known of it.

An idle connection costs memory and nothing else, so it has no queue, task or timer of its own
besides the handler that reads from it.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from clientapi.native.lanes import Lanes
from clientapi.native.outbox import Outbox
from clientapi.native.session import Session
from homeserver.requester import Requester
from homeserver.values import value
from schema.wire.client_frames import Frame
from schema.wire.errors import CloseCode


class Sink(Protocol):
    """Where frames for a connection go: its outbox, or a backlog in front of it."""

    def write(self, data: bytes, /) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def is_closing(self) -> bool: ...


class Backlog:
    """Frames for a client that cannot have them yet; they count as waiting for it."""

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._size = 0

    def write(self, data: bytes, /) -> None:
        self._frames.append(data)
        self._size += len(data)

    def get_write_buffer_size(self) -> int:
        return self._size

    def is_closing(self) -> bool:
        return False

    def take(self) -> bytes:
        """Everything, in order."""
        return b"".join(self._frames)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The connection has been opened."""

    ref: None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """The connection has ended."""

    ref: None = None


Asked = Frame | Arrival | Departure


@value
class Call:
    """What is to be carried out for a connection."""

    connection: "Connection"
    asked: Asked


class Connection:
    """A client's WebSocket.

    outbox: where frames go, once it is open. sink: where live frames go; a backlog until the
    client has what it missed.
    farewell: why the connection ends, once it does.
    heard_from: position in the stream of events after which everything that the user may hear was
    written here. ping, pinged_at, ping_position: number of the last ping, when it was sent if its
    answer has not come, and the position up to which frames were written before it.
    """

    __slots__ = (
        "by",
        "cursor",
        "farewell",
        "heard_from",
        "lanes",
        "number",
        "outbox",
        "ping",
        "ping_again",
        "ping_position",
        "pinged_at",
        "session",
        "sink",
        "task",
    )

    def __init__(self, *, number: int, by: Requester, session: Session) -> None:
        self.number = number
        self.by = by
        self.session = session
        self.sink: Sink = Backlog()
        self.outbox: Outbox | None = None
        self.task: asyncio.Task[object] | None = None
        self.farewell: CloseCode | None = None
        self.lanes: Lanes[Call] | None = None
        self.cursor: str | None = None
        self.heard_from = 0
        self.ping = 0
        self.ping_again = False
        self.ping_position = 0
        self.pinged_at: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether what is published is written to the client at once."""
        return self.sink is self.outbox

    def go_live(self) -> None:
        """The client has what it missed: from now on it hears everything at once."""
        assert self.outbox is not None
        backlog, self.sink = self.sink, self.outbox
        if isinstance(backlog, Backlog) and not self.outbox.is_closing():
            self.outbox.write(backlog.take())
