"""Who an access token belongs to (whoami.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester


async def get_token_owner(_call: Call[NoQuery, NoBody], by: Requester) -> Json:
    """An application service may act without a device."""
    owner: Json = {"user_id": by.user_id, "is_guest": by.is_guest}
    return {**owner, "device_id": by.device_id} if by.device_id else owner


def routes(_services: MatrixServices) -> Iterator[Route]:
    yield Route(method="GET", path="v3/account/whoami", run=get_token_owner, guests=True)
