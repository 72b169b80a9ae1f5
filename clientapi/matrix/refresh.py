"""New tokens for old (refresh.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.session_answers import token_answer
from homeserver.actions.tokens import Tokens


class RefreshBody(Body):
    refresh_token: str


class Refresh:
    """Endpoints of refresh.yaml."""

    def __init__(self, *, tokens: Tokens) -> None:
        self._tokens = tokens

    async def refresh(self, call: Call[NoQuery, RefreshBody]) -> Json:
        """A client that missed the answer may ask again until it uses the new tokens."""
        grant = await self._tokens.refresh(call.body.refresh_token, repeatable=True)
        return token_answer(grant)


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Refresh(tokens=services.accounts.tokens)
    yield Route(
        method="POST", path="v3/refresh", run=endpoints.refresh, body=RefreshBody, auth=Auth.NONE
    )
