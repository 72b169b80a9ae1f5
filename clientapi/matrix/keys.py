"""Keys of devices (keys.yaml)."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.services import MatrixServices
from e2e.device_keys import DeviceKeys
from e2e.device_lists import DeviceLists
from e2e.one_time_keys import OneTimeKeys
from e2e.uploaded_keys import Upload
from homeserver.requester import Requester
from homeserver.sync.token import parse_sync_token

_Name = Annotated[str, Field(max_length=255)]


class UploadBody(Body):
    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class QueryBody(Body):
    device_keys: dict[_Name, list[_Name]]


class ClaimBody(Body):
    one_time_keys: dict[_Name, dict[_Name, _Name]]


class ChangesQuery(Query):
    """to: "may be used by the server as a hint", which this one does not need."""

    from_: str = Field(alias="from")
    to: str


class Keys:
    """Endpoints of keys.yaml."""

    def __init__(
        self, *, device_keys: DeviceKeys, one_time_keys: OneTimeKeys, device_lists: DeviceLists
    ) -> None:
        self._device_keys = device_keys
        self._one_time_keys = one_time_keys
        self._device_lists = device_lists

    async def upload_keys(self, call: Call[NoQuery, UploadBody], by: Requester) -> Json:
        body = call.body
        upload = Upload(
            device_keys=body.device_keys,
            one_time_keys=body.one_time_keys or {},
            fallback_keys=body.fallback_keys or {},
        )
        return {"one_time_key_counts": dict(await self._device_keys.upload(by, upload))}

    async def query_keys(self, call: Call[NoQuery, QueryBody], by: Requester) -> Json:
        return await self._device_keys.query(by, call.body.device_keys)

    async def claim_keys(self, call: Call[NoQuery, ClaimBody], _by: Requester) -> Json:
        return await self._one_time_keys.claim(call.body.one_time_keys)

    async def get_keys_changes(self, call: Call[ChangesQuery, NoBody], by: Requester) -> Json:
        """A position of sliding sync begins with a token, and is understood too."""
        parse_sync_token(call.query.to.partition(".")[0])
        since = parse_sync_token(call.query.from_.partition(".")[0])
        changes = await self._device_lists.between(
            by, events=since.events, device_lists=since.device_lists
        )
        return {"changed": sorted(changes.changed), "left": sorted(changes.left)}


def routes(services: MatrixServices) -> Iterator[Route]:
    encryption = services.encryption
    endpoints = Keys(
        device_keys=encryption.device_keys,
        one_time_keys=encryption.one_time_keys,
        device_lists=encryption.device_lists,
    )
    yield Route(
        method="POST",
        path="v3/keys/upload",
        run=endpoints.upload_keys,
        body=UploadBody,
        guests=True,
    )
    yield Route(
        method="POST", path="v3/keys/query", run=endpoints.query_keys, body=QueryBody, guests=True
    )
    yield Route(
        method="POST", path="v3/keys/claim", run=endpoints.claim_keys, body=ClaimBody, guests=True
    )
    yield Route(
        method="GET", path="v3/keys/changes", run=endpoints.get_keys_changes, query=ChangesQuery
    )
