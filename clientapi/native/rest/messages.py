"""Messages."""

from collections.abc import Iterator

from clientapi.native import render
from clientapi.native.encryption_objects import said
from clientapi.native.rest.endpoint import Call, Endpoint, Json, Private
from clientapi.native.services import NativeServices
from homeserver.requester import Requester
from homeserver.views.timeline import ReceiptView
from schema.operations import messages as operations
from schema.wire.paths import MessagePath, NoPath, ReactionPath, RoomPath
from schema.wire.requests import (
    EditMessage,
    MessagePage,
    MessageSearch,
    NewMessage,
    NoBody,
    NoQuery,
)
from schema.wire.times import timestamp


class MessageEndpoints:
    """Writing, reading and searching."""

    def __init__(self, *, services: NativeServices) -> None:
        self._send = services.send
        self._timeline = services.timeline
        self._search = services.search
        self._limits = services.rate_limits

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.LIST_MESSAGES, self.list_messages)
        yield Private(operations.SEND_MESSAGE, self.send_message)
        yield Private(operations.GET_MESSAGE, self.get_message)
        yield Private(operations.EDIT_MESSAGE, self.edit_message)
        yield Private(operations.DELETE_MESSAGE, self.delete_message)
        yield Private(operations.ADD_REACTION, self.add_reaction)
        yield Private(operations.REMOVE_REACTION, self.remove_reaction)
        yield Private(operations.GET_THREAD, self.get_thread)
        yield Private(operations.GET_RECEIPTS, self.get_receipts)
        yield Private(operations.SEARCH_MESSAGES, self.search_messages)

    async def list_messages(self, call: Call[RoomPath, MessagePage, NoBody], by: Requester) -> Json:
        page = await self._timeline.page(by, call.path.room_id, call.query.limit, call.query.before)
        return render.messages(page)

    async def send_message(self, call: Call[RoomPath, NoQuery, NewMessage], by: Requester) -> Json:
        self._limits.message(by.user_nid)
        body = call.body
        sent = await self._send.message(
            by,
            call.path.room_id,
            said(body.content, body.encrypted),
            reply_to=body.reply_to,
            thread=body.thread_id,
            attachments=body.attachments,
            ref=body.ref,
        )
        return {"id": sent.message_uuid, "created_at": timestamp(sent.created_at_ms)}

    async def get_message(self, call: Call[MessagePath, NoQuery, NoBody], by: Requester) -> Json:
        view = await self._timeline.message(by, call.path.message_id)
        return render.message(view, personal=True)

    async def edit_message(
        self, call: Call[MessagePath, NoQuery, EditMessage], by: Requester
    ) -> Json:
        self._limits.message(by.user_nid)
        message_id = call.path.message_id
        body = call.body
        await self._send.edit(by, message_id, said(body.content, body.encrypted), ref=body.ref)
        return render.message(await self._timeline.message(by, message_id), personal=True)

    async def delete_message(self, call: Call[MessagePath, NoQuery, NoBody], by: Requester) -> Json:
        self._limits.message(by.user_nid)
        await self._send.delete(by, call.path.message_id)
        return None

    async def add_reaction(self, call: Call[ReactionPath, NoQuery, NoBody], by: Requester) -> Json:
        self._limits.message(by.user_nid)
        await self._send.react(by, call.path.message_id, call.path.key)
        return {"message_id": call.path.message_id, "key": call.path.key}

    async def remove_reaction(
        self, call: Call[ReactionPath, NoQuery, NoBody], by: Requester
    ) -> Json:
        self._limits.message(by.user_nid)
        await self._send.unreact(by, call.path.message_id, call.path.key)
        return None

    async def get_thread(self, call: Call[MessagePath, MessagePage, NoBody], by: Requester) -> Json:
        page = await self._timeline.thread(
            by, call.path.message_id, call.query.limit, call.query.before
        )
        return render.messages(page)

    async def get_receipts(self, call: Call[MessagePath, NoQuery, NoBody], by: Requester) -> Json:
        receipts = await self._timeline.receipts_of(by, call.path.message_id)
        return [_receipt(view) for view in receipts]

    async def search_messages(
        self, call: Call[NoPath, MessageSearch, NoBody], by: Requester
    ) -> Json:
        query = call.query
        found = await self._search.messages(
            by,
            query.q,
            room=query.room_id,
            sender=query.from_,
            before=query.before,
            limit=query.limit,
        )
        return render.messages(found)


def _receipt(view: ReceiptView) -> render.Rendered:
    return {
        "user_id": view.user.uuid,
        "user_name": view.user.name,
        "delivered_at": render.moment(view.delivered_at_ms),
        "read_at": render.moment(view.read_at_ms),
    }
