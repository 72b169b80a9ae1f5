"""Making accounts (registration.yaml)."""

from collections.abc import Iterator
from typing import Any

from clientapi.matrix.endpoint import Auth, Body, Call, Json, NoQuery, Reply, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.registration import NewUser, Registration
from homeserver.actions.tokens import Tokens


class RegisterBody(Body):
    """What a new account shall be."""

    auth: dict[str, Any] | None = None
    username: str | None = None
    password: str | None = None


class RegistrationEndpoints:
    """Endpoints of registration.yaml."""

    def __init__(self, *, registration: Registration, tokens: Tokens) -> None:
        self._registration = registration
        self._tokens = tokens

    async def register(self, call: Call[NoQuery, RegisterBody]) -> Json | Reply:
        body = call.body
        if body.auth is None or body.auth.get("type") != "m.login.dummy":
            flows = {"flows": [{"stages": ["m.login.dummy"]}], "params": {}, "session": "any"}
            return Reply(flows, status=401)
        account = await self._registration.create_user(NewUser(body.username, body.password))
        grant = await self._tokens.open(account, call.client)
        return {
            "user_id": grant.requester.user_id,
            "access_token": grant.access_token,
            "device_id": grant.requester.device_id,
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = RegistrationEndpoints(registration=services.registration, tokens=services.tokens)
    yield Route(
        method="POST",
        path="v3/register",
        run=endpoints.register,
        body=RegisterBody,
        auth=Auth.NONE,
    )
