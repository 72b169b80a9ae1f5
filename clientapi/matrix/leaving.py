"""Leaving rooms and forgetting them (leaving.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.joining import Reason
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.leaving import Leaving
from homeserver.identifiers import native_uuid
from homeserver.requester import Requester


class LeavingEndpoints:
    """Endpoints of leaving.yaml."""

    def __init__(self, *, leaving: Leaving) -> None:
        self._leaving = leaving

    async def leave_room(self, call: Call[NoQuery, Reason], by: Requester) -> Json:
        with members_only():
            await self._leaving.leave(by, native_uuid(call.room_id), call.body.content())
        return {}

    async def forget_room(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        with members_only():
            await self._leaving.forget(by, native_uuid(call.room_id))
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = LeavingEndpoints(leaving=services.leaving)
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/leave",
        run=endpoints.leave_room,
        body=Reason,
        guests=True,
    )
    yield Route(method="POST", path="v3/rooms/{roomId}/forget", run=endpoints.forget_room)
