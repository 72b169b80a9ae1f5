"""How connections end: limits, expired and revoked sessions, slow clients, a server that stops."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

import structlog

from clientapi.errors import Problem
from clientapi.native.audience import Audience
from clientapi.native.connection import Connection
from clientapi.native.fanout import Fanout, FrameCounts
from clientapi.native.framing import json_frame
from homeserver.access_tokens import Claims
from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.metrics import Metrics
from homeserver.requester import Requester
from schema.wire.errors import CloseCode, ErrorCode

SESSION_REVOKED = json_frame({"type": "session.revoked"})
SESSION_ENDED = json_frame(
    Problem(code=ErrorCode.UNAUTHENTICATED, message="The session has ended: log in again").frame()
)
TOKEN_EXPIRED = json_frame(
    Problem(code=ErrorCode.UNAUTHENTICATED, message="The access token has expired").frame()
)

FindRequester = Callable[[Claims], Awaitable[Requester | None]]
log = structlog.get_logger(__name__)


class Connections:
    """The open connections, and the reasons to end them.

    requester_of: who asks with claims now; None when the session or the account has ended.
    """

    def __init__(
        self,
        *,
        audience: Audience,
        max_per_user: int,
        max_pending_bytes: int,
        requester_of: FindRequester,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._audience = audience
        self._max_per_user = max_per_user
        self._max_pending_bytes = max_pending_bytes
        self._requester_of = requester_of
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames_out = FrameCounts(metrics.frames_out)
        self.fanout = Fanout(
            max_pending_bytes=max_pending_bytes,
            on_slow=self.cut_slow,
            frames_out=self._frames_out,
        )

    def has_room_for(self, by: Requester) -> bool:
        """Whether the user may open one more."""
        return len(self._audience.of_user(by.user_nid)) < self._max_per_user

    def opened(self) -> None:
        """One more is among the audience."""
        self._metrics.websocket_connections.set(len(self._audience))

    def closed(self, connection: Connection) -> None:
        """Its handler ends, whoever closed it."""
        self._audience.remove(connection)
        self._metrics.websocket_connections.set(len(self._audience))

    def answer(self, connection: Connection, frame: bytes) -> None:
        """Writes a frame to one connection only, past its backlog: one that answers, and is no
        part of what it hears.
        """
        if self.control(connection, frame):
            self._frames_out.add(frame)

    def control(self, connection: Connection, frame: bytes) -> bool:
        """The same with a control frame. Whether it was written."""
        outbox = connection.outbox
        if outbox is None or connection.farewell is not None or outbox.is_closing():
            return False
        if outbox.get_write_buffer_size() > self._max_pending_bytes:
            self.cut_slow(connection)
            return False
        outbox.write(frame)
        return True

    def close(self, connection: Connection, code: CloseCode, *last: bytes) -> None:
        """Ends a connection: nothing follows these last frames but the closing handshake."""
        if connection.farewell is not None:
            return
        outbox = connection.outbox
        if outbox is not None and not outbox.is_closing() and last:
            outbox.write(b"".join(last))
        connection.farewell = code
        self._audience.remove(connection)
        if connection.task is not None:
            # The handler waits for frames; it closes the WebSocket when it is woken.
            connection.task.cancel()

    def cut_slow(self, connection: Connection) -> None:
        """Its client does not read. It can resume, so nothing is lost."""
        if connection.farewell is None:
            self._metrics.slow_consumers_cut.inc()
        self.close(connection, CloseCode.TOO_SLOW)

    def abort(self, connection: Connection) -> None:
        """Its client is gone: there is nobody to say good-bye to."""
        if connection.outbox is not None:
            connection.outbox.abort()

    def expire(self) -> None:
        """Ends the connections whose access token has ended."""
        now_ms = self._clock.now_ms()
        for connection in [each for each in self._audience if each.by.expires_at_ms <= now_ms]:
            self.close(connection, CloseCode.UNAUTHENTICATED, TOKEN_EXPIRED)

    def revoke(self, session_uuid: UUID) -> None:
        """A session has ended."""
        for connection in [each for each in self._audience if each.by.session_uuid == session_uuid]:
            self._revoke(connection)

    def account_changed(self, user_uuid: UUID) -> None:
        """An account was deactivated, or its rights changed."""
        self._recheck([each for each in self._audience if each.by.user_uuid == user_uuid])

    def recheck_all(self) -> None:
        """Announcements may have been missed."""
        self._recheck(list(self._audience))

    def restart_all(self) -> None:
        """Everybody must resume."""
        for connection in list(self._audience):
            self.close(connection, CloseCode.RESTART)

    async def drain(self, code: CloseCode, *, grace_s: float) -> None:
        """Ends all connections and waits until they are closed, or aborts them."""
        connections = list(self._audience)
        handlers = [each.task for each in connections if each.task is not None]
        for connection in connections:
            self.close(connection, code)
        if handlers:
            await asyncio.wait(handlers, timeout=grace_s)
        for connection in connections:
            self.abort(connection)
        for task in tuple(self._tasks):
            task.cancel()

    def _revoke(self, connection: Connection) -> None:
        self.close(connection, CloseCode.UNAUTHENTICATED, SESSION_REVOKED, SESSION_ENDED)

    def _recheck(self, connections: Iterable[Connection]) -> None:
        task = asyncio.create_task(self._recheck_each(connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recheck_each(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            await self._recheck_one(connection)

    async def _recheck_one(self, connection: Connection) -> None:
        by = connection.by
        claims = Claims(by.user_uuid, by.session_uuid, by.expires_at_ms)
        try:
            requester = await self._requester_of(claims)
        except Unavailable:
            log.warning("session_not_rechecked", session=str(by.session_uuid))
            return
        if requester is None or requester.is_locked:
            self._revoke(connection)
        else:
            connection.by = requester
