"""What accounts need once in a while: sightings written, what has ended forgotten."""

import asyncio

import structlog

from homeserver.actions.one_time_tokens import OneTimeTokens
from homeserver.actions.registration import Registration
from homeserver.actions.sightings import Sightings
from homeserver.actions.tokens import Tokens
from homeserver.errors import Unavailable

_INTERVAL_S = 60.0

log = structlog.get_logger(__name__)


class AccountUpkeep:
    """Runs once a minute."""

    def __init__(
        self,
        *,
        sightings: Sightings,
        tokens: Tokens,
        one_time_tokens: OneTimeTokens,
        registration: Registration,
    ) -> None:
        self._sightings = sightings
        self._tokens = tokens
        self._one_time_tokens = one_time_tokens
        self._registration = registration

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                await self.once()
            except Unavailable as error:
                log.warning("account_upkeep_postponed", reason=str(error))

    async def once(self) -> None:
        """Raises Unavailable; the next time makes up for it."""
        await self._sightings.flush()
        await self._tokens.delete_expired()
        await self._one_time_tokens.delete_expired()
        await self._registration.delete_unusable_codes()
