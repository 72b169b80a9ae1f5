"""Whether a registration token can be used (registration_tokens.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, Query, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.registration import Registration


class TokenQuery(Query):
    token: str


class RegistrationTokens:
    """Endpoints of registration_tokens.yaml."""

    def __init__(self, *, registration: Registration, is_closed: bool) -> None:
        self._registration = registration
        self._is_closed = is_closed

    async def registration_token_validity(self, call: Call[TokenQuery, NoBody]) -> Json:
        if self._is_closed:
            raise MatrixError(403, "M_FORBIDDEN", "Registration is disabled on this server.")
        return {"valid": await self._registration.is_usable(call.query.token)}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RegistrationTokens(
        registration=services.accounts.registration,
        is_closed=services.config.auth.registration == "closed",
    )
    yield Route(
        method="GET",
        path="v1/register/m.login.registration_token/validity",
        run=endpoints.registration_token_validity,
        query=TokenQuery,
        auth=Auth.NONE,
        unstable=(
            "unstable/org.matrix.msc3231/register/org.matrix.msc3231.login.registration_token/validity",
        ),
    )
