"""Requests that wait until there is something to tell.

A waiter is one future; whoever has news completes it. Everything up to the moment of the first
news is known to be nothing for the user, so nobody looks at it again.
"""

import asyncio
from uuid import UUID

from homeserver.sync.token import SyncToken


class Waiter:
    """One request. session, user: who may end it from outside.

    `checked`: everything up to here was nothing for the user; None until he is woken.
    `is_ended`: it must answer now, whatever there is; `is_revoked`: its session has ended.
    """

    __slots__ = ("_future", "checked", "is_ended", "is_revoked", "session", "user")

    def __init__(self, *, session: UUID, user: UUID) -> None:
        self.session = session
        self.user = user
        self.checked: SyncToken | None = None
        self.is_ended = False
        self.is_revoked = False
        loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = loop.create_future()

    def wake(self, checked: SyncToken) -> None:
        """There may be news. checked: where the streams stood before it.

        Also when the time is over, until the request goes on.
        """
        if self.checked is None:
            self.checked = checked
        if not self._future.done():
            self._future.set_result(None)

    def end(self, *, revoked: bool = False) -> None:
        """No more waiting."""
        self.is_ended = True
        self.is_revoked = self.is_revoked or revoked
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Until it is woken, or the time is over."""
        timer = asyncio.get_running_loop().call_later(timeout_s, self._expire)
        try:
            await self._future
        finally:
            timer.cancel()

    def _expire(self) -> None:
        if not self._future.done():
            self._future.set_result(None)
