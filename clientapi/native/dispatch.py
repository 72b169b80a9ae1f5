"""From a client's frame to an action, and from what came of it to the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, get_args
from uuid import UUID

import structlog

from clientapi.errors import problem_of
from clientapi.native.connection import Arrival, Asked, Call, Connection, Departure
from clientapi.native.connections import Connections
from clientapi.native.cursor import Progress
from clientapi.native.encryption_frames import EncryptionFrames
from clientapi.native.encryption_objects import said
from clientapi.native.framing import json_frame
from clientapi.native.lanes import Lanes
from clientapi.rate_limits import RateLimits
from homeserver.actions.presence import Presence
from homeserver.actions.receipts import Receipts
from homeserver.actions.send import Send
from homeserver.actions.transactions import Sent
from homeserver.actions.typing import Typing
from homeserver.metrics import Metrics
from schema.wire import client_frames as frames
from schema.wire.client_frames import CLIENT_FRAMES, ClientFrame, Frame
from schema.wire.times import timestamp

PONG = json_frame({"type": "pong"})
ARRIVAL = Arrival()
DEPARTURE = Departure()

_PRESENCE = "presence"
_KEYS = "keys"
_TO_DEVICE = "to_device"
_NEWS = "news"
"""Lanes of frames that name neither a room nor a message."""

log = structlog.get_logger(__name__)

Answer = dict[str, Any] | None
Handler = Callable[[Connection, Any], Awaitable[Answer]]


class Dispatch:
    """Carries out the calls of all connections."""

    def __init__(
        self,
        *,
        send: Send,
        receipts: Receipts,
        typing: Typing,
        presence: Presence,
        encryption: EncryptionFrames,
        connections: Connections,
        progress: Progress,
        rate_limits: RateLimits,
        metrics: Metrics,
    ) -> None:
        self._send = send
        self._receipts = receipts
        self._typing = typing
        self._presence = presence
        self._connections = connections
        self._progress = progress
        self._rate_limits = rate_limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = {each: metrics.frames_in.labels(_type_of(each)) for each in CLIENT_FRAMES}
        self._handlers: Mapping[type[Asked], Handler] = {
            Arrival: self._arrival,
            Departure: self._departure,
            frames.MessageSend: self._message_send,
            frames.MessageEdit: self._message_edit,
            frames.MessageDelete: self._message_delete,
            frames.ReactionAdd: self._reaction_add,
            frames.ReactionRemove: self._reaction_remove,
            frames.MessageRead: self._message_read,
            frames.TypingStart: self._typing_start,
            frames.TypingStop: self._typing_stop,
            frames.PresenceUpdate: self._presence_update,
            **encryption.handlers(),
        }

    def take(self, connection: Connection, frame: ClientFrame) -> None:
        """Begins to carry a frame out; the answer comes later, except to a ping.

        Frames of one connection that name the same room, or else the same message, are carried
        out in order.
        """
        self._counts[type(frame)].inc()
        if isinstance(frame, frames.Ping):
            self._connections.answer(connection, _pong(frame.ref))
            return
        self._queue(connection, frame)

    def arrived(self, connection: Connection) -> None:
        """A connection has been opened."""
        self._queue(connection, ARRIVAL)

    def departed(self, connection: Connection) -> None:
        """A connection has ended: after everything that it asked for about its presence."""
        self._queue(connection, DEPARTURE)

    async def finish(self) -> None:
        """Waits until everything that was taken is answered."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _queue(self, connection: Connection, asked: Asked) -> None:
        if connection.lanes is None:
            connection.lanes = Lanes(run=self._carry_out, begin=self._begin)
        connection.lanes.take(_lane_of(asked), Call(connection, asked))

    def _begin(self, driving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(driving)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, call: Call) -> None:
        connection, asked = call.connection, call.asked
        try:
            answer = await self._handlers[type(asked)](connection, asked)
        except Exception as error:
            problem = problem_of(error)
            if problem.is_defect:
                log.exception("frame failed", type=_name_of(asked))
            answer = problem.frame(asked.ref)
        if answer is not None:
            self._connections.answer(connection, json_frame(answer))

    async def _message_send(self, connection: Connection, frame: frames.MessageSend) -> Answer:
        self._rate_limits.message(connection.by.user_nid)
        sent = await self._send.message(
            connection.by,
            frame.room_id,
            said(frame.content, frame.encrypted),
            reply_to=frame.reply_to,
            thread=frame.thread_id,
            attachments=frame.attachments,
            ref=frame.ref,
        )
        return self._sent(connection, frame, sent, sent.message_uuid)

    async def _message_edit(self, connection: Connection, frame: frames.MessageEdit) -> Answer:
        self._rate_limits.message(connection.by.user_nid)
        content = said(frame.content, frame.encrypted)
        sent = await self._send.edit(connection.by, frame.message_id, content, ref=frame.ref)
        return self._sent(connection, frame, sent, frame.message_id)

    async def _message_delete(self, connection: Connection, frame: frames.MessageDelete) -> Answer:
        self._rate_limits.message(connection.by.user_nid)
        sent = await self._send.delete(connection.by, frame.message_id, ref=frame.ref)
        return self._sent(connection, frame, sent, frame.message_id)

    async def _reaction_add(self, connection: Connection, frame: frames.ReactionAdd) -> Answer:
        self._rate_limits.message(connection.by.user_nid)
        sent = await self._send.react(connection.by, frame.message_id, frame.key, ref=frame.ref)
        return self._sent(connection, frame, sent, frame.message_id)

    async def _reaction_remove(
        self, connection: Connection, frame: frames.ReactionRemove
    ) -> Answer:
        self._rate_limits.message(connection.by.user_nid)
        sent = await self._send.unreact(connection.by, frame.message_id, frame.key, ref=frame.ref)
        return self._sent(connection, frame, sent, frame.message_id)

    async def _message_read(self, connection: Connection, frame: frames.MessageRead) -> Answer:
        await self._receipts.read(connection.by, frame.room_id, frame.message_id)
        return _ack(frame.ref)

    async def _typing_start(self, connection: Connection, frame: frames.TypingStart) -> Answer:
        await self._typing.start(connection.by, frame.room_id)
        return _ack(frame.ref)

    async def _typing_stop(self, connection: Connection, frame: frames.TypingStop) -> Answer:
        await self._typing.stop(connection.by, frame.room_id)
        return _ack(frame.ref)

    async def _presence_update(
        self, connection: Connection, frame: frames.PresenceUpdate
    ) -> Answer:
        await self._presence.update(connection.by, connection.number, frame.status)
        return _ack(frame.ref)

    async def _arrival(self, connection: Connection, _arrival: Arrival) -> Answer:
        await self._presence.connected(connection.by, connection.number)
        return None

    async def _departure(self, connection: Connection, _departure: Departure) -> Answer:
        await self._presence.disconnected(connection.by, connection.number)
        return None

    def _sent(self, connection: Connection, frame: Frame, sent: Sent, message_uuid: UUID) -> Answer:
        """message_uuid: of the message that was written, or that was changed."""
        return {
            "type": "message.sent",
            "ref": frame.ref,
            "message_id": message_uuid,
            "room_id": sent.room_uuid,
            "created_at": timestamp(sent.created_at_ms),
            "cursor": connection.cursor or str(self._progress.cursor),
        }


def _pong(ref: str | None) -> bytes:
    return PONG if ref is None else json_frame({"type": "pong", "ref": ref})


def _ack(ref: str | None) -> Answer:
    """Frames that change nothing for good are answered only if the client can tell which."""
    return None if ref is None else {"type": "ack", "ref": ref}


def _lane_of(asked: Asked) -> UUID | str:
    match asked:
        case (
            frames.MessageSend(room_id=room_id)
            | frames.MessageRead(room_id=room_id)
            | frames.TypingStart(room_id=room_id)
            | frames.TypingStop(room_id=room_id)
        ):
            return room_id
        case (
            frames.MessageEdit(message_id=message_id)
            | frames.MessageDelete(message_id=message_id)
            | frames.ReactionAdd(message_id=message_id)
            | frames.ReactionRemove(message_id=message_id)
        ):
            return message_id
        case frames.KeysUpload() | frames.KeysQuery() | frames.KeysClaim():
            return _KEYS
        case frames.ToDeviceSend():
            return _TO_DEVICE
        case frames.EncryptionListen() | frames.EncryptionAck():
            return _NEWS
        case _:
            return _PRESENCE


def _name_of(asked: Asked) -> str:
    return _type_of(type(asked)) if isinstance(asked, Frame) else type(asked).__name__


def _type_of(model: type[Frame]) -> str:
    """`message.send` of MessageSend."""
    return str(get_args(model.model_fields["type"].annotation)[0])
