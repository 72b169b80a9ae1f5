"""Tokens with which others may ask who somebody is (openid.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.one_time_tokens import OneTimeTokens
from homeserver.identifiers import server_of
from homeserver.requester import Requester


class EmptyBody(Body):
    """Reserved for future expansion."""


class OpenID:
    """Endpoints of openid.yaml."""

    def __init__(self, *, one_time_tokens: OneTimeTokens) -> None:
        self._one_time_tokens = one_time_tokens

    async def request_open_id_token(self, call: Call[NoQuery, EmptyBody], by: Requester) -> Json:
        if call.user_id != by.user_id:
            raise MatrixError(403, "M_FORBIDDEN", "A token is for the user who asks for it.")
        issued = await self._one_time_tokens.for_openid(by)
        return {
            "access_token": issued.token,
            "token_type": "Bearer",
            "matrix_server_name": server_of(by.user_id),
            "expires_in": issued.expires_in_s,
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = OpenID(one_time_tokens=services.accounts.one_time_tokens)
    yield Route(
        method="POST",
        path="v3/user/{userId}/openid/request_token",
        run=endpoints.request_open_id_token,
        body=EmptyBody,
    )
