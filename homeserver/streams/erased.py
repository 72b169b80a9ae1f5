"""Users who had their accounts erased, in memory: who comes later does not see what they wrote.

Source: C-S API v1.19 deactivateAccount, `erase`.
"""

import asyncio
from collections.abc import Set as AbstractSet

import structlog

from homeserver.errors import Unavailable
from homeserver.identifiers import UserID
from homeserver.storage import accounts
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus

TOPIC = "account-erased"
IDLE_POLL_S = 60.0
"""Where an announcement was lost although the connection was not."""

log = structlog.get_logger(__name__)


class ErasedUsers:
    """All of them: erasure is for good, so users only come to the set."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._known: set[UserID] = set()
        self._wake = asyncio.Event()

    @property
    def known(self) -> AbstractSet[UserID]:
        """Usually nobody."""
        return self._known

    def listen(self, bus: Bus) -> None:
        """Payload: the user's Matrix ID."""
        bus.subscribe(TOPIC, lambda payload: self._known.add(UserID(payload)))

    async def refresh(self) -> None:
        """Raises Unavailable."""
        async with self._database.connection() as db:
            self._known.update(await accounts.erased(db))

    def poll(self) -> None:
        """Look at the database: announcements may have been missed."""
        self._wake.set()

    async def run(self) -> None:
        """Looks at the database now and then, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(IDLE_POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("erased_users_not_read", error=str(error))
