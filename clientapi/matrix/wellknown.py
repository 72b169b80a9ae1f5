"""How clients find this server (wellknown.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.session_answers import well_known


class WellKnown:
    """Endpoints of wellknown.yaml."""

    def __init__(self, *, content: Json | None) -> None:
        self._content = content

    async def get_wellknown(self, _call: Call[NoQuery, NoBody]) -> Json:
        if self._content is None:
            raise MatrixError(404, "M_NOT_FOUND", "No public address is configured.")
        return self._content


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = WellKnown(content=well_known(services.config))
    yield Route(
        method="GET",
        path="/.well-known/matrix/client",
        run=endpoints.get_wellknown,
        auth=Auth.NONE,
    )
