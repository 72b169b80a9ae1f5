"""Networks that application services lead to (third_party_lookup.yaml).

No application service is asked for its protocols yet, so there are none.
"""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.requester import Requester


class AliasQuery(Query):
    alias: str


class UserQuery(Query):
    userid: str


async def get_protocols(_call: Call[NoQuery, NoBody], _by: Requester) -> Json:
    return {}


async def get_protocol_metadata(_call: Call[NoQuery, NoBody], _by: Requester) -> Json:
    raise MatrixError(404, "M_NOT_FOUND", "This server knows no such network.")


async def query_location_by_protocol(_call: Call[NoQuery, NoBody], _by: Requester) -> Json:
    raise MatrixError(404, "M_NOT_FOUND", "No rooms of other networks were found.")


async def query_user_by_protocol(_call: Call[NoQuery, NoBody], _by: Requester) -> Json:
    raise MatrixError(404, "M_NOT_FOUND", "No users of other networks were found.")


async def query_location_by_alias(_call: Call[AliasQuery, NoBody], _by: Requester) -> Json:
    raise MatrixError(404, "M_NOT_FOUND", "No rooms of other networks were found.")


async def query_user_by_id(_call: Call[UserQuery, NoBody], _by: Requester) -> Json:
    raise MatrixError(404, "M_NOT_FOUND", "No users of other networks were found.")


def routes(_services: MatrixServices) -> Iterator[Route]:
    base = "v3/thirdparty"
    yield Route(method="GET", path=f"{base}/protocols", run=get_protocols)
    yield Route(method="GET", path=f"{base}/protocol/{{protocol}}", run=get_protocol_metadata)
    yield Route(method="GET", path=f"{base}/location/{{protocol}}", run=query_location_by_protocol)
    yield Route(method="GET", path=f"{base}/user/{{protocol}}", run=query_user_by_protocol)
    yield Route(
        method="GET", path=f"{base}/location", run=query_location_by_alias, query=AliasQuery
    )
    yield Route(method="GET", path=f"{base}/user", run=query_user_by_id, query=UserQuery)
