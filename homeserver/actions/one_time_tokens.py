"""Tokens that prove one thing: that a new client may log in, or who somebody is.

Sources: C-S API v1.19 "POST /login/get_token", "OpenID".
"""

from dataclasses import dataclass
from hashlib import sha256

from homeserver.actions.tokens import Client, Grant, RandomBytes, Tokens
from homeserver.clock import Clock
from homeserver.errors import AccountDeactivated, AccountLocked, WrongPassword
from homeserver.events import base64
from homeserver.requester import Requester
from homeserver.storage import accounts, one_time_tokens
from homeserver.storage.database import Database
from homeserver.storage.one_time_tokens import Table

_TOKEN_BYTES = 32
_OPENID_LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class Issued:
    """A token; this is the only time it is seen."""

    token: str
    expires_in_s: int


class OneTimeTokens:
    """Issues such tokens, and logs in with those that are for it."""

    def __init__(
        self,
        *,
        database: Database,
        tokens: Tokens,
        clock: Clock,
        random_bytes: RandomBytes,
        login_lifetime_s: int,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock
        self._random_bytes = random_bytes
        self._login_lifetime_s = login_lifetime_s

    async def for_login(self, by: Requester) -> Issued:
        """With it another client logs in as the caller, once."""
        return await self._issue("login_tokens", by, self._login_lifetime_s)

    async def for_openid(self, by: Requester) -> Issued:
        """With it others may ask this server who the caller is."""
        return await self._issue("openid_tokens", by, _OPENID_LIFETIME_S)

    async def login(
        self, token: str, client: Client, *, device_id: str | None, refreshable: bool
    ) -> Grant:
        """Raises WrongPassword for a token that is not valid, AccountDeactivated, AccountLocked."""
        async with self._database.transaction() as db:
            now_ms = self._clock.now_ms()
            user_nid = await one_time_tokens.take(db, "login_tokens", _hash(token), now_ms)
            account = None if user_nid is None else await accounts.by_nid(db, user_nid)
        if account is None:
            raise WrongPassword("The login token is not valid: wrong, used up, or too old.")
        if account.deactivated_at is not None:
            raise AccountDeactivated("This account has been deactivated.")
        if account.locked_at is not None:
            raise AccountLocked("This account has been locked.")
        return await self._tokens.open(
            account, client, device_id=device_id, refreshable=refreshable
        )

    async def delete_expired(self) -> None:
        async with self._database.transaction() as db:
            await one_time_tokens.delete_expired(db, self._clock.now_ms())

    async def _issue(self, table: Table, by: Requester, lifetime_s: int) -> Issued:
        token = base64.encode_urlsafe(self._random_bytes(_TOKEN_BYTES))
        expires_at = self._clock.now_ms() + lifetime_s * 1000
        async with self._database.transaction() as db:
            await one_time_tokens.insert(db, table, _hash(token), by.user_nid, expires_at)
        return Issued(token, lifetime_s)


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
