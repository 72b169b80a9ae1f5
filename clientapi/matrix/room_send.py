"""Sending message events (room_send.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Content, Json, Route, parse_event_id
from clientapi.matrix.errors import bad_json
from clientapi.matrix.room_state import Timestamp
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from clientapi.rate_limits import RateLimits
from homeserver.actions.redacting import Redacting
from homeserver.actions.send_event import SendEvent
from homeserver.actions.transactions import Sent
from homeserver.messages import REDACTION_TYPE
from homeserver.requester import Requester


class RoomSend:
    """Endpoints of room_send.yaml."""

    def __init__(
        self, *, send_event: SendEvent, redacting: Redacting, rate_limits: RateLimits
    ) -> None:
        self._send_event = send_event
        self._redacting = redacting
        self._rate_limits = rate_limits

    async def send_message(self, call: Call[Timestamp, Content], by: Requester) -> Json:
        self._rate_limits.message(by.user_nid)
        is_redaction = call.parameters["eventType"] == REDACTION_TYPE
        with members_only():
            sent = await (self._redact(call, by) if is_redaction else self._send(call, by))
        return {"event_id": sent.event_id}

    async def _send(self, call: Call[Timestamp, Content], by: Requester) -> Sent:
        return await self._send_event.message(
            by,
            call.room_id,
            call.parameters["eventType"],
            call.body.content,
            txn_id=call.parameters["txnId"],
            at_ms=call.query.for_(by),
        )

    async def _redact(self, call: Call[Timestamp, Content], by: Requester) -> Sent:
        """In all room versions `redacts` stands in the content here."""
        content = dict(call.body.content)
        redacts = content.pop("redacts", None)
        if not isinstance(redacts, str):
            raise bad_json("redacts is the ID of the event to redact.")
        return await self._redacting.redact(
            by,
            call.room_id,
            parse_event_id(redacts),
            content,
            txn_id=call.parameters["txnId"],
            endpoint="s",
            at_ms=call.query.for_(by),
        )


def routes(services: MatrixServices) -> Iterator[Route]:
    room_send = RoomSend(
        send_event=services.send_event,
        redacting=services.redacting,
        rate_limits=services.rate_limits,
    )
    yield Route(
        method="PUT",
        path="v3/rooms/{roomId}/send/{eventType}/{txnId}",
        run=room_send.send_message,
        query=Timestamp,
        body=Content,
        guests=True,
    )
