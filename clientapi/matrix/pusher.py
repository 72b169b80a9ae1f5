"""Where notifications are sent (pusher.yaml)."""

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.pushers import Pusher, Pushers, WantedPusher
from homeserver.errors import InvalidInput
from homeserver.requester import Requester

_ALWAYS = ("kind", "app_id", "pushkey")
_TO_BE_SET = ("app_display_name", "device_display_name", "lang", "data")


class PusherBody(Body):
    """What is missing is told by name, so nothing is required here."""

    kind: str | None = None
    app_id: str = ""
    pushkey: str = ""
    app_display_name: str = ""
    device_display_name: str = ""
    profile_tag: str | None = None
    lang: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    append: bool = False


class PusherEndpoints:
    """Endpoints of pusher.yaml."""

    def __init__(self, *, pushers: Pushers) -> None:
        self._pushers = pushers

    async def get_pushers(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"pushers": [_shown(pusher) for pusher in await self._pushers.all(by)]}

    async def post_pusher(self, call: Call[NoQuery, PusherBody], by: Requester) -> Json:
        body = call.body
        _require(body, _ALWAYS)
        if body.kind is None:
            await self._pushers.delete(by, body.app_id, body.pushkey)
            return {}
        if body.kind != "http":
            raise InvalidInput("This server only has pushers of the kind http.", field="kind")
        _require(body, _TO_BE_SET)
        await self._pushers.put(by, _wanted(body))
        return {}


def _require(body: PusherBody, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in body.model_fields_set]
    if missing:
        raise MatrixError(400, "M_MISSING_PARAM", f"Missing parameters: {', '.join(missing)}")


def _wanted(body: PusherBody) -> WantedPusher:
    return WantedPusher(
        app_id=body.app_id,
        pushkey=body.pushkey,
        app_display_name=body.app_display_name,
        device_display_name=body.device_display_name,
        profile_tag=body.profile_tag,
        lang=body.lang,
        data=body.data,
        append=body.append,
    )


def _shown(pusher: Pusher) -> Json:
    shown: Json = {
        "kind": "http",
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": orjson.loads(pusher.data),
    }
    if pusher.profile_tag is not None:
        shown["profile_tag"] = pusher.profile_tag
    return shown


def routes(services: MatrixServices) -> Iterator[Route]:
    pushers = PusherEndpoints(pushers=services.pushers)
    yield Route(method="GET", path="v3/pushers", run=pushers.get_pushers)
    yield Route(method="POST", path="v3/pushers/set", run=pushers.post_pusher, body=PusherBody)
