"""What relates to an event (relations.yaml)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.page_tokens import optional_place, page_token
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.related_events import (
    DEFAULT_CHILDREN,
    MAX_DEPTH,
    ChildrenQuery,
    RelatedEvents,
)


class RelationParameters(Query):
    """`from`, `to`: tokens of this endpoint, of pages or of a sync."""

    start: str | None = Field(None, alias="from")
    stop: str | None = Field(None, alias="to")
    limit: int = Field(DEFAULT_CHILDREN, ge=0)
    direction: Literal["b", "f"] = Field("b", alias="dir")
    recurse: bool | None = None


class Relations:
    """Endpoints of relations.yaml; that for all children serves those with more in their paths."""

    def __init__(self, *, related: RelatedEvents) -> None:
        self._related = related

    async def get_relating_events(
        self, call: Call[RelationParameters, NoBody], by: Requester
    ) -> Json:
        query = call.query
        wanted = ChildrenQuery(
            rel_type=call.parameters.get("relType"),
            event_type=call.parameters.get("eventType"),
            forwards=query.direction == "f",
            start=optional_place(query.start, "from"),
            stop=optional_place(query.stop, "to"),
            limit=query.limit,
            recurse=query.recurse or False,
        )
        part = await self._related.children(by, call.room_id, call.event_id, wanted)
        answer: Json = {"chunk": part.events}
        if part.next_place is not None:
            answer["next_batch"] = page_token(part.next_place)
        if query.start is not None:
            answer["prev_batch"] = query.start
        if query.recurse is not None:
            answer["recursion_depth"] = MAX_DEPTH if query.recurse else 1
        return answer


def routes(services: MatrixServices) -> Iterator[Route]:
    relations = Relations(related=services.room_views.related)
    children = "rooms/{roomId}/relations/{eventId}"
    for path in (children, f"{children}/{{relType}}", f"{children}/{{relType}}/{{eventType}}"):
        # "this endpoint deliberately does not support rate limiting"
        yield Route(
            method="GET",
            path=f"v1/{path}",
            run=relations.get_relating_events,
            query=RelationParameters,
            limited=False,
            unstable=(f"unstable/{path}",),
        )
