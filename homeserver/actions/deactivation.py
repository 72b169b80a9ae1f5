"""Ending one's own account, for good.

The rooms are left afterwards: `homeserver.delivery.departures`.
"""

from uuid import UUID

from e2e.departure import forget_identity
from homeserver.actions.login import ProvenAccount
from homeserver.actions.tokens import Announce
from homeserver.clock import Clock
from homeserver.storage import accounts, sessions
from homeserver.storage.database import Connection, Database


class Deactivation:
    """Deactivates accounts whose owners proved who they are."""

    def __init__(self, *, database: Database, announce: Announce, clock: Clock) -> None:
        self._database = database
        self._announce = announce
        self._clock = clock

    async def deactivate(self, account: ProvenAccount, *, erase: bool) -> None:
        """Nobody can log in any more, and all sessions end. The user ID stays taken.

        erase: the server also forgets name, picture, e-mail address and settings, and notes that
        what the owner wrote shall not be shown to those who come later.
        """
        ended = await self._database.retrying(
            lambda db: self._deactivate(db, account.user.user_nid, erase=erase)
        )
        self._announce("account-changed", str(account.user.uuid))
        if erase:
            self._announce("profile-changed", str(account.user.uuid))
            self._announce("account-erased", account.user.user_id)
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))

    async def _deactivate(self, db: Connection, user_nid: int, *, erase: bool) -> list[UUID]:
        now_ms = self._clock.now_ms()
        await accounts.deactivate(db, user_nid, now_ms)
        await forget_identity(db, user_nid)
        if erase:
            await accounts.erase(db, user_nid, now_ms)
        return await sessions.delete_of_user(db, user_nid)
