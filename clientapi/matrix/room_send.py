"""Sending message events (room_send.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Content, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from clientapi.rate_limits import RateLimits
from homeserver.actions.send_event import SendEvent
from homeserver.requester import Requester


class RoomSend:
    """Endpoints of room_send.yaml."""

    def __init__(self, *, send_event: SendEvent, rate_limits: RateLimits) -> None:
        self._send_event = send_event
        self._rate_limits = rate_limits

    async def send_message(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        self._rate_limits.message(by.user_nid)
        event_type, txn_id = call.parameters["eventType"], call.parameters["txnId"]
        sent = await self._send_event.message(
            by, call.room_id, event_type, call.body.content, txn_id=txn_id
        )
        return {"event_id": sent.event_id}


def routes(services: MatrixServices) -> Iterator[Route]:
    room_send = RoomSend(send_event=services.send_event, rate_limits=services.rate_limits)
    yield Route(
        method="PUT",
        path="v3/rooms/{roomId}/send/{eventType}/{txnId}",
        run=room_send.send_message,
        body=Content,
        guests=True,
    )
