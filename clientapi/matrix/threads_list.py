"""The threads of a room (threads_list.yaml)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.page_tokens import optional_place, page_token
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.related_events import DEFAULT_THREADS, RelatedEvents


class WhichThreads(Query):
    """`from`: a token of this endpoint."""

    include: Literal["all", "participated"] = "all"
    limit: int = Field(DEFAULT_THREADS, gt=0)
    start: str | None = Field(None, alias="from")


class ThreadsList:
    """Endpoints of threads_list.yaml."""

    def __init__(self, *, related: RelatedEvents) -> None:
        self._related = related

    async def get_thread_roots(self, call: Call[WhichThreads, NoBody], by: Requester) -> Json:
        part = await self._related.threads(
            by,
            call.room_id,
            start=optional_place(call.query.start, "from"),
            participated=call.query.include == "participated",
            limit=call.query.limit,
        )
        answer: Json = {"chunk": part.events}
        if part.next_place is not None:
            answer["next_batch"] = page_token(part.next_place)
        return answer


def routes(services: MatrixServices) -> Iterator[Route]:
    threads = ThreadsList(related=services.room_views.related)
    yield Route(
        method="GET",
        path="v1/rooms/{roomId}/threads",
        run=threads.get_thread_roots,
        query=WhichThreads,
        unstable=("unstable/org.matrix.msc3856/rooms/{roomId}/threads",),
    )
