"""Changing one's password (password_management.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.auth_stages import OWN_PASSWORD
from clientapi.matrix.endpoint import Auth, Call, Json, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.third_party_ids import EmailValidation, MsisdnValidation, denied
from homeserver.actions.login import Login
from homeserver.actions.registration import Registration
from homeserver.requester import Requester


class PasswordBody(ProvingBody):
    new_password: str | None = None
    logout_devices: bool = True


class PasswordManagement:
    """Endpoints of password_management.yaml."""

    def __init__(
        self, *, login: Login, registration: Registration, interactive_auth: InteractiveAuth
    ) -> None:
        self._login = login
        self._registration = registration
        self._interactive_auth = interactive_auth

    async def change_password(
        self, call: Call[NoQuery, PasswordBody], by: Requester | None
    ) -> Json:
        """Without an access token one says with the old password whose it is."""
        if call.body.new_password is not None:
            self._registration.check_password(call.body.new_password, field="new_password")
        proof = await self._interactive_auth.require(
            Asked(
                operation="account/password",
                flows=OWN_PASSWORD,
                body=call.body,
                by=by,
                client=call.client,
            )
        )
        body = call.body.model_copy(update=dict(proof.parameters))
        if body.new_password is None or proof.account is None:
            raise MatrixError(400, "M_MISSING_PARAM", "new_password is missing")
        await self._login.replace_password(
            proof.account,
            body.new_password,
            field="new_password",
            keep=None if by is None else by.session_uuid,
            end_sessions=body.logout_devices,
        )
        return {}

    async def request_token_to_reset_password_email(
        self, _call: Call[NoQuery, EmailValidation]
    ) -> Json:
        raise denied()

    async def request_token_to_reset_password_msisdn(
        self, _call: Call[NoQuery, MsisdnValidation]
    ) -> Json:
        raise denied()


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = PasswordManagement(
        login=services.accounts.login,
        registration=services.accounts.registration,
        interactive_auth=services.interactive_auth,
    )
    yield Route(
        method="POST",
        path="v3/account/password",
        run=endpoints.change_password,
        body=PasswordBody,
        auth=Auth.OPTIONAL,
    )
    yield Route(
        method="POST",
        path="v3/account/password/email/requestToken",
        run=endpoints.request_token_to_reset_password_email,
        body=EmailValidation,
        auth=Auth.NONE,
    )
    yield Route(
        method="POST",
        path="v3/account/password/msisdn/requestToken",
        run=endpoints.request_token_to_reset_password_msisdn,
        body=MsisdnValidation,
        auth=Auth.NONE,
    )
