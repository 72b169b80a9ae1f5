"""Other users."""

from collections.abc import Iterator

from clientapi.native import render
from clientapi.native.rest.endpoint import Call, Endpoint, Json, Private
from clientapi.native.services import NativeServices
from homeserver.requester import Requester
from homeserver.views.users import UserView
from schema.operations import people as operations
from schema.wire.paths import NoPath, UserPath
from schema.wire.requests import NoBody, NoQuery, UserSearch


class PeopleEndpoints:
    """Finding people, and whether they are there."""

    def __init__(self, *, services: NativeServices) -> None:
        self._users = services.users
        self._presence = services.presence

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.SEARCH_USERS, self.search_users)
        yield Private(operations.GET_USER, self.get_user)
        yield Private(operations.GET_PRESENCE, self.get_presence)

    async def search_users(self, call: Call[NoPath, UserSearch, NoBody], by: Requester) -> Json:
        found = await self._users.search(by, call.query.q, call.query.limit)
        return [_hit(view) for view in found]

    async def get_user(self, call: Call[UserPath, NoQuery, NoBody], by: Requester) -> Json:
        return render.user(await self._users.get(by, call.path.user_id))

    async def get_presence(self, call: Call[UserPath, NoQuery, NoBody], by: Requester) -> Json:
        view = await self._presence.get(by, call.path.user_id)
        return render.presence(view.user_uuid, view.status, view.last_seen_ms)


def _hit(view: UserView) -> render.Rendered:
    hit = {"id": view.uuid, "name": view.name, "email": view.email}
    avatar_url = render.picture(view.avatar_url)
    return hit if avatar_url is None else {**hit, "avatar_url": avatar_url}
