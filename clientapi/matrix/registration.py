"""Making accounts (registration.yaml)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from clientapi.authentication import Authenticator
from clientapi.matrix.auth_stages import Flows, policies_of, registration_flows
from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.session_answers import SessionBody, session_answer
from clientapi.matrix.third_party_ids import EmailValidation, MsisdnValidation, denied
from clientapi.rate_limits import RateLimits
from homeserver.actions.login import ProvenAccount
from homeserver.actions.registration import NewUser, Registration
from homeserver.actions.tokens import Client, Grant, Tokens
from homeserver.application_services import ApplicationServices
from homeserver.config import AuthConfig
from homeserver.errors import MissingToken, NotAuthenticated
from homeserver.identifiers import UserID, localpart_of
from homeserver.requester import Requester

APPLICATION_SERVICE = "m.login.application_service"


class RegisterQuery(Query):
    kind: Literal["user", "guest"] = "user"


class RegisterBody(ProvingBody, SessionBody):
    """What a new account and its first session shall be."""

    type: str | None = None
    username: str | None = None
    password: str | None = None
    inhibit_login: bool = False
    guest_access_token: str | None = None


class UsernameQuery(Query):
    username: str


class RegistrationEndpoints:
    """Endpoints of registration.yaml."""

    def __init__(
        self,
        *,
        settings: AuthConfig,
        registration: Registration,
        tokens: Tokens,
        interactive_auth: InteractiveAuth,
        authenticator: Authenticator,
        application_services: ApplicationServices,
        rate_limits: RateLimits,
    ) -> None:
        self._settings = settings
        self._registration = registration
        self._tokens = tokens
        self._interactive_auth = interactive_auth
        self._authenticator = authenticator
        self._application_services = application_services
        self._rate_limits = rate_limits
        self._flows: Flows = registration_flows(
            needs_token=settings.registration == "token", policies=policies_of(settings.terms)
        )

    async def register(self, call: Call[RegisterQuery, RegisterBody]) -> Json:
        if call.query.kind == "guest":
            return await self._register_guest(call)
        if call.body.type == APPLICATION_SERVICE:
            return await self._register_for_application_service(call)
        self._require_open()
        return await self._register_user(call)

    async def check_username_availability(self, call: Call[UsernameQuery, NoBody]) -> Json:
        self._require_open()
        await self._registration.available(call.query.username)
        return {"available": True}

    async def request_token_to_register_email(self, _call: Call[NoQuery, EmailValidation]) -> Json:
        raise denied()

    async def request_token_to_register_msisdn(
        self, _call: Call[NoQuery, MsisdnValidation]
    ) -> Json:
        raise denied()

    async def _register_user(self, call: Call[RegisterQuery, RegisterBody]) -> Json:
        """Everything that can be checked is checked before anything need be proved."""
        guest = await self._guest(call.body)
        if guest is None and call.body.username is not None:
            await self._registration.available(call.body.username)
        if call.body.password is not None:
            self._registration.check_password(call.body.password)
        proof = await self._interactive_auth.require(
            Asked(
                operation="register",
                flows=self._flows,
                body=call.body,
                by=None,
                client=call.client,
            )
        )
        body = call.body.model_copy(update=dict(proof.parameters))
        if body.password is None:
            raise MatrixError(400, "M_MISSING_PARAM", "password is missing")
        self._rate_limits.registration(call.client.address)
        if guest is not None:
            await self._registration.upgrade_guest(guest, body.password, code=proof.code)
            return {"user_id": guest.user_id, "device_id": guest.device_id} | (
                {} if body.inhibit_login else {"access_token": body.guest_access_token}
            )
        user = NewUser(body.username, body.password)
        account = await self._registration.create_user(user, code=proof.code)
        if body.inhibit_login:
            return {"user_id": account.user.user_id}
        return session_answer(await self._open(account, body, call.client))

    async def _register_guest(self, call: Call[RegisterQuery, RegisterBody]) -> Json:
        """Of what a guest sends only the name of his device counts."""
        if not self._settings.guests:
            raise MatrixError(403, "M_FORBIDDEN", "This server has no guests.")
        self._rate_limits.registration(call.client.address)
        account = await self._registration.create_user(NewUser(None, None, is_guest=True))
        body = RegisterBody(initial_device_display_name=call.body.initial_device_display_name)
        return session_answer(await self._open(account, body, call.client))

    async def _register_for_application_service(
        self, call: Call[RegisterQuery, RegisterBody]
    ) -> Json:
        """Application Service API v1.19 "Server admin style permissions"."""
        service = self._application_services.by_token(given_token(call.token))
        if service is None:
            raise NotAuthenticated("This is not the token of an application service.")
        user = NewUser(call.body.username, None, appservice=service.id)
        if call.body.username is None:
            raise MatrixError(400, "M_MISSING_PARAM", "username is missing")
        await self._registration.available(call.body.username, service=service)
        account = await self._registration.create_user(user, service=service)
        if call.body.inhibit_login:
            return {"user_id": account.user.user_id}
        return session_answer(await self._open(account, call.body, call.client))

    async def _open(self, account: ProvenAccount, body: SessionBody, client: Client) -> Grant:
        return await self._tokens.open(
            account,
            replace(client, name=body.initial_device_display_name or ""),
            device_id=body.device_id,
            refreshable=body.refresh_token,
        )

    async def _guest(self, body: RegisterBody) -> Requester | None:
        """The guest whose account shall become one like any other. C-S API v1.19 "Guest Access"."""
        if body.guest_access_token is None:
            return None
        guest = await self._authenticator.authenticate(body.guest_access_token)
        if not guest.is_guest:
            raise MatrixError(403, "M_FORBIDDEN", "This is not the token of a guest.")
        if _localpart(body.username) != localpart_of(guest.user_id):
            raise MatrixError(400, "M_INVALID_USERNAME", "A guest keeps his username.")
        return guest

    def _require_open(self) -> None:
        if self._settings.registration == "closed":
            raise MatrixError(403, "M_FORBIDDEN", "Registration is disabled on this server.")


def given_token(token: str | None) -> str:
    if token is None:
        raise MissingToken("An access token is missing: send it as Authorization: Bearer.")
    return token


def _localpart(username: str | None) -> str:
    text = username or ""
    return localpart_of(UserID(text)) if text.startswith("@") else text


def routes(services: MatrixServices) -> Iterator[Route]:
    accounts = services.accounts
    endpoints = RegistrationEndpoints(
        settings=services.config.auth,
        registration=accounts.registration,
        tokens=accounts.tokens,
        interactive_auth=services.interactive_auth,
        authenticator=services.authenticator,
        application_services=accounts.application_services,
        rate_limits=services.rate_limits,
    )
    yield Route(
        method="POST",
        path="v3/register",
        run=endpoints.register,
        query=RegisterQuery,
        body=RegisterBody,
        auth=Auth.NONE,
    )
    yield Route(
        method="GET",
        path="v3/register/available",
        run=endpoints.check_username_availability,
        query=UsernameQuery,
        auth=Auth.NONE,
    )
    yield Route(
        method="POST",
        path="v3/register/email/requestToken",
        run=endpoints.request_token_to_register_email,
        body=EmailValidation,
        auth=Auth.NONE,
    )
    yield Route(
        method="POST",
        path="v3/register/msisdn/requestToken",
        run=endpoints.request_token_to_register_msisdn,
        body=MsisdnValidation,
        auth=Auth.NONE,
    )
