"""Pages of a room's events (message_pagination.yaml)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.page_tokens import optional_place, page_token
from clientapi.matrix.services import MatrixServices
from homeserver import event_filter
from homeserver.event_filter import ALL
from homeserver.requester import Requester
from homeserver.views.room_pages import DEFAULT_LIMIT, PageQuery, RoomPages


class PageParameters(Query):
    """`from`, `to`: tokens. filter: JSON of a RoomEventFilter."""

    start: str | None = Field(None, alias="from")
    stop: str | None = Field(None, alias="to")
    direction: Literal["b", "f"] = Field(alias="dir")
    limit: int = Field(DEFAULT_LIMIT, ge=0)
    filter: str | None = None


class MessagePagination:
    """Endpoints of message_pagination.yaml."""

    def __init__(self, *, pages: RoomPages) -> None:
        self._pages = pages

    async def get_room_events(self, call: Call[PageParameters, NoBody], by: Requester) -> Json:
        query = call.query
        wanted = PageQuery(
            forwards=query.direction == "f",
            start=optional_place(query.start, "from"),
            stop=optional_place(query.stop, "to"),
            limit=query.limit,
            only=ALL if query.filter is None else event_filter.parse(query.filter),
        )
        page = await self._pages.page(by, call.room_id, wanted)
        answer: Json = {
            "start": query.start if query.start is not None else page_token(page.start),
            "chunk": page.events,
        }
        if page.end is not None:
            answer["end"] = page_token(page.end)
        if page.state:
            answer["state"] = page.state
        return answer


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = MessagePagination(pages=services.room_views.pages)
    yield Route(
        method="GET",
        path="v3/rooms/{roomId}/messages",
        run=endpoints.get_room_events,
        query=PageParameters,
        guests=True,
    )
