"""Presence (presence.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import bad_json
from clientapi.matrix.services import MatrixServices
from homeserver.actions.presence import Presence
from homeserver.clock import Clock
from homeserver.errors import NotAllowed
from homeserver.presence_content import STATUS, presence_content
from homeserver.requester import Requester
from homeserver.views.presence import Presence as PresenceViews

_PATH = "v3/presence/{userId}/status"


class PresenceBody(Body):
    """status_msg: null is the same as none."""

    presence: str
    status_msg: str | None = None


class PresenceEndpoints:
    """Endpoints of presence.yaml."""

    def __init__(self, *, actions: Presence, views: PresenceViews, clock: Clock) -> None:
        self._actions = actions
        self._views = views
        self._clock = clock

    async def set_presence(self, call: Call[NoQuery, PresenceBody], by: Requester) -> Json:
        if call.user_id != by.user_id:
            raise NotAllowed("Nobody sets the presence of somebody else.")
        status = STATUS.get(call.body.presence)
        if status is None:
            raise bad_json("presence is online, offline or unavailable.")
        await self._actions.say(by, status, call.body.status_msg)
        return {}

    async def get_presence(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        state = await self._views.state(by, call.user_id)
        return presence_content(state, now_ms=self._clock.now_ms())


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = PresenceEndpoints(
        actions=services.presence, views=services.presence_views, clock=services.clock
    )
    yield Route(method="PUT", path=_PATH, run=endpoints.set_presence, body=PresenceBody)
    yield Route(method="GET", path=_PATH, run=endpoints.get_presence)
