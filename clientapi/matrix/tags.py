"""Tags on rooms (tags.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Content, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.tags import Tags
from homeserver.requester import Requester
from homeserver.views.account_data import AccountData as AccountDataViews

_TAGS = "v3/user/{userId}/rooms/{roomId}/tags"


class TagEndpoints:
    """Endpoints of tags.yaml."""

    def __init__(self, *, actions: Tags, views: AccountDataViews) -> None:
        self._actions = actions
        self._views = views

    async def get_room_tags(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"tags": await self._views.tags(by, call.user_id, call.room_id)}

    async def set_room_tag(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        tag, details = call.parameters["tag"], call.body.content
        await self._actions.add(by, call.user_id, call.room_id, tag, details)
        return {}

    async def delete_room_tag(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._actions.remove(by, call.user_id, call.room_id, call.parameters["tag"])
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = TagEndpoints(actions=services.tags, views=services.account_data_views)
    one = f"{_TAGS}/{{tag}}"
    yield Route(method="GET", path=_TAGS, run=endpoints.get_room_tags)
    yield Route(method="PUT", path=one, run=endpoints.set_room_tag, body=Content)
    yield Route(method="DELETE", path=one, run=endpoints.delete_room_tag)
