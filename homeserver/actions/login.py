"""Logging in with a password, and changing it."""

from uuid import UUID

from homeserver.actions.tokens import Announce, Client, Grant, Tokens
from homeserver.clock import Clock
from homeserver.errors import NotAllowed, NotAuthenticated
from homeserver.identifiers import ServerName, UserID
from homeserver.passwords import Passwords
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database

# One sentence for an unknown account, a wrong password and a deactivated account.
_WRONG = "The e-mail address or the password is not right."


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

    async def login(self, identifier: str, password: str, client: Client) -> Grant:
        """A session for the account with that password.

        identifier: an e-mail address, a username or a full user ID.
        Raises NotAuthenticated, alike and after the same work for every reason.
        """
        account = await self._account(identifier)
        matches = await self._passwords.verify(_hash_of(account), password)
        if account is None or not matches or account.deactivated_at is not None:
            raise NotAuthenticated(_WRONG)
        grant = await self._tokens.open(account, client)
        await self._renew_hash(account, password)
        return grant

    def subject(self, identifier: str) -> str:
        """What an identifier means, for counting attempts: alice and @alice:here are one."""
        user_id = self._user_id(identifier)
        return accounts.email_key(identifier.strip()) if user_id is None else user_id

    async def change_password(self, by: Requester, current: str, new: str) -> None:
        """All other sessions of the account end.
        Raises NotAllowed when the current password is not right, InvalidInput for the new one.
        """
        async with self._database.connection() as db:
            account = await accounts.by_nid(db, by.user_nid)
        if not await self._passwords.verify(_hash_of(account), current):
            raise NotAllowed("The current password is not right.")
        new_hash = await self._passwords.hash(new, field="new_password")
        ended = await self._database.retrying(lambda db: self._replace_password(db, by, new_hash))
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))

    async def _replace_password(self, db: Connection, by: Requester, new_hash: str) -> list[UUID]:
        await accounts.set_password(db, by.user_nid, new_hash, self._clock.now_ms())
        return await sessions.delete_of_user(db, by.user_nid, keep=by.session_uuid)

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

    async def _renew_hash(self, account: AccountRecord, password: str) -> None:
        """Passwords that were hashed with other parameters get those of now."""
        if self._passwords.is_outdated(account.password_hash):
            new = await self._passwords.rehash(password)
            async with self._database.transaction() as db:
                await accounts.replace_hash(
                    db, account.user.user_nid, old=account.password_hash, new=new
                )


def _hash_of(account: AccountRecord | None) -> str | None:
    return None if account is None else account.password_hash
