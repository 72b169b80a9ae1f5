"""Setting state of rooms (room_state.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Call, Content, Json, Query, Route
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from clientapi.rate_limits import RateLimits
from homeserver.actions.set_state import SetState
from homeserver.requester import Requester


class Timestamp(Query):
    """Application-service API v1.19 "Timestamp massaging": when it shall have happened."""

    ts: int | None = Field(default=None, ge=0, lt=2**53)

    def for_(self, by: Requester) -> int | None:
        """Milliseconds since the epoch; who is no application service cannot choose them."""
        return None if by.appservice is None else self.ts


class RoomStateEndpoints:
    """Endpoints of room_state.yaml."""

    def __init__(self, *, set_state: SetState, rate_limits: RateLimits) -> None:
        self._set_state = set_state
        self._rate_limits = rate_limits

    async def set_room_state_with_key(self, call: Call[Timestamp, Content], by: Requester) -> Json:
        self._rate_limits.message(by.user_nid)
        event_type, state_key = call.parameters["eventType"], call.parameters.get("stateKey", "")
        with members_only():
            event_id = await self._set_state.set(
                by,
                call.room_id,
                event_type,
                state_key,
                call.body.content,
                at_ms=call.query.for_(by),
            )
        return {"event_id": event_id}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RoomStateEndpoints(set_state=services.set_state, rate_limits=services.rate_limits)
    for path in (
        "v3/rooms/{roomId}/state/{eventType}",
        "v3/rooms/{roomId}/state/{eventType}/{stateKey}",
    ):
        yield Route(
            method="PUT",
            path=path,
            run=endpoints.set_room_state_with_key,
            query=Timestamp,
            body=Content,
            guests=True,
        )
