"""Locking and suspending accounts of others. Source: C-S API v1.19 "Account moderation"."""

from homeserver.actions.tokens import Announce
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.identifiers import ServerName, UserID, server_of
from homeserver.requester import Requester
from homeserver.storage import accounts
from homeserver.storage.accounts import AccountRecord, Restriction
from homeserver.storage.database import Connection, Database


class AccountModeration:
    """What administrators may do to accounts that are not those of administrators."""

    def __init__(
        self, *, database: Database, announce: Announce, server_name: ServerName, clock: Clock
    ) -> None:
        self._database = database
        self._announce = announce
        self._server_name = server_name
        self._clock = clock

    async def is_restricted(self, by: Requester, user_id: UserID, restriction: Restriction) -> bool:
        """Whether an account is locked or suspended.
        Raises NotAllowed, InvalidInput for users of other servers, NotFound.
        """
        self._check(by, user_id)
        async with self._database.connection() as db:
            account = await _account(db, user_id)
        return _is_restricted(account, restriction)

    async def restrict(
        self, by: Requester, user_id: UserID, restriction: Restriction, *, restricted: bool
    ) -> None:
        """Lock or suspend an account, or end that. Raises as `is_restricted` does."""
        self._check(by, user_id)
        if user_id == by.user_id:
            raise NotAllowed("You cannot do this to your own account.")
        since = self._clock.now_ms() if restricted else None

        async def change(db: Connection) -> AccountRecord:
            account = await _account(db, user_id)
            if _is_restricted(account, restriction) != restricted:
                await accounts.restrict(db, account.user.user_nid, restriction, since)
            return account

        account = await self._database.retrying(change)
        self._announce("account-changed", str(account.user.uuid))

    def _check(self, by: Requester, user_id: UserID) -> None:
        """Before anything is looked up, so that nobody learns who has an account."""
        if not by.is_admin:
            raise NotAllowed("Only administrators of this server may do that.")
        if server_of(user_id) != self._server_name:
            raise InvalidInput("The user is not one of this server.", field="userId")


async def _account(db: Connection, user_id: UserID) -> AccountRecord:
    account = await accounts.by_user_id(db, user_id)
    if account is None or account.deactivated_at is not None:
        raise NotFound("User not found", kind="user")
    if account.is_admin:
        raise NotAllowed("This is not possible with the account of an administrator.")
    return account


def _is_restricted(account: AccountRecord, restriction: Restriction) -> bool:
    since = account.locked_at if restriction == "locked" else account.suspended_at
    return since is not None
