"""Cross-signing keys, and signatures of keys (cross_signing.yaml)."""

from collections.abc import Iterator, Mapping
from typing import Any

from clientapi.matrix.auth_stages import OWN_PASSWORD
from clientapi.matrix.endpoint import Call, Content, Json, NoQuery, Route
from clientapi.matrix.errors import bad_json, matrix_error
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from e2e.cross_signing import CrossSigning as CrossSigningActions
from e2e.cross_signing_keys import USAGES
from homeserver.requester import Requester


class UploadBody(ProvingBody):
    master_key: dict[str, Any] | None = None
    self_signing_key: dict[str, Any] | None = None
    user_signing_key: dict[str, Any] | None = None


class CrossSigning:
    """Endpoints of cross_signing.yaml."""

    def __init__(
        self, *, cross_signing: CrossSigningActions, interactive_auth: InteractiveAuth
    ) -> None:
        self._cross_signing = cross_signing
        self._interactive_auth = interactive_auth

    async def upload_cross_signing_keys(
        self, call: Call[NoQuery, UploadBody], by: Requester
    ) -> Json:
        keys, proven = _keys(call.body.parameters()), False
        continues = call.body.auth is not None and not keys and by.appservice is None
        if continues or await self._cross_signing.needs_proof(by, keys):
            asked = Asked(
                operation="upload cross-signing keys",
                flows=OWN_PASSWORD,
                body=call.body,
                by=by,
                client=call.client,
            )
            keys = _keys((await self._interactive_auth.require(asked)).parameters)
            proven = True
        await self._cross_signing.upload(by, keys, proven=proven)
        return {}

    async def upload_cross_signing_signatures(
        self, call: Call[NoQuery, Content], by: Requester
    ) -> Json:
        signed = call.body.content
        if not all(isinstance(of_user, dict) for of_user in signed.values()):
            raise bad_json("The body must be an object of objects.")
        failures = await self._cross_signing.add_signatures(by, signed)
        return {
            "failures": {
                user_id: {name: matrix_error(error).body() for name, error in of_user.items()}
                for user_id, of_user in failures.items()
            }
        }


def _keys(parameters: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By usage."""
    return {usage: key for usage in USAGES if (key := parameters.get(f"{usage}_key")) is not None}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = CrossSigning(
        cross_signing=services.encryption.cross_signing,
        interactive_auth=services.interactive_auth,
    )
    yield Route(
        method="POST",
        path="v3/keys/device_signing/upload",
        run=endpoints.upload_cross_signing_keys,
        body=UploadBody,
        unstable=("unstable/keys/device_signing/upload",),
    )
    yield Route(
        method="POST",
        path="v3/keys/signatures/upload",
        run=endpoints.upload_cross_signing_signatures,
        body=Content,
        unstable=("unstable/keys/signatures/upload",),
    )
