"""The rooms of spaces (space_hierarchy.yaml)."""

import re
from collections.abc import Iterator
from hashlib import blake2b

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.errors import InvalidInput
from homeserver.identifiers import RoomID
from homeserver.requester import Requester
from homeserver.views.room_summaries import DEFAULT_ROOMS, RoomSummaries, TreeQuery

_TOKEN = re.compile(r"h([1-9][0-9]{0,8})_([0-9a-f]{16})", re.ASCII)


class WhichRooms(Query):
    """`from`: a token of this endpoint, for the same space, depth and choice."""

    suggested_only: bool = False
    limit: int = Field(DEFAULT_ROOMS, gt=0)
    max_depth: int | None = Field(None, ge=0)
    start: str | None = Field(None, alias="from")


class SpaceHierarchy:
    """Endpoints of space_hierarchy.yaml."""

    def __init__(self, *, summaries: RoomSummaries) -> None:
        self._summaries = summaries

    async def get_space_hierarchy(self, call: Call[WhichRooms, NoBody], by: Requester) -> Json:
        query, room_id = call.query, call.room_id
        tree = TreeQuery(
            suggested_only=query.suggested_only,
            limit=query.limit,
            max_depth=query.max_depth,
            start=0 if query.start is None else _start(query.start, room_id, query),
        )
        page = await self._summaries.tree(by, room_id, tree)
        answer: Json = {"rooms": page.rooms}
        if page.next_start is not None:
            answer["next_batch"] = f"h{page.next_start}_{_digest(room_id, query)}"
        return answer


def _start(token: str, room_id: RoomID, query: WhichRooms) -> int:
    """Raises InvalidInput."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidInput("This is no token of this server.", field="from")
    if found[2] != _digest(room_id, query):
        raise InvalidInput(
            "suggested_only and max_depth cannot change on paginated requests.", field="from"
        )
    return int(found[1])


def _digest(room_id: RoomID, query: WhichRooms) -> str:
    asked = f"{room_id} {query.suggested_only} {query.max_depth}"
    return blake2b(asked.encode(), digest_size=8).hexdigest()


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = SpaceHierarchy(summaries=services.room_views.summaries)
    yield Route(
        method="GET",
        path="v1/rooms/{roomId}/hierarchy",
        run=endpoints.get_space_hierarchy,
        query=WhichRooms,
        unstable=("unstable/org.matrix.msc2946/rooms/{roomId}/hierarchy",),
    )
