"""Rooms that application services list (appservice_room_directory.yaml)."""

from collections.abc import Iterator
from typing import Literal

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.listing import Listing
from homeserver.identifiers import native_uuid
from homeserver.requester import Requester


class Visibility(Body):
    """The body of `updateAppserviceRoomDirectoryVisibility`."""

    visibility: Literal["public", "private"]


class AppserviceRoomDirectory:
    """Endpoints of appservice_room_directory.yaml."""

    def __init__(self, *, listing: Listing) -> None:
        self._listing = listing

    async def update_appservice_room_directory_visibility(
        self, call: Call[NoQuery, Visibility], by: Requester
    ) -> Json:
        await self._listing.list_for_network(
            by,
            call.parameters["networkId"],
            native_uuid(call.room_id),
            listed=call.body.visibility == "public",
        )
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = AppserviceRoomDirectory(listing=services.listing)
    yield Route(
        method="PUT",
        path="v3/directory/list/appservice/{networkId}/{roomId}",
        run=endpoints.update_appservice_room_directory_visibility,
        body=Visibility,
    )
