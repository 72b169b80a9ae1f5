"""What somebody was notified of (notifications.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Call, Json, NoBody, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.notifications import DEFAULT_PAGE, NotificationList, Notified


class NotificationsQuery(Query):
    """Which page, and of what."""

    from_token: str | None = Field(default=None, alias="from")
    limit: int = DEFAULT_PAGE
    only: str = ""


class NotificationsEndpoints:
    """Endpoints of notifications.yaml."""

    def __init__(self, *, notifications: NotificationList) -> None:
        self._notifications = notifications

    async def get_notifications(
        self, call: Call[NotificationsQuery, NoBody], by: Requester
    ) -> Json:
        page = await self._notifications.page(
            by,
            from_token=call.query.from_token,
            limit=call.query.limit,
            highlights_only=call.query.only == "highlight",
        )
        answer: Json = {"notifications": [_shown(each) for each in page.notified]}
        if page.next_token is not None:
            answer["next_token"] = page.next_token
        return answer


def _shown(notified: Notified) -> Json:
    return {
        "actions": list(notified.actions),
        "event": notified.event,
        "read": notified.is_read,
        "room_id": notified.room_id,
        "ts": notified.at_ms,
    }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = NotificationsEndpoints(notifications=services.notification_list)
    yield Route(
        method="GET",
        path="v3/notifications",
        run=endpoints.get_notifications,
        query=NotificationsQuery,
    )
