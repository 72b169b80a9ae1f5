"""Reporting content (report_content.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.reporting import Reporting
from homeserver.identifiers import native_uuid
from homeserver.requester import Requester


class Report(Body):
    """The body of `reportRoom` and `reportUser`."""

    reason: str


class EventReport(Body):
    """The body of `reportEvent`. score: until v1.17 of the specification."""

    reason: str | None = None
    score: int | None = Field(default=None, ge=-100, le=0)


class ReportContent:
    """Endpoints of report_content.yaml."""

    def __init__(self, *, reporting: Reporting) -> None:
        self._reporting = reporting

    async def report_room(self, call: Call[NoQuery, Report], by: Requester) -> Json:
        await self._reporting.room(by, native_uuid(call.room_id), call.body.reason)
        return {}

    async def report_event(self, call: Call[NoQuery, EventReport], by: Requester) -> Json:
        body = call.body
        await self._reporting.event(
            by, native_uuid(call.room_id), call.event_id, body.reason or "", body.score
        )
        return {}

    async def report_user(self, call: Call[NoQuery, Report], by: Requester) -> Json:
        await self._reporting.user(by, call.user_id, call.body.reason)
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = ReportContent(reporting=services.reporting)
    yield Route(
        method="POST", path="v3/rooms/{roomId}/report", run=endpoints.report_room, body=Report
    )
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/report/{eventId}",
        run=endpoints.report_event,
        body=EventReport,
    )
    yield Route(
        method="POST", path="v3/users/{userId}/report", run=endpoints.report_user, body=Report
    )
