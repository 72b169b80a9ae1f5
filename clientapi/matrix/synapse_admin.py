"""Making accounts as tools that were written for Synapse do.

Source: Synapse's documentation, "Shared-Secret Registration".
"""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.session_answers import session_answer
from homeserver.actions.shared_secret_registration import (
    SharedSecretRegistration,
    SignedRegistration,
)
from homeserver.identifiers import server_of


class SignedBody(Body):
    nonce: str
    username: str
    password: str
    mac: str
    displayname: str | None = None
    admin: bool = False
    user_type: str | None = None


class SynapseAdmin:
    """`/_synapse/admin/v1/register`."""

    def __init__(self, *, registration: SharedSecretRegistration, is_enabled: bool) -> None:
        self._registration = registration
        self._is_enabled = is_enabled

    async def nonce(self, _call: Call[NoQuery, NoBody]) -> Json:
        self._require_enabled()
        return {"nonce": self._registration.nonce()}

    async def register(self, call: Call[NoQuery, SignedBody]) -> Json:
        self._require_enabled()
        body = call.body
        wanted = SignedRegistration(
            nonce=body.nonce,
            username=body.username,
            password=body.password,
            name=body.displayname,
            is_admin=body.admin,
            user_type=body.user_type,
            mac=body.mac,
        )
        grant = await self._registration.register(wanted, call.client)
        return {**session_answer(grant), "home_server": server_of(grant.requester.user_id)}

    def _require_enabled(self) -> None:
        if not self._is_enabled:
            raise MatrixError(404, "M_UNRECOGNIZED", "Shared-secret registration is off.")


def routes(services: MatrixServices) -> Iterator[Route]:
    path = "/_synapse/admin/v1/register"
    endpoints = SynapseAdmin(
        registration=services.accounts.shared_secret_registration,
        is_enabled=bool(services.config.auth.registration_shared_secret.get_secret_value()),
    )
    yield Route(method="GET", path=path, run=endpoints.nonce, auth=Auth.NONE)
    yield Route(method="POST", path=path, run=endpoints.register, body=SignedBody, auth=Auth.NONE)
