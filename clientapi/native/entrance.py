"""Who may open a WebSocket: tokens, tickets, origins.

Source: RFC 6455, 10.2 (origin) and 11.3.4 (subprotocols).
"""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from clientapi.authentication import Authenticator
from clientapi.middleware import ADDRESS, REQUESTER
from clientapi.native.bearer import bearer_token
from clientapi.rate_limits import RateLimits
from homeserver.errors import InvalidInput, NotAllowed, NotAuthenticated
from homeserver.requester import Requester

PROTOCOL = "foyer"
"""The subprotocol that browsers ask for, because it lets them send a token along."""

_BEARER = "bearer."
_ANY_ORIGIN = "*"


class Entrance:
    """Lets requests in that may become WebSockets.

    origins: whose pages may connect besides this server's own; `*`: those of every origin.
    """

    def __init__(
        self, *, authenticator: Authenticator, rate_limits: RateLimits, origins: Collection[str]
    ) -> None:
        self._authenticator = authenticator
        self._rate_limits = rate_limits
        self._origins = frozenset(origins)

    async def admit(
        self, request: web.Request, websocket: "web.WebSocketResponse[Any]"
    ) -> Requester:
        """Who asks. Raises NotAllowed, NotAuthenticated, InvalidInput, LimitExceeded and
        Unavailable.
        """
        self._check_origin(request)
        by = await self._authenticate(request)
        request[REQUESTER] = by
        self._rate_limits.request(by.user_nid)
        if not websocket.can_prepare(request):
            raise InvalidInput("This path is for WebSockets (RFC 6455)")
        return by

    def _check_origin(self, request: web.Request) -> None:
        """A page of another origin must not use what its reader's browser knows."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or _ANY_ORIGIN in self._origins or origin in self._origins:
            return
        if urlsplit(origin).netloc.lower() != request.host.lower():
            raise NotAllowed("Pages of this origin may not connect; see server.cors_origins")

    async def _authenticate(self, request: web.Request) -> Requester:
        address = request.get(ADDRESS)
        ticket = request.query.get("ticket")
        token = _token_of(request)
        if token is None and ticket is not None:
            return self._authenticator.redeem_ticket(ticket, address=address)
        if token is None:
            raise NotAuthenticated("An access token is missing: send it as Authorization: Bearer")
        return await self._authenticator.authenticate(token, address=address)


def _token_of(request: web.Request) -> str | None:
    """Raises NotAuthenticated for a header that is none of a bearer, and InvalidInput."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        return bearer_token(authorization)
    offered = _offered_protocols(request)
    token = next((each for each in offered if each.startswith(_BEARER)), None)
    if token is None:
        return None
    if PROTOCOL not in offered:
        # aiohttp logs the protocols when it knows none of them, and a token is none for logs.
        raise InvalidInput(f"Offer the subprotocol {PROTOCOL} beside the token")
    return token.removeprefix(_BEARER)


def _offered_protocols(request: web.Request) -> list[str]:
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [each.strip() for line in lines for each in line.split(",")]
