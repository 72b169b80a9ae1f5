"""Fully read markers, together with receipts (read_markers.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route, parse_event_id
from clientapi.matrix.services import MatrixServices
from homeserver.actions.receipts import Markers, Receipts
from homeserver.identifiers import EventID
from homeserver.requester import Requester


class ReadMarkerBody(Body):
    """Event IDs; a client may leave out each of them, or say null."""

    fully_read: str | None = Field(default=None, alias="m.fully_read")
    read: str | None = Field(default=None, alias="m.read")
    private: str | None = Field(default=None, alias="m.read.private")


class ReadMarkerEndpoints:
    """Endpoints of read_markers.yaml."""

    def __init__(self, *, receipts: Receipts) -> None:
        self._receipts = receipts

    async def set_read_marker(self, call: Call[NoQuery, ReadMarkerBody], by: Requester) -> Json:
        body = call.body
        markers = Markers(
            fully_read=_event_id(body.fully_read),
            read=_event_id(body.read),
            private=_event_id(body.private),
        )
        await self._receipts.mark(by, call.room_id, markers)
        return {}


def _event_id(text: str | None) -> EventID | None:
    return None if text is None else parse_event_id(text)


def routes(services: MatrixServices) -> Iterator[Route]:
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/read_markers",
        run=ReadMarkerEndpoints(receipts=services.receipts).set_read_marker,
        body=ReadMarkerBody,
    )
