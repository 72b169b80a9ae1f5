"""Removing people from rooms (kicking.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoQuery, Route
from clientapi.matrix.joining import Reason
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.moderation import Moderation
from homeserver.identifiers import native_uuid, parse_user_id
from homeserver.requester import Requester


class Target(Reason):
    """Whose membership shall change."""

    user_id: str


class KickingEndpoints:
    """Endpoints of kicking.yaml."""

    def __init__(self, *, moderation: Moderation) -> None:
        self._moderation = moderation

    async def kick(self, call: Call[NoQuery, Target], by: Requester) -> Json:
        room, target = native_uuid(call.room_id), parse_user_id(call.body.user_id)
        with members_only():
            await self._moderation.kick(by, room, target, call.body.content())
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = KickingEndpoints(moderation=services.moderation)
    yield Route(method="POST", path="v3/rooms/{roomId}/kick", run=endpoints.kick, body=Target)
