"""What happens in a room, for who looks into it (peeking_events.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.page_tokens import optional_place, page_token
from clientapi.matrix.services import MatrixServices
from homeserver.identifiers import parse_room_id
from homeserver.requester import Requester
from homeserver.sync.peeking import MAX_WAIT_MS, Peeking


class WhatNext(Query):
    """from: a token; without it only what happens from now on. timeout: milliseconds."""

    room_id: str
    start: str | None = Field(None, alias="from")
    timeout: int = Field(0, ge=0)


class PeekingEvents:
    """Endpoints of peeking_events.yaml."""

    def __init__(self, *, peeking: Peeking) -> None:
        self._peeking = peeking

    async def peek_events(self, call: Call[WhatNext, NoBody], by: Requester) -> Json:
        news = await self._peeking.news(
            by,
            parse_room_id(call.query.room_id),
            since=optional_place(call.query.start, "from"),
            timeout_ms=min(call.query.timeout, MAX_WAIT_MS),
        )
        return {
            "start": page_token(news.start),
            "chunk": news.page.events,
            "end": page_token(news.end),
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = PeekingEvents(peeking=services.peeking)
    yield Route(
        method="GET", path="v3/events", run=endpoints.peek_events, query=WhatNext, guests=True
    )
