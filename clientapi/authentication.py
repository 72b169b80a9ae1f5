"""From a token to who asks. Once a token is known, no table is read for it.

A token is known for at most a minute: should the announcement that its session was revoked get
lost, the token still ends within that time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from homeserver.access_tokens import AccessTokens, Claims
from homeserver.actions.sightings import Sightings
from homeserver.actions.tokens import Tokens
from homeserver.application_services import ApplicationService, ApplicationServices
from homeserver.clock import Clock
from homeserver.errors import AccountLocked, NotAuthenticated
from homeserver.events import base64
from homeserver.requester import Requester
from homeserver.streams.bus import Bus
from homeserver.values import value
from homeserver.views.sessions import Sessions

_MAX_TOKEN_CHARS = 4096
_RECHECK_MS = 60_000
_TICKET_BYTES = 32

_ENDED = "The session of this access token has ended: log in again."


@dataclass(frozen=True, slots=True)
class Ticket:
    """Opens one WebSocket, once."""

    ticket: str
    expires_in_s: int


@value
class Asserted:
    """Whom an application service says it acts as; None: as its own user, without a device."""

    user_id: str | None = None
    device_id: str | None = None


_NOTHING_ASSERTED = Asserted()


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Who asks, until when that may be believed."""

    requester: Requester
    until_ms: int


class _Memory:
    """Requesters by secret, bounded; also found by session and by user, to forget them."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._keys_of: dict[UUID, set[bytes]] = {}

    def keep(self, key: bytes, entry: _Remembered, now_ms: int) -> None:
        self.take(key)
        self._make_room(now_ms)
        self._entries[key] = entry
        for owner in (entry.requester.session_uuid, entry.requester.user_uuid):
            self._keys_of.setdefault(owner, set()).add(key)

    def find(self, key: bytes) -> _Remembered | None:
        return self._entries.get(key)

    def take(self, key: bytes) -> _Remembered | None:
        """The entry, which is then gone."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            for owner in (entry.requester.session_uuid, entry.requester.user_uuid):
                self._keys_of[owner].discard(key)
                if not self._keys_of[owner]:
                    del self._keys_of[owner]
        return entry

    def forget(self, owner: UUID) -> None:
        """owner: UUID of a session or of a user."""
        for key in tuple(self._keys_of.get(owner, ())):
            self.take(key)

    def clear(self) -> None:
        self._entries.clear()
        self._keys_of.clear()

    def _make_room(self, now_ms: int) -> None:
        """Drop what is too old, which stands first, and the oldest when there is too much."""
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if now_ms < oldest.until_ms and len(self._entries) < self._capacity:
                return
            self.take(key)


class Authenticator:
    """Knows who is behind access tokens and tickets."""

    def __init__(
        self,
        *,
        access_tokens: AccessTokens,
        tokens: Tokens,
        sessions: Sessions,
        sightings: Sightings,
        application_services: ApplicationServices,
        bus: Bus,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        ticket_ttl_s: int,
        max_remembered: int = 50_000,
    ) -> None:
        self._access_tokens = access_tokens
        self._confirm = tokens.confirm
        self._sessions = sessions
        self._sightings = sightings
        self._application_services = application_services
        self._clock = clock
        self._random_bytes = random_bytes
        self._ticket_ttl_s = ticket_ttl_s
        self._tokens = _Memory(capacity=max_remembered)
        self._tickets = _Memory(capacity=max_remembered)
        self._changes = 0
        bus.subscribe("session-revoked", self._forget)
        bus.subscribe("account-changed", self._forget)

    async def authenticate(
        self,
        token: str,
        *,
        address: str | None = None,
        asserted: Asserted = _NOTHING_ASSERTED,
        even_locked: bool = False,
    ) -> Requester:
        """Who asks with an access token.

        asserted: counts for tokens of application services only.
        address: the client's, for the list of sessions.
        even_locked: whether somebody whose account is locked may do what he asks for.
        Raises NotAuthenticated, AccountLocked, TokenExpired; Unavailable when the session must be
        looked up and cannot be; what
        `Sessions.of_application_service` raises.
        """
        service = self._application_services.by_token(token)
        key = _key(token) if service is None else _key_of_assertion(service, asserted)
        known = self._tokens.find(key)
        if known is not None and self._clock.now_ms() < known.until_ms:
            requester = known.requester
        elif service is None:
            requester = await self._look_up(token, key, is_new=known is None)
        else:
            requester = await self._look_up_asserted(service, asserted, key)
        if requester.is_locked and not even_locked:
            raise AccountLocked("This account has been locked.")
        if requester.session_nid > 0:
            self._sightings.note(requester.session_nid, address)
        return requester

    def issue_ticket(self, by: Requester) -> Ticket:
        """A ticket for whoever cannot send a header with a WebSocket; it ends with the session."""
        ticket = base64.encode_urlsafe(self._random_bytes(_TICKET_BYTES))
        now_ms = self._clock.now_ms()
        until_ms = min(now_ms + self._ticket_ttl_s * 1000, by.expires_at_ms)
        self._tickets.keep(_key(ticket), _Remembered(by, until_ms), now_ms)
        return Ticket(ticket=ticket, expires_in_s=self._ticket_ttl_s)

    def redeem_ticket(self, ticket: str, *, address: str | None = None) -> Requester:
        """Who was given the ticket, the first time it is used. Raises NotAuthenticated."""
        entry = self._tickets.take(_key(ticket))
        if entry is None or entry.until_ms <= self._clock.now_ms():
            raise NotAuthenticated("The ticket is not valid: it is used up, or too old.")
        self._sightings.note(entry.requester.session_nid, address)
        return entry.requester

    def forget_all(self) -> None:
        """For when announcements may have been missed."""
        self._changes += 1
        self._tokens.clear()

    async def _look_up(self, token: str, key: bytes, *, is_new: bool) -> Requester:
        """What changed while the session was looked up may not be remembered."""
        claims = self._read(token)
        changes = self._changes
        requester = await self._sessions.requester(claims)
        if requester is None:
            self._tokens.take(key)
            raise NotAuthenticated(_ENDED)
        if is_new:
            await self._confirm(claims)
        self._keep(key, requester, changes)
        return requester

    async def _look_up_asserted(
        self, service: ApplicationService, asserted: Asserted, key: bytes
    ) -> Requester:
        changes = self._changes
        requester = await self._sessions.of_application_service(
            service, asserted.user_id, asserted.device_id
        )
        self._keep(key, requester, changes)
        return requester

    def _keep(self, key: bytes, requester: Requester, changes: int) -> None:
        """Unless something changed since then."""
        if changes == self._changes:
            now_ms = self._clock.now_ms()
            until_ms = min(now_ms + _RECHECK_MS, requester.expires_at_ms)
            self._tokens.keep(key, _Remembered(requester, until_ms), now_ms)

    def _read(self, token: str) -> Claims:
        if len(token) > _MAX_TOKEN_CHARS:
            raise NotAuthenticated("The access token is not valid.")
        return self._access_tokens.read(token)

    def _forget(self, owner: str) -> None:
        self._changes += 1
        self._tokens.forget(UUID(owner))
        self._tickets.forget(UUID(owner))


def _key_of_assertion(service: ApplicationService, asserted: Asserted) -> bytes:
    return _key(f"{service.as_token}\0{asserted.user_id}\0{asserted.device_id}")


def _key(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
