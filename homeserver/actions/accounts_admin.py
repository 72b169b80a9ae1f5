"""What administrators do with accounts, here or by the command line."""

from dataclasses import dataclass
from uuid import UUID

from homeserver.actions.registration import Registrant, Registration
from homeserver.actions.tokens import Announce, Client, Grant, Tokens
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.identifiers import ServerName, UserID
from homeserver.passwords import Passwords
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database

_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever may run commands on the server's machine; needs no account."""


Authority = Requester | Operator


class AccountsAdmin:
    """Makes, shows and deactivates accounts of others."""

    def __init__(
        self,
        *,
        database: Database,
        registration: Registration,
        passwords: Passwords,
        tokens: Tokens,
        announce: Announce,
        server_name: ServerName,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registration = registration
        self._passwords = passwords
        self._tokens = tokens
        self._announce = announce
        self._server_name = server_name
        self._clock = clock

    async def add(
        self, by: Authority, registrant: Registrant, *, is_admin: bool = False
    ) -> AccountRecord:
        """Raises InvalidInput with the field, Conflict."""
        _require_admin(by)
        return await self._registration.create_account(registrant, is_admin=is_admin)

    async def page(self, by: Authority, *, after: int = 0, limit: int = 100) -> list[AccountRecord]:
        """Accounts as they were made, after the one with that user_nid."""
        _require_admin(by)
        async with self._database.connection() as db:
            return await accounts.page(db, after=after, limit=min(limit, _MAX_PAGE))

    async def find(self, by: Authority, identifier: str) -> AccountRecord:
        """identifier: e-mail address, username, user ID or UUID. Raises NotFound."""
        _require_admin(by)
        async with self._database.connection() as db:
            account = await self._look_up(db, identifier.strip())
        if account is None:
            raise NotFound(f"There is no account {identifier!r}.", kind="user")
        return account

    async def set_password(self, by: Authority, account: AccountRecord, password: str) -> None:
        """All sessions of the account end. Raises InvalidInput, NotAllowed if deactivated."""
        _require_admin(by)
        _require_active(account)
        password_hash = await self._passwords.hash(password)
        ended = await self._database.retrying(
            lambda db: self._replace_password(db, account, password_hash)
        )
        self._announce_change(account, ended)

    async def deactivate(self, by: Authority, account: AccountRecord) -> bool:
        """The account's owner is logged out and cannot log in again; what he wrote stays.

        Whether the account was active. Its e-mail address and user ID stay taken.
        """
        _require_admin(by)
        was_active, ended = await self._database.retrying(
            lambda db: self._deactivate(db, account.user.user_nid)
        )
        self._announce_change(account, ended)
        return was_active

    async def create_token(
        self, by: Authority, account: AccountRecord, *, name: str, lifetime_s: int | None
    ) -> Grant:
        """A session for a program that uses the account. lifetime_s None: as configured."""
        _require_admin(by)
        _require_active(account)
        if lifetime_s is not None and lifetime_s < 1:
            raise InvalidInput("A token lasts at least a second.", field="expires_in")
        return await self._tokens.open(account, Client(name=name), lifetime_s=lifetime_s)

    async def _look_up(self, db: Connection, identifier: str) -> AccountRecord | None:
        if identifier.startswith("@"):
            return await accounts.by_user_id(db, UserID(identifier))
        if "@" in identifier:
            return await accounts.by_email(db, identifier)
        uuid = _uuid_or_none(identifier)
        if uuid is not None:
            return await accounts.by_uuid(db, uuid)
        return await accounts.by_user_id(db, UserID(f"@{identifier.lower()}:{self._server_name}"))

    async def _replace_password(
        self, db: Connection, account: AccountRecord, password_hash: str
    ) -> list[UUID]:
        user_nid = account.user.user_nid
        await accounts.set_password(db, user_nid, password_hash, self._clock.now_ms())
        return await sessions.delete_of_user(db, user_nid)

    async def _deactivate(self, db: Connection, user_nid: int) -> tuple[bool, list[UUID]]:
        was_active = await accounts.deactivate(db, user_nid, self._clock.now_ms())
        return was_active, await sessions.delete_of_user(db, user_nid)

    def _announce_change(self, account: AccountRecord, ended: list[UUID]) -> None:
        self._announce("account-changed", str(account.user.uuid))
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))


def _require_admin(by: Authority) -> None:
    if isinstance(by, Requester) and not by.is_admin:
        raise NotAllowed("Only administrators of this server may do that.")


def _require_active(account: AccountRecord) -> None:
    if account.deactivated_at is not None:
        raise NotAllowed(f"The account {account.user.user_id} is deactivated.")


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
