"""Tokens with which another client logs in (login_token.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.auth_stages import OWN_PASSWORD
from clientapi.matrix.endpoint import Call, Json, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from homeserver.actions.one_time_tokens import OneTimeTokens
from homeserver.requester import Requester


class LoginToken:
    """Endpoints of login_token.yaml."""

    def __init__(
        self,
        *,
        one_time_tokens: OneTimeTokens,
        interactive_auth: InteractiveAuth,
        is_enabled: bool,
    ) -> None:
        self._one_time_tokens = one_time_tokens
        self._interactive_auth = interactive_auth
        self._is_enabled = is_enabled

    async def generate_login_token(self, call: Call[NoQuery, ProvingBody], by: Requester) -> Json:
        if not self._is_enabled:
            raise MatrixError(404, "M_UNRECOGNIZED", "This server gives no login tokens.")
        await self._interactive_auth.require(
            Asked(
                operation="login/get_token",
                flows=OWN_PASSWORD,
                body=call.body,
                by=by,
                client=call.client,
            )
        )
        issued = await self._one_time_tokens.for_login(by)
        return {"login_token": issued.token, "expires_in_ms": issued.expires_in_s * 1000}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = LoginToken(
        one_time_tokens=services.accounts.one_time_tokens,
        interactive_auth=services.interactive_auth,
        is_enabled=services.config.auth.login_tokens,
    )
    yield Route(
        method="POST",
        path="v1/login/get_token",
        run=endpoints.generate_login_token,
        body=ProvingBody,
        unstable=("unstable/org.matrix.msc3882/login/get_token",),
    )
