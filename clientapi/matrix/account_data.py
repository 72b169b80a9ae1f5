"""Account data, global and of rooms (account-data.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Content, Json, NoBody, NoQuery, Reply, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.account_data import AccountData
from homeserver.requester import Requester
from homeserver.views.account_data import AccountData as AccountDataViews

_GLOBAL = "v3/user/{userId}/account_data/{type}"
_PER_ROOM = "v3/user/{userId}/rooms/{roomId}/account_data/{type}"


class AccountDataEndpoints:
    """Endpoints of account-data.yaml."""

    def __init__(self, *, actions: AccountData, views: AccountDataViews) -> None:
        self._actions = actions
        self._views = views

    async def set_account_data(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        await self._actions.put(by, call.user_id, call.parameters["type"], call.body.content)
        return {}

    async def get_account_data(self, call: Call[NoQuery, NoBody], by: Requester) -> Reply:
        return Reply(await self._views.get(by, call.user_id, call.parameters["type"]))

    async def set_account_data_per_room(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        event_type, content = call.parameters["type"], call.body.content
        await self._actions.put(by, call.user_id, event_type, content, room_id=call.room_id)
        return {}

    async def get_account_data_per_room(self, call: Call[NoQuery, NoBody], by: Requester) -> Reply:
        event_type = call.parameters["type"]
        return Reply(await self._views.get(by, call.user_id, event_type, room_id=call.room_id))


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = AccountDataEndpoints(
        actions=services.account_data, views=services.account_data_views
    )
    yield Route(method="PUT", path=_GLOBAL, run=endpoints.set_account_data, body=Content)
    yield Route(method="GET", path=_GLOBAL, run=endpoints.get_account_data)
    yield Route(method="PUT", path=_PER_ROOM, run=endpoints.set_account_data_per_room, body=Content)
    yield Route(method="GET", path=_PER_ROOM, run=endpoints.get_account_data_per_room)
