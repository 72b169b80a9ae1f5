"""A room at once, for who looks into it (room_initial_sync.yaml)."""

from collections.abc import Iterator

import orjson
from pydantic import Field

from clientapi.matrix.endpoint import Call, NoBody, Query, Reply, Route
from clientapi.matrix.page_tokens import page_token
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.sync.peeking import Peeking
from homeserver.views.room_pages import DEFAULT_LIMIT, Page


class Limit(Query):
    """limit: events of the timeline. The specification names it for `/initialSync` only; clients
    send it here, too.
    """

    limit: int = Field(DEFAULT_LIMIT, ge=0)


class RoomInitialSync:
    """Endpoints of room_initial_sync.yaml."""

    def __init__(self, *, peeking: Peeking) -> None:
        self._peeking = peeking

    async def room_initial_sync(self, call: Call[Limit, NoBody], by: Requester) -> Reply:
        room = await self._peeking.at_once(by, call.room_id, limit=call.query.limit)
        answer = {
            "room_id": call.room_id,
            "messages": _messages(room.page),
            "state": orjson.Fragment(room.state),
            "visibility": "public" if room.is_published else "private",
        }
        return Reply(orjson.dumps(answer))


def _messages(page: Page) -> dict[str, object]:
    """The oldest first. "If no earlier events are available", there is no start."""
    messages: dict[str, object] = {
        "chunk": list(reversed(page.events)),
        "end": page_token(page.start),
    }
    if page.end is not None:
        messages["start"] = page_token(page.end)
    return messages


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RoomInitialSync(peeking=services.peeking)
    yield Route(
        method="GET",
        path="v3/rooms/{roomId}/initialSync",
        run=endpoints.room_initial_sync,
        query=Limit,
        guests=True,
    )
