"""Filters (filter.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Content, Json, NoBody, NoQuery, Reply, Route
from clientapi.matrix.errors import MatrixError, bad_json
from clientapi.matrix.services import MatrixServices
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.sync.filter_store import FilterStore


class Filter:
    """Endpoints of filter.yaml."""

    def __init__(self, *, filters: FilterStore) -> None:
        self._filters = filters

    async def define_filter(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        _require_own(call, by)
        try:
            return {"filter_id": await self._filters.define(by, call.body.content)}
        except InvalidInput as error:
            raise bad_json(str(error)) from None

    async def get_filter(self, call: Call[NoQuery, NoBody], by: Requester) -> Reply:
        _require_own(call, by)
        return Reply(await self._filters.definition(by, call.parameters["filterId"]))


def _require_own(call: Call[NoQuery, NoBody] | Call[NoQuery, Content], by: Requester) -> None:
    if call.user_id != by.user_id:
        raise MatrixError(403, "M_FORBIDDEN", "These are somebody else's filters.")


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Filter(filters=services.filters)
    path = "v3/user/{userId}/filter"
    yield Route(method="POST", path=path, run=endpoints.define_filter, body=Content, guests=True)
    yield Route(method="GET", path=f"{path}/{{filterId}}", run=endpoints.get_filter, guests=True)
