"""Logging in (login.yaml)."""

from collections.abc import Iterator
from dataclasses import replace

from clientapi.matrix.auth_stages import PASSWORD
from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import Identifier, identifier_of
from clientapi.matrix.registration import APPLICATION_SERVICE, given_token
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.session_answers import SessionBody, session_answer, well_known
from clientapi.rate_limits import RateLimits
from homeserver.actions.login import Login
from homeserver.actions.one_time_tokens import OneTimeTokens
from homeserver.actions.tokens import Client, Grant
from homeserver.application_services import ApplicationServices
from homeserver.config import Config
from homeserver.errors import NotAuthenticated, WrongPassword

TOKEN = "m.login.token"  # noqa: S105 - the name of a flow


class LoginBody(SessionBody):
    """Who logs in, how, and with which device."""

    type: str
    identifier: Identifier | None = None
    user: str | None = None
    medium: str | None = None
    address: str | None = None
    password: str | None = None
    token: str | None = None


class LoginEndpoints:
    """Endpoints of login.yaml."""

    def __init__(
        self,
        *,
        config: Config,
        login: Login,
        one_time_tokens: OneTimeTokens,
        application_services: ApplicationServices,
        rate_limits: RateLimits,
    ) -> None:
        self._login = login
        self._one_time_tokens = one_time_tokens
        self._application_services = application_services
        self._rate_limits = rate_limits
        self._has_login_tokens = config.auth.login_tokens
        self._well_known = well_known(config)

    async def get_login_flows(self, _call: Call[NoQuery, NoBody]) -> Json:
        flows: list[Json] = [{"type": PASSWORD}]
        if self._has_login_tokens:
            flows.append({"type": TOKEN, "get_login_token": True})
        return {"flows": [*flows, {"type": APPLICATION_SERVICE}]}

    async def login(self, call: Call[NoQuery, LoginBody]) -> Json:
        client = replace(call.client, name=call.body.initial_device_display_name or "")
        answer = session_answer(await self._grant(call, client))
        return answer if self._well_known is None else {**answer, "well_known": self._well_known}

    async def _grant(self, call: Call[NoQuery, LoginBody], client: Client) -> Grant:
        body = call.body
        if body.type == PASSWORD:
            return await self._by_password(body, client)
        if body.type == TOKEN and self._has_login_tokens:
            return await self._by_token(body, client)
        if body.type == APPLICATION_SERVICE:
            return await self._by_application_service(body, given_token(call.token), client)
        raise MatrixError(400, "M_UNKNOWN", "This server knows no such type of login.")

    async def _by_password(self, body: LoginBody, client: Client) -> Grant:
        identifier = _identifier(body)
        if body.password is None:
            raise MatrixError(400, "M_MISSING_PARAM", "password is missing")
        with self._rate_limits.password_attempt(self._login.subject(identifier), client.address):
            return await self._login.login(
                identifier,
                body.password,
                client,
                device_id=body.device_id,
                refreshable=body.refresh_token,
            )

    async def _by_token(self, body: LoginBody, client: Client) -> Grant:
        if body.token is None:
            raise MatrixError(400, "M_MISSING_PARAM", "token is missing")
        return await self._one_time_tokens.login(
            body.token, client, device_id=body.device_id, refreshable=body.refresh_token
        )

    async def _by_application_service(self, body: LoginBody, token: str, client: Client) -> Grant:
        """C-S API v1.19 "Appservice Login"."""
        service = self._application_services.by_token(token)
        if service is None:
            raise NotAuthenticated("This is not the token of an application service.")
        return await self._login.login_for(
            service,
            _identifier(body),
            client,
            device_id=body.device_id,
            refreshable=body.refresh_token,
        )


def _identifier(body: LoginBody) -> str:
    """Who shall be logged in. A third-party identifier that is no e-mail address is nobody's."""
    if body.identifier is None and body.user is None and body.address is not None:
        if body.medium == "email":
            return body.address
        raise WrongPassword("There is no account with this third-party identifier.")
    identifier = identifier_of(body.identifier, body.user)
    if identifier is not None:
        return identifier
    if body.identifier is None:
        raise MatrixError(400, "M_MISSING_PARAM", "identifier is missing")
    if body.identifier.type in {"m.id.thirdparty", "m.id.phone"}:
        raise WrongPassword("There is no account with this third-party identifier.")
    raise MatrixError(400, "M_UNKNOWN", "This server knows no such type of identifier.")


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = LoginEndpoints(
        config=services.config,
        login=services.accounts.login,
        one_time_tokens=services.accounts.one_time_tokens,
        application_services=services.accounts.application_services,
        rate_limits=services.rate_limits,
    )
    yield Route(method="GET", path="v3/login", run=endpoints.get_login_flows, auth=Auth.NONE)
    yield Route(method="POST", path="v3/login", run=endpoints.login, body=LoginBody, auth=Auth.NONE)
