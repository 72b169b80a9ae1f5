"""One event, the state and the members of a room (rooms.yaml)."""

from collections.abc import Iterator
from typing import Literal

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Query, Reply, Route
from clientapi.matrix.page_tokens import optional_place
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.room_reads import RoomReads

Membership = Literal["join", "invite", "knock", "leave", "ban"]


class StateFormat(Query):
    """`format`: what of the state event is asked for."""

    format: Literal["content", "event"] = "content"


class WhichMembers(Query):
    """at: a token of a page or of a sync."""

    at: str | None = None
    membership: Membership | None = None
    not_membership: Membership | None = None


class Rooms:
    """Endpoints of rooms.yaml."""

    def __init__(self, *, reads: RoomReads) -> None:
        self._reads = reads

    async def get_one_room_event(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return await self._reads.event(by, call.room_id, call.event_id)

    async def get_room_state_with_key(self, call: Call[StateFormat, NoBody], by: Requester) -> Json:
        key = call.parameters["eventType"], call.parameters.get("stateKey", "")
        event = await self._reads.state_entry(by, call.room_id, key)
        if call.query.format == "event":
            return event
        content: Json = event["content"]
        return content

    async def get_room_state(self, call: Call[NoQuery, NoBody], by: Requester) -> Reply:
        return Reply(await self._reads.state(by, call.room_id))

    async def get_members_by_room(self, call: Call[WhichMembers, NoBody], by: Requester) -> Reply:
        chunk = await self._reads.members(
            by,
            call.room_id,
            at=optional_place(call.query.at, "at"),
            membership=call.query.membership,
            not_membership=call.query.not_membership,
        )
        return Reply(b'{"chunk":' + chunk + b"}")

    async def get_joined_members_by_room(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"joined": await self._reads.joined_members(by, call.room_id)}


def routes(services: MatrixServices) -> Iterator[Route]:
    rooms = Rooms(reads=services.room_views.reads)
    room = "v3/rooms/{roomId}"
    yield Route(
        method="GET", path=f"{room}/event/{{eventId}}", run=rooms.get_one_room_event, guests=True
    )
    for path in ("state/{eventType}", "state/{eventType}/{stateKey}"):
        yield Route(
            method="GET",
            path=f"{room}/{path}",
            run=rooms.get_room_state_with_key,
            query=StateFormat,
            guests=True,
        )
    yield Route(method="GET", path=f"{room}/state", run=rooms.get_room_state, guests=True)
    yield Route(
        method="GET",
        path=f"{room}/members",
        run=rooms.get_members_by_room,
        query=WhichMembers,
        guests=True,
    )
    yield Route(method="GET", path=f"{room}/joined_members", run=rooms.get_joined_members_by_room)
