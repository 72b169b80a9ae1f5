"""Whether an application service can be reached.

Source: Application Service API v1.19 "Pinging".
"""

import asyncio
from dataclasses import dataclass

import aiohttp
import orjson

from homeserver.application_services import ApplicationService
from homeserver.clock import Clock
from homeserver.errors import Unavailable, Unusable

_PATH = "/_matrix/app/v1/ping"
_MAX_SHOWN_BYTES = 4096
_OK = 200


class NoAddress(Unusable):
    """The application service wants to hear nothing."""


class Unreachable(Unavailable):
    """It cannot be connected to."""


class TooSlow(Unavailable):
    """It did not answer in time."""


@dataclass
class BadStatus(Exception):
    """It answered with something else than success. body: the beginning of it."""

    status: int
    body: str


class AppservicePing:
    """Asks application services whether they are there."""

    def __init__(self, *, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s

    async def ping(self, service: ApplicationService, transaction_id: str | None) -> int:
        """How long the answer took, in milliseconds.
        Raises NoAddress, Unreachable, TooSlow, BadStatus.
        """
        if service.url is None:
            raise NoAddress("The application service has no URL.")
        content = {} if transaction_id is None else {"transaction_id": transaction_id}
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await _post(service, service.url, orjson.dumps(content))
        except TimeoutError:
            raise TooSlow("The application service did not answer in time.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable("The application service cannot be reached.") from error
        if status != _OK:
            raise BadStatus(status, body)
        return round((self._clock.monotonic() - began) * 1000)


async def _post(service: ApplicationService, url: str, content: bytes) -> tuple[int, str]:
    headers = {
        "Authorization": f"Bearer {service.hs_token}",
        "Content-Type": "application/json",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + _PATH, data=content, headers=headers, allow_redirects=False) as answer,
    ):
        body = await answer.content.read(_MAX_SHOWN_BYTES)
        return answer.status, body.decode("utf-8", "replace")
