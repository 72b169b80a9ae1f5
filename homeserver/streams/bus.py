"""Announcements between the parts of a server and between its processes.

An announcement says "look at this position" or "forget what you cached"; it carries no data that
is nowhere else, so a lost one costs an idle poll, never a message (design section 6).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

import asyncpg
import orjson
import structlog

from homeserver.storage.database import Connection

CHANNEL = "foyer"
POSITION_TOPICS = frozenset({"events", "receipts", "account_data", "to_device", "device_lists"})
"""Topics of which only the newest payload counts."""

_MAX_WAITING = 10_000
MAX_PAYLOAD_BYTES = 7_000
"""Of a payload as text in JSON, so that the announcement fits into what NOTIFY takes."""

_MAX_NOTIFY_BYTES = 7_900
_PAUSE_S = 0.02
_DRAIN_S = 1.0

_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended an idle connection
)

Listener = Callable[[str], None]
log = structlog.get_logger(__name__)


class Bus(Protocol):
    """Where announcements go. Listeners run on the event loop and must not block."""

    def announce(self, topic: str, payload: str) -> None: ...

    def share(self, topic: str, payload: str) -> None:
        """Tells other processes only."""

    def subscribe(self, topic: str, listener: Listener) -> None: ...


class PostgresBus:
    """LISTEN and NOTIFY on a connection of its own, outside every transaction.

    NOTIFY inside a writing transaction takes a lock that all commits share, so announcements go
    out after the commit, several in one statement.
    """

    def __init__(self, *, dsn: str) -> None:
        self._dsn = dsn
        self._instance = uuid4().hex
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._waiting: list[tuple[str, str]] = []
        self._positions: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._reconnected: list[Callable[[], None]] = []

    def subscribe(self, topic: str, listener: Listener) -> None:
        self._listeners[topic].append(listener)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Called whenever listening begins (again): announcements may have been missed."""
        self._reconnected.append(callback)

    def announce(self, topic: str, payload: str) -> None:
        """Tells listeners here at once, and those of other processes soon."""
        self._deliver(topic, payload)
        if topic in POSITION_TOPICS:
            self._positions[topic] = payload
            self._wake_up()
        else:
            self.share(topic, payload)

    def share(self, topic: str, payload: str) -> None:
        """Tells listeners of other processes soon."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append((topic, payload))
        self._wake_up()

    async def drain(self) -> None:
        """Until everything has gone out, or that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._idle.wait()

    async def run(self) -> None:
        """Listens and notifies until cancelled; connects again when the connection is lost."""
        delay = 0.1
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=10)
            except _LOST:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
                continue
            delay = 0.1
            try:
                await self._serve(connection)
            except _LOST as error:
                log.warning("bus_lost", error=type(error).__name__)
            finally:
                with suppress(*_LOST):
                    await connection.close(timeout=1)

    async def _serve(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(CHANNEL, self._heard)
        for callback in self._reconnected:
            callback()
        while not connection.is_closed():
            await self._wake.wait()
            self._wake.clear()
            await self._notify(connection)
            # What comes in the meantime goes out together.
            await asyncio.sleep(_PAUSE_S)

    async def _notify(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        waiting, positions = self._waiting, self._positions
        self._waiting, self._positions = [], {}
        messages = [*waiting, *positions.items()]
        if messages:
            payloads = [_encode(self._instance, topic, payload) for topic, payload in messages]
            await connection.execute(
                "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload",
                CHANNEL,
                [each for each in payloads if len(each.encode()) < _MAX_NOTIFY_BYTES],
            )
        if not self._waiting and not self._positions:
            self._idle.set()

    def _wake_up(self) -> None:
        self._idle.clear()
        self._wake.set()

    def _heard(self, _connection: object, _pid: int, _channel: str, message: object) -> None:
        try:
            instance, topic, payload = orjson.loads(str(message))
        except (ValueError, TypeError):
            return
        if instance != self._instance:
            self._deliver(str(topic), str(payload))

    def _deliver(self, topic: str, payload: str) -> None:
        for listener in self._listeners.get(topic, ()):
            listener(payload)


async def announce_once(connection: Connection, topic: str, payload: str) -> None:
    """An announcement by a short-lived process, such as a command line tool."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, _encode("", topic, payload))


def _encode(instance: str, topic: str, payload: str) -> str:
    return orjson.dumps([instance, topic, payload]).decode()
