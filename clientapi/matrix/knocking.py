"""Knocking on rooms (knocking.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, Route
from clientapi.matrix.joining import Reason, Via, room_named
from clientapi.matrix.services import MatrixServices
from homeserver.actions.aliases import Aliases
from homeserver.actions.joining import Joining
from homeserver.requester import Requester


class KnockingEndpoints:
    """Endpoints of knocking.yaml."""

    def __init__(self, *, joining: Joining, aliases: Aliases) -> None:
        self._joining = joining
        self._aliases = aliases

    async def knock_room(self, call: Call[Via, Reason], by: Requester) -> Json:
        room_uuid = await room_named(self._aliases, call.parameters["roomIdOrAlias"])
        room, _ = await self._joining.knock(by, room_uuid, call.body.content())
        return {"room_id": room.room_id}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = KnockingEndpoints(joining=services.joining, aliases=services.aliases)
    yield Route(
        method="POST",
        path="v3/knock/{roomIdOrAlias}",
        run=endpoints.knock_room,
        query=Via,
        body=Reason,
    )
