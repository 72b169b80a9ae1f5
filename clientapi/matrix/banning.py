"""Banning people from rooms (banning.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoQuery, Route
from clientapi.matrix.kicking import Target
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.moderation import Moderation
from homeserver.identifiers import native_uuid, parse_user_id
from homeserver.requester import Requester


class BanningEndpoints:
    """Endpoints of banning.yaml."""

    def __init__(self, *, moderation: Moderation) -> None:
        self._moderation = moderation

    async def ban(self, call: Call[NoQuery, Target], by: Requester) -> Json:
        room, target = native_uuid(call.room_id), parse_user_id(call.body.user_id)
        with members_only():
            await self._moderation.ban(by, room, target, call.body.content())
        return {}

    async def unban(self, call: Call[NoQuery, Target], by: Requester) -> Json:
        room, target = native_uuid(call.room_id), parse_user_id(call.body.user_id)
        with members_only():
            await self._moderation.unban(by, room, target, call.body.content())
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = BanningEndpoints(moderation=services.moderation)
    yield Route(method="POST", path="v3/rooms/{roomId}/ban", run=endpoints.ban, body=Target)
    yield Route(method="POST", path="v3/rooms/{roomId}/unban", run=endpoints.unban, body=Target)
