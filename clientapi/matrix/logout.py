"""Ending sessions (logout.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.tokens import Tokens
from homeserver.requester import Requester


class Logout:
    """Endpoints of logout.yaml. The body is not looked at: some clients send none, some `null`."""

    def __init__(self, *, tokens: Tokens) -> None:
        self._tokens = tokens

    async def logout(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._tokens.logout(by)
        return {}

    async def logout_all(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._tokens.logout_all(by)
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Logout(tokens=services.accounts.tokens)
    # C-S API v1.19 "Account locking": these two work for everybody.
    yield Route(
        method="POST", path="v3/logout", run=endpoints.logout, guests=True, even_locked=True
    )
    yield Route(
        method="POST",
        path="v3/logout/all",
        run=endpoints.logout_all,
        guests=True,
        even_locked=True,
    )
