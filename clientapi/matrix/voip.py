"""Credentials for TURN servers (voip.yaml)."""

from base64 import b64encode
from collections.abc import Iterator
from hmac import digest

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.clock import Clock
from homeserver.config import TurnConfig
from homeserver.errors import NotFound
from homeserver.requester import Requester


class VoIP:
    """Endpoints of voip.yaml."""

    def __init__(self, *, settings: TurnConfig, clock: Clock) -> None:
        self._settings = settings
        self._secret = settings.shared_secret.get_secret_value().encode()
        self._clock = clock

    async def get_turn_server(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        """What coturn's `use-auth-secret` checks: "A REST API For Access To TURN Services"
        (draft-uberti-behave-turn-rest-00).

        Raises NotFound where there are no TURN servers, as MSC4166 has it: the answer's schema
        leaves nothing out, and clients then call without.
        """
        if not self._settings.uris or not self._secret:
            raise NotFound("This server knows no TURN servers.", kind="TURN server")
        ends = self._clock.now_ms() // 1000 + self._settings.ttl_seconds
        username = f"{ends}:{by.user_id}"
        return {
            "username": username,
            "password": b64encode(digest(self._secret, username.encode(), "sha1")).decode(),
            "uris": list(self._settings.uris),
            "ttl": self._settings.ttl_seconds,
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = VoIP(settings=services.config.turn, clock=services.clock)
    yield Route(method="GET", path="v3/voip/turnServer", run=endpoints.get_turn_server)
