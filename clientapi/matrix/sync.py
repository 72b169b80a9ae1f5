"""Syncing (sync.yaml)."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from clientapi.matrix.endpoint import Call, NoBody, Query, Reply, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester
from homeserver.sync.filter_store import FilterStore
from homeserver.sync.request import SyncRequest
from homeserver.sync.sync import Sync as SyncUseCase
from homeserver.sync.token import parse_sync_token

_STATUS = MappingProxyType({"online": "online", "unavailable": "away", "offline": "offline"})


class SyncQuery(Query):
    """Parameters of a sync."""

    filter: str | None = None
    since: str | None = None
    full_state: bool = False
    set_presence: Literal["offline", "online", "unavailable"] = "online"
    timeout: int = 0
    use_state_after: bool = False


class Sync:
    """Endpoints of sync.yaml."""

    def __init__(self, *, sync: SyncUseCase, filters: FilterStore) -> None:
        self._sync = sync
        self._filters = filters

    async def sync(self, call: Call[SyncQuery, NoBody], by: Requester) -> Reply:
        query = call.query
        wanted = self._filters.peek(by, query.filter)
        if wanted is None:
            wanted = await self._filters.resolve(by, query.filter)
        request = SyncRequest(
            since=parse_sync_token(query.since) if query.since else None,
            wanted=wanted,
            full_state=query.full_state,
            state_after=query.use_state_after,
            timeout_ms=max(0, query.timeout),
            presence=_STATUS[query.set_presence],
        )
        return Reply(await self._sync.sync(by, request))


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Sync(sync=services.sync, filters=services.filters)
    yield Route(
        method="GET",
        path="v3/sync",
        run=endpoints.sync,
        query=SyncQuery,
        guests=True,
        waits=True,
    )
