"""The rooms that one is in (list_joined_rooms.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.directory import Directory


class ListJoinedRooms:
    """Endpoints of list_joined_rooms.yaml."""

    def __init__(self, *, directory: Directory) -> None:
        self._directory = directory

    async def get_joined_rooms(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"joined_rooms": await self._directory.joined(by)}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = ListJoinedRooms(directory=services.directory)
    yield Route(method="GET", path="v3/joined_rooms", run=endpoints.get_joined_rooms)
