"""A room as somebody sees it who may join it (room_summary.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.identifiers import parse_room_alias, parse_room_id
from homeserver.requester import Requester
from homeserver.views.room_summaries import RoomSummaries


class RoomSummary:
    """Endpoints of room_summary.yaml. `via` is for rooms of other servers."""

    def __init__(self, *, summaries: RoomSummaries) -> None:
        self._summaries = summaries

    async def get_room_summary(self, call: Call[NoQuery, NoBody], by: Requester | None) -> Json:
        room = call.parameters["roomIdOrAlias"]
        parsed = parse_room_alias(room) if room.startswith("#") else parse_room_id(room)
        return await self._summaries.summary(by, parsed)


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RoomSummary(summaries=services.room_views.summaries)
    yield Route(
        method="GET",
        path="v1/room_summary/{roomIdOrAlias}",
        run=endpoints.get_room_summary,
        auth=Auth.OPTIONAL,
        guests=True,
        unstable=(
            "unstable/im.nheko.summary/summary/{roomIdOrAlias}",
            "unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary",
        ),
    )
