"""Ending one's account (account_deactivation.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.auth_stages import OWN_PASSWORD
from clientapi.matrix.endpoint import Auth, Call, Json, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from homeserver.actions.deactivation import Deactivation
from homeserver.requester import Requester


class DeactivationBody(ProvingBody):
    id_server: str | None = None
    erase: bool = False


class AccountDeactivation:
    """Endpoints of account_deactivation.yaml."""

    def __init__(self, *, deactivation: Deactivation, interactive_auth: InteractiveAuth) -> None:
        self._deactivation = deactivation
        self._interactive_auth = interactive_auth

    async def deactivate_account(
        self, call: Call[NoQuery, DeactivationBody], by: Requester | None
    ) -> Json:
        """No identity server holds anything of this server's users, so all of that is unbound."""
        proof = await self._interactive_auth.require(
            Asked(
                operation="account/deactivate",
                flows=OWN_PASSWORD,
                body=call.body,
                by=by,
                client=call.client,
            )
        )
        if proof.account is None:
            raise MatrixError(403, "M_FORBIDDEN", "It is not clear whose account this is.")
        body = call.body.model_copy(update=dict(proof.parameters))
        await self._deactivation.deactivate(proof.account, erase=body.erase)
        return {"id_server_unbind_result": "success"}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = AccountDeactivation(
        deactivation=services.accounts.deactivation, interactive_auth=services.interactive_auth
    )
    yield Route(
        method="POST",
        path="v3/account/deactivate",
        run=endpoints.deactivate_account,
        body=DeactivationBody,
        auth=Auth.OPTIONAL,
    )
