"""The key of the policy server of this name, if there is one (policy_server.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices


class PolicyServer:
    """Endpoints of policy_server.yaml."""

    def __init__(self, *, ed25519_public_key: str) -> None:
        self._key = ed25519_public_key

    async def get_wellknown_policy(self, _call: Call[NoQuery, NoBody]) -> Json:
        if not self._key:
            raise MatrixError(404, "M_NOT_FOUND", "There is no policy server of this name.")
        return {"public_keys": {"ed25519": self._key}}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = PolicyServer(ed25519_public_key=services.config.policy_server.ed25519_public_key)
    yield Route(
        method="GET",
        path="/.well-known/matrix/policy_server",
        run=endpoints.get_wellknown_policy,
        auth=Auth.NONE,
    )
