"""What stands around an event (event_context.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.page_tokens import page_token
from clientapi.matrix.services import MatrixServices
from homeserver import event_filter
from homeserver.event_filter import ALL
from homeserver.requester import Requester
from homeserver.views.room_pages import DEFAULT_LIMIT, RoomPages


class Around(Query):
    """limit: of events before and after together. filter: JSON of a RoomEventFilter."""

    limit: int = Field(DEFAULT_LIMIT, ge=0)
    filter: str | None = None


class EventContext:
    """Endpoints of event_context.yaml."""

    def __init__(self, *, pages: RoomPages) -> None:
        self._pages = pages

    async def get_event_context(self, call: Call[Around, NoBody], by: Requester) -> Json:
        query = call.query
        context = await self._pages.context(
            by,
            call.room_id,
            call.event_id,
            limit=query.limit,
            only=ALL if query.filter is None else event_filter.parse(query.filter),
        )
        return {
            "event": context.event,
            "events_before": context.before,
            "events_after": context.after,
            "state": context.state,
            "start": page_token(context.start),
            "end": page_token(context.end),
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = EventContext(pages=services.room_views.pages)
    yield Route(
        method="GET",
        path="v3/rooms/{roomId}/context/{eventId}",
        run=endpoints.get_event_context,
        query=Around,
        guests=True,
    )
