"""Where to log in with OAuth 2.0 (oauth_server_metadata.yaml): nowhere on this server."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices


async def get_auth_metadata(_call: Call[NoQuery, NoBody]) -> Json:
    """C-S API v1.19 "Authentication API discovery"."""
    raise MatrixError(404, "M_UNRECOGNIZED", "This server has no OAuth 2.0 API.")


def routes(_services: MatrixServices) -> Iterator[Route]:
    yield Route(
        method="GET",
        path="v1/auth_metadata",
        run=get_auth_metadata,
        auth=Auth.NONE,
        unstable=("unstable/org.matrix.msc2965/auth_metadata",),
    )
