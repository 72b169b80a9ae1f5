"""Finding people (users.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.views.user_directory import DEFAULT_RESULTS, FoundUser, UserDirectory


class SearchTerm(Body):
    search_term: str
    limit: int = Field(DEFAULT_RESULTS, ge=0)


class Users:
    """Endpoints of users.yaml."""

    def __init__(self, *, directory: UserDirectory) -> None:
        self._directory = directory

    async def search_user_directory(self, call: Call[NoQuery, SearchTerm], by: Requester) -> Json:
        found = await self._directory.search(by, call.body.search_term, limit=call.body.limit)
        return {"results": [_result(each) for each in found.users], "limited": found.limited}


def _result(user: FoundUser) -> Json:
    result: Json = {"user_id": user.user_id}
    if user.display_name is not None:
        result["display_name"] = user.display_name
    if user.avatar_url is not None and user.avatar_url.startswith("mxc://"):
        result["avatar_url"] = user.avatar_url
    return result


def routes(services: MatrixServices) -> Iterator[Route]:
    users = Users(directory=services.room_views.directory)
    yield Route(
        method="POST",
        path="v3/user_directory/search",
        run=users.search_user_directory,
        body=SearchTerm,
    )
