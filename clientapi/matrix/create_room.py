"""Making rooms (create_room.yaml)."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.create_by_preset import CreateByPreset
from homeserver.actions.presets import PRIVATE, PUBLIC, RoomPlan, StateEvent
from homeserver.errors import NoIdentityServer
from homeserver.identifiers import parse_user_id
from homeserver.requester import Requester


class InitialState(Body):
    """A state event of a new room."""

    type: str
    state_key: str = ""
    content: dict[str, Any]


class NewRoom(Body):
    """The body of `createRoom`."""

    visibility: Literal["public", "private"] = "private"
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[str] = Field(default_factory=list)
    invite_3pid: list[dict[str, Any]] = Field(default_factory=list)
    room_version: str | None = None
    creation_content: dict[str, Any] = Field(default_factory=dict)
    initial_state: list[InitialState] = Field(default_factory=list)
    preset: Literal["private_chat", "public_chat", "trusted_private_chat"] | None = None
    is_direct: bool = False
    power_level_content_override: dict[str, Any] = Field(default_factory=dict)


class CreateRoomEndpoints:
    """Endpoints of create_room.yaml."""

    def __init__(self, *, create: CreateByPreset) -> None:
        self._create = create

    async def create_room(self, call: Call[NoQuery, NewRoom], by: Requester) -> Json:
        if call.body.invite_3pid:
            raise NoIdentityServer("This server cannot find people by third-party identifiers.")
        room = await self._create.create(by, _plan(call.body))
        return {"room_id": room.room_id}


def _plan(body: NewRoom) -> RoomPlan:
    listed = body.visibility == "public"
    return RoomPlan(
        preset=body.preset or (PUBLIC if listed else PRIVATE),
        listed=listed,
        alias_name=body.room_alias_name,
        name=body.name,
        topic=body.topic,
        invited=[parse_user_id(user_id) for user_id in body.invite],
        version=body.room_version,
        creation_content=body.creation_content,
        initial_state=[
            StateEvent(event.type, event.state_key, event.content) for event in body.initial_state
        ],
        is_direct=body.is_direct,
        levels=body.power_level_content_override,
    )


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = CreateRoomEndpoints(create=services.create_by_preset)
    yield Route(method="POST", path="v3/createRoom", run=endpoints.create_room, body=NewRoom)
