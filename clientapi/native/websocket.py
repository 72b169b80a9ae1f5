"""`/ws`: the WebSocket of the native protocol.

Source: seed section 1; RFC 6455. What frames mean is in `session`, what follows from them in
`dispatch`, what everybody hears in `hub`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from itertools import count
from typing import Literal

import orjson
import structlog
from aiohttp import WSMsgType, web

from clientapi.errors import Problem, problem_of
from clientapi.native.connection import Connection
from clientapi.native.connections import Connections
from clientapi.native.cursor import NOW, Cursor, parse_cursor
from clientapi.native.delivered import Deliveries
from clientapi.native.dispatch import Dispatch
from clientapi.native.entrance import PROTOCOL, Entrance
from clientapi.native.framing import json_frame, pong_frame
from clientapi.native.heartbeat import Heartbeat, Pings
from clientapi.native.hub import Hub
from clientapi.native.listening import Listening
from clientapi.native.outbox import Outbox, Turn
from clientapi.native.replay import Missed, Replay
from clientapi.native.session import Farewell, Limits, Outcome, Refusal, Session
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, Unavailable
from homeserver.requester import Requester
from schema.wire.errors import CloseCode, ErrorCode

CLOSING_TIMEOUT_S = 5.0
"""How long a client has to answer the closing handshake."""

# aiohttp resets the connection of a client whose frame it will not read, and the client may then
# not learn why. A frame that is somewhat too large is read to its end, so that it does.
_READ_ANYWAY = 4

_AHEAD_TIMEOUT_S = 2.0
_TOO_MANY = Problem(
    code=ErrorCode.TOO_MANY_CONNECTIONS, message="You have too many open connections"
)
_STOPPING = "The server is stopping; please connect again soon"

WebSocket = web.WebSocketResponse[Literal[False]]

log = structlog.get_logger(__name__)


class WebSockets:
    """The handler of `/ws`."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        hub: Hub,
        replay: Replay,
        connections: Connections,
        dispatch: Dispatch,
        listening: Listening,
        deliveries: Deliveries,
        pings: Pings,
        heartbeat: Heartbeat,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._entrance = entrance
        self._hub = hub
        self._replay = replay
        self._connections = connections
        self._dispatch = dispatch
        self._listening = listening
        self._deliveries = deliveries
        self._pings = pings
        self._heartbeat = heartbeat
        self._limits = limits
        self._clock = clock
        self._numbers = count(1)
        self._turn = Turn()
        self._resuming: set[asyncio.Task[None]] = set()
        self._stopping = False

    def stop(self) -> None:
        """From now on nobody is let in, and no frame is taken."""
        self._stopping = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises NotAllowed, NotAuthenticated, InvalidInput, LimitExceeded and Unavailable before
        the connection becomes a WebSocket.
        """
        if self._stopping:
            raise Unavailable(_STOPPING)
        websocket = self._websocket()
        by = await self._entrance.admit(request, websocket)
        wanted = request.query.get("cursor")
        since = await self._since(wanted)
        rooms = await self._hub.rooms_of(by)
        if not self._connections.has_room_for(by):
            try:
                await _refuse(request, websocket)
            except ConnectionResetError:
                return _nobody_there()
            return websocket
        connection = self._connection(by)
        upto = self._hub.enter(connection, rooms)
        begin = self._beginning(connection, wanted, since, upto)
        answer: web.StreamResponse = _nobody_there()
        try:
            await websocket.prepare(request)
            answer = websocket
            self._attach(connection, request)
            begin()
            await self._serve(connection, websocket)
        except ConnectionResetError:
            log.debug("gone_while_connecting", user_id=by.user_id)
        finally:
            self._leave(connection)
        return answer

    def _websocket(self) -> WebSocket:
        return web.WebSocketResponse(
            timeout=CLOSING_TIMEOUT_S,
            autoping=False,
            compress=False,
            protocols=(PROTOCOL,),
            max_msg_size=self._limits.max_frame_bytes * _READ_ANYWAY,
            decode_text=False,
        )

    def _connection(self, by: Requester) -> Connection:
        session = Session(self._limits, now=self._clock.monotonic())
        return Connection(number=next(self._numbers), by=by, session=session)

    async def _since(self, wanted: str | None) -> Cursor | None:
        """The cursor to resume from; None where there is none that could be read.

        Another process may be ahead of this one, which then soon follows.
        """
        if wanted is None or wanted == NOW:
            return None
        with suppress(InvalidInput, Unavailable):
            since = parse_cursor(wanted)
            await self._hub.reached(since.events, timeout_s=_AHEAD_TIMEOUT_S)
            return since
        return None

    def _beginning(
        self, connection: Connection, wanted: str | None, since: Cursor | None, upto: Cursor
    ) -> Callable[[], None]:
        """How the connection begins once it is open. What it missed is found out at once: the
        rooms that it is found by are those of this moment.
        """
        if wanted is None:
            return connection.go_live
        if wanted == NOW:
            return lambda: self._replay.nothing_missed(connection, upto)
        if since is None:
            return lambda: self._start_afresh(connection, wanted, upto)
        missed = self._replay.missed(connection, since, upto)
        return lambda: self._resume(connection, missed)

    def _start_afresh(self, connection: Connection, wanted: str, upto: Cursor) -> None:
        try:
            parse_cursor(wanted)
        except InvalidInput as error:
            self._connections.answer(connection, json_frame(problem_of(error).frame()))
        self._replay.start_afresh(connection, upto)

    def _resume(self, connection: Connection, missed: Missed) -> None:
        task = asyncio.create_task(self._replay.resume(connection, missed))
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)

    def _attach(self, connection: Connection, request: web.Request) -> None:
        """The connection is open. Raises ConnectionResetError if it is gone again."""
        if request.transport is None:
            raise ConnectionResetError
        connection.outbox = Outbox(request.transport, self._turn)
        connection.task = asyncio.current_task()
        self._connections.opened()
        self._heartbeat.add(connection)
        self._dispatch.arrived(connection)

    def _leave(self, connection: Connection) -> None:
        connection.task = None
        self._heartbeat.remove(connection)
        self._listening.forget(connection)
        self._connections.closed(connection)
        self._dispatch.departed(connection)

    async def _serve(self, connection: Connection, websocket: WebSocket) -> None:
        """Takes frames until either side ends the connection."""
        try:
            if connection.farewell is None:
                await self._listen(connection, websocket)
        except asyncio.CancelledError:
            if connection.farewell is None:
                raise
            # `Connections.close` woke this task.
            if connection.task is not None:
                connection.task.uncancel()
        connection.task = None
        if connection.farewell is not None:
            await _say_farewell(connection, connection.farewell, websocket)

    async def _listen(self, connection: Connection, websocket: WebSocket) -> None:
        while True:
            message = await websocket.receive()
            kind = message.type
            if kind is WSMsgType.TEXT:
                self._text(connection, message.data)
            elif kind is WSMsgType.PONG:
                self._pong(connection, message.data)
            elif kind is WSMsgType.PING:
                self._ping(connection, message.data)
            elif kind is WSMsgType.BINARY:
                self._refused(connection, connection.session.binary(self._clock.monotonic()))
            else:
                return
            lanes = connection.lanes
            if lanes is not None and lanes.is_full:
                await lanes.wait_for_room()

    def _text(self, connection: Connection, raw: bytes) -> None:
        outcome = connection.session.text(raw, self._clock.monotonic())
        if isinstance(outcome, Refusal | Farewell):
            self._refused(connection, outcome)
        elif self._stopping:
            problem = problem_of(Unavailable(_STOPPING))
            self._connections.answer(connection, json_frame(problem.frame(outcome.ref)))
        else:
            self._dispatch.take(connection, outcome)

    def _refused(self, connection: Connection, outcome: Outcome | None) -> None:
        if isinstance(outcome, Refusal):
            self._connections.answer(connection, json_frame(outcome.frame))
        elif isinstance(outcome, Farewell):
            self._connections.close(connection, outcome.code, json_frame(outcome.frame))

    def _ping(self, connection: Connection, payload: bytes) -> None:
        outcome = connection.session.control(self._clock.monotonic())
        if outcome is None:
            self._connections.control(connection, pong_frame(bytes(payload)))
        else:
            self._refused(connection, outcome)

    def _pong(self, connection: Connection, payload: bytes) -> None:
        if self._pings.answered(connection, bytes(payload)):
            self._deliveries.answered(connection)
        else:
            self._refused(connection, connection.session.control(self._clock.monotonic()))


async def _refuse(request: web.Request, websocket: WebSocket) -> None:
    """The user has as many connections as he may have. Only a WebSocket can be told so by frame
    and close code, so it is opened for that.
    """
    await websocket.prepare(request)
    await websocket.send_frame(orjson.dumps(_TOO_MANY.frame()), WSMsgType.TEXT)
    code = CloseCode.TOO_MANY_CONNECTIONS
    await websocket.close(code=code, message=code.meaning.encode())


async def _say_farewell(connection: Connection, code: CloseCode, websocket: WebSocket) -> None:
    """The closing handshake. What a client has not read by its end is dropped."""
    outbox = connection.outbox
    if outbox is not None:
        outbox.flush()
    await websocket.close(code=code, message=code.meaning.encode(), drain=False)
    if outbox is not None and outbox.get_write_buffer_size():
        outbox.abort()


def _nobody_there() -> web.Response:
    """For a connection that ended before it was a WebSocket: aiohttp wants some answer."""
    return web.Response(status=HTTPStatus.BAD_REQUEST)
