"""Logging in with a password, and changing it."""

from uuid import UUID

from homeserver.actions.tokens import Announce, Client, Grant, Tokens
from homeserver.application_services import ApplicationService
from homeserver.clock import Clock
from homeserver.errors import (
    AccountDeactivated,
    AccountLocked,
    NotAllowed,
    OutsideNamespace,
    WrongPassword,
)
from homeserver.identifiers import ServerName, UserID
from homeserver.passwords import Passwords
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database

# One sentence for an unknown account, a wrong password and a deactivated account. Only clients of
# the Matrix API can tell the last one, by its code.
_WRONG = "The e-mail address or the password is not right."


ProvenAccount = AccountRecord
"""The account of somebody who proved that it is his."""


class Login:
    """Opens sessions for those who know a password."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        tokens: Tokens,
        announce: Announce,
        server_name: ServerName,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._tokens = tokens
        self._announce = announce
        self._server_name = server_name
        self._clock = clock

    async def login(
        self,
        identifier: str,
        password: str,
        client: Client,
        *,
        device_id: str | None = None,
        refreshable: bool = True,
    ) -> Grant:
        """A session for the account with that password; the rest is as in `Tokens.open`.

        identifier: an e-mail address, a username or a full user ID.
        Raises WrongPassword, alike and after the same work for every reason; AccountLocked.
        """
        account = await self.prove(identifier, password)
        return await self._tokens.open(
            account, client, device_id=device_id, refreshable=refreshable
        )

    async def login_for(
        self,
        service: ApplicationService,
        identifier: str,
        client: Client,
        *,
        device_id: str | None,
        refreshable: bool,
    ) -> Grant:
        """A session for a user of an application service, which needs no password.
        Raises OutsideNamespace; WrongPassword when there is no such account, AccountDeactivated,
        AccountLocked.
        """
        user_id = self._user_id(identifier)
        if user_id is None or not service.may_be(user_id):
            raise OutsideNamespace(f"This is not a user of {service.id}.")
        account = await self._account(user_id)
        if account is None:
            raise WrongPassword(f"{user_id} is not registered.")
        if account.deactivated_at is not None:
            raise AccountDeactivated("This account has been deactivated.")
        if account.locked_at is not None:
            raise AccountLocked("This account has been locked.")
        return await self._tokens.open(
            account, client, device_id=device_id, refreshable=refreshable
        )

    async def prove(self, identifier: str, password: str) -> AccountRecord:
        """The account with that password. Raises as `login` does."""
        return await self._proven(await self._account(identifier), password)

    async def prove_owner(self, by: Requester, password: str) -> AccountRecord:
        """One's own account, if that is its password. Raises as `login` does."""
        async with self._database.connection() as db:
            account = await accounts.by_nid(db, by.user_nid)
        return await self._proven(account, password)

    async def _proven(self, account: AccountRecord | None, password: str) -> AccountRecord:
        matches = await self._passwords.verify(_hash_of(account), password)
        if account is not None and account.deactivated_at is not None:
            raise AccountDeactivated(_WRONG)
        if account is None or not matches:
            raise WrongPassword(_WRONG)
        if account.locked_at is not None:
            raise AccountLocked("This account has been locked.")
        return await self._with_renewed_hash(account, password)

    def names(self, identifier: str, account: ProvenAccount) -> bool:
        """Whether an identifier means this account."""
        user_id = self._user_id(identifier)
        if user_id is not None:
            return user_id == account.user.user_id
        return account.email is not None and accounts.email_key(account.email) == (
            accounts.email_key(identifier.strip())
        )

    def subject(self, identifier: str) -> str:
        """What an identifier means, for counting attempts: alice and @alice:here are one."""
        user_id = self._user_id(identifier)
        return accounts.email_key(identifier.strip()) if user_id is None else user_id

    async def change_password(self, by: Requester, current: str, new: str) -> None:
        """All other sessions of the account end.
        Raises NotAllowed when the current password is not right, InvalidInput for the new one.
        """
        try:
            account = await self.prove_owner(by, current)
        except WrongPassword:
            raise NotAllowed("The current password is not right.") from None
        await self.replace_password(
            account, new, field="new_password", keep=by.session_uuid, end_sessions=True
        )

    async def replace_password(
        self,
        account: AccountRecord,
        new: str,
        *,
        keep: UUID | None,
        end_sessions: bool,
        field: str = "password",
    ) -> None:
        """A new password for an account whose owner proved who he is.

        keep: the session that goes on; end_sessions: whether the others end.
        field: what the caller calls the password. Raises InvalidInput.
        """
        new_hash = await self._passwords.hash(new, field=field)

        async def replace(db: Connection) -> list[UUID]:
            user_nid = account.user.user_nid
            await accounts.set_password(db, user_nid, new_hash, self._clock.now_ms())
            return await sessions.delete_of_user(db, user_nid, keep=keep) if end_sessions else []

        for session_uuid in await self._database.retrying(replace):
            self._announce("session-revoked", str(session_uuid))

    async def _account(self, identifier: str) -> AccountRecord | None:
        user_id = self._user_id(identifier)
        async with self._database.connection() as db:
            if user_id is None:
                return await accounts.by_email(db, identifier.strip())
            return await accounts.by_user_id(db, user_id)

    def _user_id(self, identifier: str) -> UserID | None:
        """None: the identifier is an e-mail address."""
        text = identifier.strip().lower()
        if text.startswith("@"):
            return UserID(text)
        return None if "@" in text else UserID(f"@{text}:{self._server_name}")

    async def _with_renewed_hash(self, account: AccountRecord, password: str) -> AccountRecord:
        """Passwords that were hashed with other parameters get those of now."""
        if self._passwords.is_outdated(account.password_hash):
            new = await self._passwords.rehash(password)
            async with self._database.transaction() as db:
                await accounts.replace_hash(
                    db, account.user.user_nid, old=account.password_hash, new=new
                )
        return account


def _hash_of(account: AccountRecord | None) -> str | None:
    return None if account is None else account.password_hash
