"""The event nearest to a time (room_event_by_timestamp.yaml)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.room_pages import RoomPages

MAX_TIMESTAMP = 2**63 - 1


class When(Query):
    """ts: milliseconds since the epoch."""

    ts: int = Field(ge=-MAX_TIMESTAMP, le=MAX_TIMESTAMP)
    direction: Literal["f", "b"] = Field(alias="dir")


class RoomEventByTimestamp:
    """Endpoints of room_event_by_timestamp.yaml."""

    def __init__(self, *, pages: RoomPages) -> None:
        self._pages = pages

    async def get_event_by_timestamp(self, call: Call[When, NoBody], by: Requester) -> Json:
        event_id, ts = await self._pages.at_time(
            by, call.room_id, call.query.ts, forwards=call.query.direction == "f"
        )
        return {"event_id": event_id, "origin_server_ts": ts}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RoomEventByTimestamp(pages=services.room_views.pages)
    yield Route(
        method="GET",
        path="v1/rooms/{roomId}/timestamp_to_event",
        run=endpoints.get_event_by_timestamp,
        query=When,
        unstable=("unstable/org.matrix.msc3030/rooms/{roomId}/timestamp_to_event",),
    )
