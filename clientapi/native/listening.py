"""`encryption.news`: what concerns encryption, for connections that asked for it.

A device is told by one of its connections, the newest that listens, and one frame is on its way at
a time: what happens meanwhile is gathered for the next. Messages to the device are deleted when it
says that it has them (`Inboxes`), so none is lost with a connection.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from clientapi.native.connection import Connection
from clientapi.native.connections import Connections
from clientapi.native.encryption_objects import news as rendered
from clientapi.native.framing import json_frame
from e2e.device_keys import require_device
from e2e.stocks import TOPIC, KeyStock
from homeserver.errors import InvalidInput, Unavailable
from homeserver.identifiers import UserID
from homeserver.streams.bus import Bus
from homeserver.streams.to_device import ToDeviceTail
from homeserver.sync.encryption_news import EncryptionNews, EncryptionSync
from homeserver.sync.gathered import Gathered, Message
from homeserver.sync.token import SyncToken, parse_sync_token

_RETRY_S = 0.5

log = structlog.get_logger(__name__)


class Listener:
    """A connection that listens. since: what its device has. on_the_way: the token of what was
    told and is not acknowledged. told: what it was told last.
    """

    __slots__ = ("connection", "gathered", "is_busy", "on_the_way", "since", "told")

    def __init__(self, connection: Connection, since: SyncToken | None) -> None:
        self.connection = connection
        self.since = since
        self.on_the_way: SyncToken | None = None
        self.told: EncryptionNews | None = None
        self.gathered = Gathered()
        self.is_busy = False


class Listening:
    """All connections that listen. now: where the streams stand of which everybody has heard."""

    def __init__(
        self,
        *,
        news: EncryptionSync,
        connections: Connections,
        now: Callable[[], SyncToken],
        max_bytes: int,
    ) -> None:
        self._news = news
        self._connections = connections
        self._now = now
        self._max_bytes = max_bytes
        self._of: dict[Connection, Listener] = {}
        self._of_session: dict[int, list[Listener]] = {}
        self._touched: dict[Listener, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._of)

    def start(self, tail: ToDeviceTail, bus: Bus) -> None:
        """Follows messages to devices and their keys."""
        tail.subscribe(self._sent)
        bus.subscribe(TOPIC, self._keys_changed)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def listen(self, connection: Connection, since: str | None) -> None:
        """From now on the connection is told what is new after a token. Raises InvalidInput,
        Unavailable.
        """
        require_device(connection.by)
        token = None if since is None else parse_sync_token(since)
        if token is not None:
            token = await self._news.acknowledge(connection.by, token)
        if connection.task is None:
            return
        self.forget(connection)
        listener = self._of[connection] = Listener(connection, token)
        self._of_session.setdefault(connection.by.session_nid, []).append(listener)
        self._touch((listener,))

    async def acknowledge(self, connection: Connection, text: str) -> None:
        """The device has what came with a token. Raises InvalidInput, Unavailable."""
        token = parse_sync_token(text)
        if connection not in self._of:
            raise InvalidInput("This connection does not listen: send encryption.listen.")
        done = await self._news.acknowledge(connection.by, token)
        listener = self._of.get(connection)
        if listener is not None and listener.on_the_way == token:
            listener.since, listener.on_the_way = done, None
            self._touch((listener,))

    def forget(self, connection: Connection) -> None:
        """The connection has ended. One that listened before is told again."""
        listener = self._of.pop(connection, None)
        if listener is None:
            return
        session_nid = connection.by.session_nid
        others = self._of_session[session_nid]
        others.remove(listener)
        if not others:
            del self._of_session[session_nid]
            return
        others[-1].on_the_way = None
        others[-1].gathered.must_be_read()
        self._touch(others[-1:])

    def devices_changed(self, connections: Iterable[Connection], user_id: UserID) -> None:
        """Devices of somebody changed, or he came to a room that these hear."""
        self._tell_of(connections, lambda gathered: gathered.hears_of(user_id))

    def no_longer_shared(self, connections: Iterable[Connection], user_id: UserID) -> None:
        """Somebody shares no room with these any more."""
        self._tell_of(connections, lambda gathered: gathered.hears_no_more_of(user_id))

    def moved(self, connections: Iterable[Connection]) -> None:
        """Their user came to a room, or left one: whom he shares rooms with must be looked up."""
        self._tell_of(connections, lambda gathered: gathered.must_be_read())

    def of(self, connections: Iterable[Connection]) -> list[Connection]:
        """Those that listen."""
        return [each for each in connections if each in self._of]

    def _tell_of(self, connections: Iterable[Connection], hear: Callable[[Gathered], None]) -> None:
        listeners = [self._of[each] for each in connections if each in self._of]
        for listener in listeners:
            hear(listener.gathered)
        self._touch(listeners)

    def _sent(self, batch: Sequence[Message]) -> None:
        listeners: dict[Listener, None] = {}
        for row in batch if self._of else ():
            listener = self._telling(row.session_nid)
            if listener is not None:
                listener.gathered.hears(row)
                listeners[listener] = None
        self._touch(listeners)

    def _keys_changed(self, payload: str) -> None:
        for session_nid in map(int, payload.split()) if self._of else ():
            listener = self._telling(session_nid)
            if listener is not None:
                listener.gathered.is_stock_new = True
                self._touch((listener,))

    def _telling(self, session_nid: int) -> Listener | None:
        """The connection by which a device is told."""
        of_session = self._of_session.get(session_nid)
        return of_session[-1] if of_session else None

    def _touch(self, listeners: Collection[Listener]) -> None:
        """They are told when all that happens in this turn of the event loop has been gathered."""
        if listeners and not self._touched:
            asyncio.get_running_loop().call_soon(self._tell_touched)
        self._touched.update(dict.fromkeys(listeners))

    def _tell_touched(self) -> None:
        touched, self._touched = self._touched, {}
        for listener in touched:
            if not self._is_due(listener):
                continue
            stock = self._news.peek_stock(listener.connection.by)
            if listener.gathered.must_read or listener.since is None or stock is None:
                self._begin(self._look_and_tell(listener))
            else:
                self._tell(listener, self._take(listener, listener.since, stock))

    def _is_due(self, listener: Listener) -> bool:
        """Whether there may be something to tell, and the device waits for it."""
        return (
            not listener.gathered.is_empty
            and not listener.is_busy
            and listener.on_the_way is None
            and self._telling(listener.connection.by.session_nid) is listener
        )

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_and_tell(self, listener: Listener) -> None:
        """Until there is nothing more to look up that could be told."""
        while self._is_due(listener):
            listener.is_busy = True
            try:
                found = await self._look(listener)
            except Unavailable as error:
                log.info("encryption_news_postponed", error=str(error))
                listener.gathered.must_be_read()
                await asyncio.sleep(_RETRY_S)
                continue
            finally:
                listener.is_busy = False
            if self._of.get(listener.connection) is listener:
                self._tell(listener, found)

    async def _look(self, listener: Listener) -> EncryptionNews:
        by, gathered, since = listener.connection.by, listener.gathered, listener.since
        if not gathered.must_read and since is not None:
            stock = await self._news.stock(by)
            if not gathered.must_read:
                return self._take(listener, since, stock)
        gathered.read_all()
        found = await self._news.since(by, since, max_bytes=self._max_bytes)
        if not found.is_all:
            gathered.must_be_read()
        return found

    def _take(self, listener: Listener, since: SyncToken, stock: KeyStock) -> EncryptionNews:
        return listener.gathered.take(since, self._now(), stock, max_bytes=self._max_bytes)

    def _tell(self, listener: Listener, found: EncryptionNews) -> None:
        """The first time whatever there is; later, if it is something."""
        if listener.told is not None and not found.tells_more_than(listener.told):
            listener.since = found.token
            return
        listener.told = replace(found, to_device=())
        listener.on_the_way = found.token
        frame = json_frame({"type": "encryption.news", **rendered(found)})
        self._connections.answer(listener.connection, frame)
