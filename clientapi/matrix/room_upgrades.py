"""Replacing rooms by others of another version (room_upgrades.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.room_settings import RoomSettings
from homeserver.identifiers import native_uuid, parse_user_id
from homeserver.requester import Requester


class Upgrade(Body):
    """The body of `upgradeRoom`."""

    new_version: str
    additional_creators: list[str] = Field(default_factory=list)


class RoomUpgrades:
    """Endpoints of room_upgrades.yaml."""

    def __init__(self, *, room_settings: RoomSettings) -> None:
        self._room_settings = room_settings

    async def upgrade_room(self, call: Call[NoQuery, Upgrade], by: Requester) -> Json:
        creators = frozenset(map(parse_user_id, call.body.additional_creators))
        with members_only():
            successor = await self._room_settings.upgrade(
                by,
                native_uuid(call.room_id),
                call.body.new_version,
                creators=creators,
                with_members=False,
            )
        return {"replacement_room": successor.room_id}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RoomUpgrades(room_settings=services.room_settings)
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/upgrade",
        run=endpoints.upgrade_room,
        body=Upgrade,
    )
