"""Joining rooms (joining.yaml)."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.aliases import Aliases
from homeserver.actions.joining import Joining
from homeserver.errors import NoIdentityServer
from homeserver.identifiers import native_uuid, parse_room_id
from homeserver.requester import Requester


class Reason(Body):
    """The body of changes of one's own membership."""

    reason: str | None = None

    def content(self) -> dict[str, Any]:
        """What it adds to the membership event."""
        return {} if self.reason is None else {"reason": self.reason}


class JoinBody(Reason):
    """The body of `joinRoom` and `joinRoomById`."""

    third_party_signed: dict[str, Any] | None = None


class Via(Query):
    """Servers that are in the room. Rooms of this server need none."""

    via: list[str] = Field(default_factory=list)
    server_name: list[str] = Field(default_factory=list)


class JoiningEndpoints:
    """Endpoints of joining.yaml."""

    def __init__(self, *, joining: Joining, aliases: Aliases) -> None:
        self._joining = joining
        self._aliases = aliases

    async def join_room_by_id(self, call: Call[NoQuery, JoinBody], by: Requester) -> Json:
        return await self._join(call.body, by, native_uuid(call.room_id))

    async def join_room(self, call: Call[Via, JoinBody], by: Requester) -> Json:
        room = await room_named(self._aliases, call.parameters["roomIdOrAlias"])
        return await self._join(call.body, by, room)

    async def _join(self, body: JoinBody, by: Requester, room_uuid: UUID) -> Json:
        if body.third_party_signed is not None:
            raise NoIdentityServer("This server knows no invitations of third-party identifiers.")
        room, _ = await self._joining.join(by, room_uuid, body.content())
        return {"room_id": room.room_id}


async def room_named(aliases: Aliases, text: str) -> UUID:
    """The room with an ID or an alias. Raises M_NOT_FOUND for an alias that no room has."""
    if text.startswith("#"):
        return (await aliases.resolve(text)).uuid
    return native_uuid(parse_room_id(text))


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = JoiningEndpoints(joining=services.joining, aliases=services.aliases)
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/join",
        run=endpoints.join_room_by_id,
        body=JoinBody,
        guests=True,
    )
    # "Guest Access" names only the other one, but this is the one that clients use for guests.
    yield Route(
        method="POST",
        path="v3/join/{roomIdOrAlias}",
        run=endpoints.join_room,
        query=Via,
        body=JoinBody,
        guests=True,
    )
