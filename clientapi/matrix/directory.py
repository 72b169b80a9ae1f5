"""Aliases of rooms (directory.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.aliases import Aliases
from homeserver.errors import AliasTaken
from homeserver.identifiers import ServerName, native_uuid, parse_room_id
from homeserver.requester import Requester
from homeserver.views.directory import Directory


class AliasTarget(Body):
    """The body of `setRoomAlias`."""

    room_id: str


class DirectoryEndpoints:
    """Endpoints of directory.yaml."""

    def __init__(self, *, aliases: Aliases, directory: Directory, server_name: ServerName) -> None:
        self._aliases = aliases
        self._directory = directory
        self._server_name = server_name

    async def set_room_alias(self, call: Call[NoQuery, AliasTarget], by: Requester) -> Json:
        room_id = parse_room_id(call.body.room_id)
        try:
            with members_only():
                await self._aliases.add(by, native_uuid(room_id), call.room_alias)
        except AliasTaken as error:
            raise MatrixError(409, "M_UNKNOWN", str(error)) from None
        return {}

    async def get_room_id_by_alias(
        self, call: Call[NoQuery, NoBody], _by: Requester | None
    ) -> Json:
        room = await self._aliases.resolve(call.room_alias)
        return {"room_id": room.room_id, "servers": [self._server_name]}

    async def delete_room_alias(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        with members_only():
            await self._aliases.remove(by, call.room_alias)
        return {}

    async def get_local_aliases(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        with members_only():
            return {"aliases": await self._directory.aliases(by, native_uuid(call.room_id))}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = DirectoryEndpoints(
        aliases=services.aliases, directory=services.directory, server_name=services.server_name
    )
    path = "v3/directory/room/{roomAlias}"
    yield Route(method="PUT", path=path, run=endpoints.set_room_alias, body=AliasTarget)
    yield Route(
        method="GET",
        path=path,
        run=endpoints.get_room_id_by_alias,
        auth=Auth.OPTIONAL,
        guests=True,
    )
    yield Route(method="DELETE", path=path, run=endpoints.delete_room_alias)
    yield Route(
        method="GET",
        path="v3/rooms/{roomId}/aliases",
        run=endpoints.get_local_aliases,
        unstable=("unstable/org.matrix.msc2432/rooms/{roomId}/aliases",),
    )
