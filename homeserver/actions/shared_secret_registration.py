"""Accounts for whoever knows a secret: what tools of other homeservers use.

Source: Synapse's documentation, "Shared-Secret Registration".
"""

import hmac
from collections import OrderedDict
from dataclasses import dataclass

from homeserver.actions.registration import NewUser, Registration
from homeserver.actions.tokens import Client, Grant, RandomBytes, Tokens
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed, NotFound

_NONCE_BYTES = 32
_NONCE_LIFETIME_MS = 60_000
_MAX_NONCES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRegistration:
    """A new account, signed with the secret. `mac`: HMAC-SHA1, in hexadecimal digits."""

    nonce: str
    username: str
    password: str
    name: str | None
    is_admin: bool
    user_type: str | None
    mac: str

    def signed_text(self) -> bytes:
        """Raises InvalidInput for a NUL, which would let one field pose as two."""
        parts = [
            self.nonce,
            self.username,
            self.password,
            "admin" if self.is_admin else "notadmin",
            *([] if self.user_type is None else [self.user_type]),
        ]
        if any("\0" in part for part in parts):
            raise InvalidInput("There must be no NUL in any field.")
        return "\0".join(parts).encode("utf-8", "surrogatepass")


class SharedSecretRegistration:
    """Gives nonces, each good for one account within a minute. They are kept in memory."""

    def __init__(
        self,
        *,
        registration: Registration,
        tokens: Tokens,
        secret: str,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        """secret: "" switches this off."""
        self._registration = registration
        self._tokens = tokens
        self._secret = secret.encode()
        self._clock = clock
        self._random_bytes = random_bytes
        self._nonces: OrderedDict[str, int] = OrderedDict()

    def nonce(self) -> str:
        """Raises NotFound when this is switched off."""
        self._require_on()
        now_ms = self._clock.now_ms()
        while self._nonces and (
            len(self._nonces) >= _MAX_NONCES or next(iter(self._nonces.values())) <= now_ms
        ):
            self._nonces.popitem(last=False)
        nonce = self._random_bytes(_NONCE_BYTES).hex()
        self._nonces[nonce] = now_ms + _NONCE_LIFETIME_MS
        return nonce

    async def register(self, wanted: SignedRegistration, client: Client) -> Grant:
        """An account and its first session.
        Raises NotFound when this is switched off; InvalidInput, NotAllowed for a wrong mac;
        UsernameTaken, InvalidUsername.
        """
        self._require_on()
        text = wanted.signed_text()
        if self._nonces.pop(wanted.nonce, 0) <= self._clock.now_ms():
            raise InvalidInput("The nonce is not known, or too old.", field="nonce")
        expected = hmac.new(self._secret, text, "sha1").hexdigest()
        if not hmac.compare_digest(expected.encode(), wanted.mac.encode("utf-8", "replace")):
            raise NotAllowed("The mac is not right.")
        user = NewUser(wanted.username, wanted.password, name=wanted.name)
        account = await self._registration.create_user(user, is_admin=wanted.is_admin)
        return await self._tokens.open(account, client, refreshable=False)

    def _require_on(self) -> None:
        if not self._secret:
            raise NotFound("This server has no shared-secret registration.", kind="endpoint")
