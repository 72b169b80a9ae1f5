"""What administrators do with accounts, here or by the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from e2e.departure import forget_identity
from homeserver.actions.registration import Registrant, Registration
from homeserver.actions.tokens import Announce, Client, Grant, Tokens
from homeserver.clock import Clock
from homeserver.errors import NotAllowed, NotFound
from homeserver.identifiers import ServerName, UserID
from homeserver.passwords import Passwords
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database
from homeserver.streams.people import person_of

_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever may run commands on the server's machine; needs no account."""


Authority = Requester | Operator


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as administrators see it."""

    user_nid: int
    user_id: UserID
    uuid: UUID
    name: str
    email: str | None
    is_admin: bool
    created_at_ms: int
    deactivated_at_ms: int | None


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
    ) -> AccountView:
        """Raises InvalidInput with the field, Conflict."""
        _require_admin(by)
        return _view(await self._registration.create_account(registrant, is_admin=is_admin))

    async def page(self, by: Authority, *, after: int = 0, limit: int = 100) -> list[AccountView]:
        """Accounts in the order in which they were made, after the one with that user_nid."""
        _require_admin(by)
        async with self._database.connection() as db:
            records = await accounts.page(db, after=after, limit=min(limit, _MAX_PAGE))
        return [_view(record) for record in records]

    async def find(self, by: Authority, identifier: str) -> AccountView:
        """identifier: e-mail address, username, user ID or UUID. Raises NotFound."""
        _require_admin(by)
        async with self._database.connection() as db:
            account = await self._look_up(db, identifier.strip())
        if account is None:
            raise NotFound(f"There is no account {identifier}.", kind="user")
        return _view(account)

    async def set_password(self, by: Authority, user_uuid: UUID, password: str) -> None:
        """All sessions of the account end.
        Raises NotFound, InvalidInput, NotAllowed if the account is deactivated.
        """
        _require_admin(by)
        account = await self._active(user_uuid)
        password_hash = await self._passwords.hash(password)
        ended = await self._database.retrying(
            lambda db: self._replace_password(db, account.user.user_nid, password_hash)
        )
        self._announce_change(user_uuid, ended)

    async def deactivate(self, by: Authority, user_uuid: UUID) -> AccountView:
        """The account's owner is logged out and cannot log in again; what he wrote stays.

        Its e-mail address and user ID stay taken. Once more changes nothing. Raises NotFound.
        """
        _require_admin(by)
        account = await self._account(user_uuid)
        ended = await self._database.retrying(
            lambda db: self._deactivate(db, account.user.user_nid)
        )
        self._announce_change(user_uuid, ended)
        return _view(await self._account(user_uuid))

    async def create_token(
        self, by: Authority, user_uuid: UUID, *, name: str, lifetime_s: int | None = None
    ) -> Grant:
        """A session for a program that uses the account. lifetime_s None: as configured.
        Raises NotFound, NotAllowed if the account is deactivated.
        """
        _require_admin(by)
        account = await self._active(user_uuid)
        return await self._tokens.open(account, Client(name=name), lifetime_s=lifetime_s)

    async def _account(self, user_uuid: UUID) -> AccountRecord:
        async with self._database.connection() as db:
            account = await accounts.by_uuid(db, user_uuid)
        if account is None:
            raise NotFound("User not found", kind="user")
        return account

    async def _active(self, user_uuid: UUID) -> AccountRecord:
        account = await self._account(user_uuid)
        if account.deactivated_at is not None:
            raise NotAllowed(f"The account {account.user.user_id} is deactivated.")
        return account

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
        self, db: Connection, user_nid: int, password_hash: str
    ) -> list[UUID]:
        await accounts.set_password(db, user_nid, password_hash, self._clock.now_ms())
        return await sessions.delete_of_user(db, user_nid)

    async def _deactivate(self, db: Connection, user_nid: int) -> list[UUID]:
        await accounts.deactivate(db, user_nid, self._clock.now_ms())
        await forget_identity(db, user_nid)
        return await sessions.delete_of_user(db, user_nid)

    def _announce_change(self, user_uuid: UUID, ended: Sequence[UUID]) -> None:
        self._announce("account-changed", str(user_uuid))
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))


def _require_admin(by: Authority) -> None:
    if isinstance(by, Requester) and not by.is_admin:
        raise NotAllowed("Only administrators of this server may do that.")


def _view(account: AccountRecord) -> AccountView:
    return AccountView(
        user_nid=account.user.user_nid,
        user_id=account.user.user_id,
        uuid=account.user.uuid,
        name=person_of(account.user).name,
        email=account.email,
        is_admin=account.is_admin,
        created_at_ms=account.created_at,
        deactivated_at_ms=account.deactivated_at,
    )


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
