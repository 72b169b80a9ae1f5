"""Receipts (receipts.yaml)."""

from collections.abc import Iterator
from typing import Any

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.receipts import FULLY_READ, Markers, Receipts
from homeserver.errors import InvalidInput
from homeserver.identifiers import EventID
from homeserver.requester import Requester


class ReceiptBody(Body):
    """thread_id: of any type, because what is wrong with it is an invalid parameter."""

    thread_id: Any = None


class ReceiptEndpoints:
    """Endpoints of receipts.yaml."""

    def __init__(self, *, receipts: Receipts) -> None:
        self._receipts = receipts

    async def post_receipt(self, call: Call[NoQuery, ReceiptBody], by: Requester) -> Json:
        markers = _markers(call.parameters["receiptType"], call.event_id, call.body)
        await self._receipts.mark(by, call.room_id, markers)
        return {}


def _markers(receipt_type: str, event_id: EventID, body: ReceiptBody) -> Markers:
    threaded = "thread_id" in body.model_fields_set
    thread = body.thread_id if threaded else ""
    if threaded and not (isinstance(thread, str) and thread):
        raise InvalidInput("thread_id must be a string that is not empty.", field="thread_id")
    match receipt_type:
        case "m.read":
            return Markers(read=event_id, thread=thread)
        case "m.read.private":
            return Markers(private=event_id, thread=thread)
        case _ if receipt_type != FULLY_READ:
            raise InvalidInput("There are no receipts of this type.", field="receiptType")
        case _ if threaded:
            raise InvalidInput("m.fully_read is about no thread.", field="thread_id")
    return Markers(fully_read=event_id)


def routes(services: MatrixServices) -> Iterator[Route]:
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
        run=ReceiptEndpoints(receipts=services.receipts).post_receipt,
        body=ReceiptBody,
    )
