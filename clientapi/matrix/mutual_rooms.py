"""Rooms that one shares with somebody (mutual_rooms.yaml)."""

import re
from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.errors import InvalidInput
from homeserver.identifiers import parse_user_id
from homeserver.requester import Requester
from homeserver.views.user_directory import UserDirectory

_TOKEN = re.compile(r"m([1-9][0-9]{0,17})", re.ASCII)


class WithWhom(Query):
    """`from`: a token of this endpoint."""

    user_id: str
    start: str | None = Field(None, alias="from")


class MutualRooms:
    """Endpoints of mutual_rooms.yaml."""

    def __init__(self, *, directory: UserDirectory) -> None:
        self._directory = directory

    async def get_mutual_rooms(self, call: Call[WithWhom, NoBody], by: Requester) -> Json:
        other = parse_user_id(call.query.user_id)
        if other == by.user_id:
            raise InvalidInput("You share all your rooms with yourself.", field="user_id")
        after = 0 if call.query.start is None else _after(call.query.start)
        shared = await self._directory.shared_rooms(by, other, after=after)
        answer: Json = {"joined": list(shared.room_ids), "count": shared.count}
        if shared.last is not None:
            answer["next_batch"] = f"m{shared.last}"
        return answer


def _after(token: str) -> int:
    """Raises InvalidInput."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidInput("This is no token of this server.", field="from")
    return int(found[1])


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = MutualRooms(directory=services.room_views.directory)
    yield Route(
        method="GET",
        path="v1/mutual_rooms",
        run=endpoints.get_mutual_rooms,
        query=WithWhom,
        unstable=("unstable/uk.half-shot.msc2666/user/mutual_rooms",),
    )
