"""Redactions (redaction.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoQuery, Route
from clientapi.matrix.joining import Reason
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from clientapi.rate_limits import RateLimits
from homeserver.actions.redacting import Redacting
from homeserver.requester import Requester


class RedactionEndpoints:
    """Endpoints of redaction.yaml."""

    def __init__(self, *, redacting: Redacting, rate_limits: RateLimits) -> None:
        self._redacting = redacting
        self._rate_limits = rate_limits

    async def redact_event(self, call: Call[NoQuery, Reason], by: Requester) -> Json:
        self._rate_limits.message(by.user_nid)
        with members_only():
            sent = await self._redacting.redact(
                by,
                call.room_id,
                call.event_id,
                call.body.content(),
                txn_id=call.parameters["txnId"],
            )
        return {"event_id": sent.event_id}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RedactionEndpoints(redacting=services.redacting, rate_limits=services.rate_limits)
    yield Route(
        method="PUT",
        path="v3/rooms/{roomId}/redact/{eventId}/{txnId}",
        run=endpoints.redact_event,
        body=Reason,
    )
