"""Sessions: opened by a log-in, kept alive by refresh tokens, ended by revoking them.

A refresh token is a secret that its session keeps, the *family*, followed by one that changes with
every use. Both stand in the database as hashes. A token of a family that is not the valid one was
used before, so two hold what one was given: the session ends (RFC 9700, 4.14.2).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from homeserver.access_tokens import AccessTokens, Claims
from homeserver.addresses import parse_address
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAuthenticated, NotFound
from homeserver.events import base64
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database
from homeserver.storage.sessions import NewSession, SessionOwner

MAX_SESSIONS_PER_USER = 200

_FAMILY_BYTES = 16
_SECRET_BYTES = 32
_DEVICE_ID_BYTES = 10
_MAX_NAME_CHARS = 255

Announce = Callable[[str, str], None]
"""Tells everybody who listens to a topic: topic, payload."""

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Client:
    """What logs in. `name`: shown in the list of sessions; "" to show the user agent."""

    name: str = ""
    address: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a log-in or a refresh gives. `requester`: who asks with the access token from now on."""

    requester: Requester
    access_token: str
    expires_in_s: int
    refresh_token: str


class Tokens:
    """Opens, renews and ends sessions."""

    def __init__(
        self,
        *,
        database: Database,
        access_tokens: AccessTokens,
        announce: Announce,
        clock: Clock,
        random_bytes: RandomBytes,
        refresh_ttl_ms: int,
        max_sessions: int = MAX_SESSIONS_PER_USER,
    ) -> None:
        self._database = database
        self._access_tokens = access_tokens
        self._announce = announce
        self._clock = clock
        self._random_bytes = random_bytes
        self._refresh_ttl_ms = refresh_ttl_ms
        self._max_sessions = max_sessions

    async def open(
        self, account: AccountRecord, client: Client, *, lifetime_s: int | None = None
    ) -> Grant:
        """A new session. The user's sessions beyond the limit end, the longest unused first.

        account: as it was when its owner proved who he is.
        lifetime_s: of the access token; None: as configured.
        Raises NotAuthenticated when the account has been deactivated or its password changed.
        """
        expires_at = self._access_tokens.expiry_ms(lifetime_s)
        refresh_token = self._random_bytes(_FAMILY_BYTES + _SECRET_BYTES)
        session = self._new_session(account, client, refresh_token, expires_at)
        session_nid, ended = await self._database.retrying(
            lambda db: self._insert(db, account, session)
        )
        self._announce_revoked(ended)
        return self._grant(
            SessionOwner(
                session_nid=session_nid,
                session_uuid=session.uuid,
                device_id=session.device_id,
                expires_at=session.expires_at,
                refresh_hash=session.refresh_hash,
                user_nid=account.user.user_nid,
                user_id=account.user.user_id,
                user_uuid=account.user.uuid,
                is_admin=account.is_admin,
            ),
            refresh_token,
            expires_at,
        )

    async def refresh(self, refresh_token: str) -> Grant:
        """New tokens for old; the refresh token is spent.
        Raises NotAuthenticated, and ends the session when the token was spent before.
        """
        token = _decoded(refresh_token)
        fresh = token[:_FAMILY_BYTES] + self._random_bytes(_SECRET_BYTES)
        owner, was_spent = await self._database.retrying(lambda db: self._renew(db, token, fresh))
        if was_spent:
            self._announce_revoked([owner.session_uuid])
            raise NotAuthenticated(
                "This refresh token was used before, so the session has ended: log in again."
            )
        return self._grant(owner, fresh, self._access_tokens.expiry_ms())

    async def revoke(self, by: Requester, session_uuid: UUID) -> None:
        """End a session of one's own, the current one too. Raises NotFound."""
        async with self._database.transaction() as db:
            if not await sessions.delete(db, by.user_nid, session_uuid):
                raise NotFound("Session not found", kind="session")
        self._announce_revoked([session_uuid])

    async def logout(self, by: Requester) -> None:
        """End the session that asks."""
        async with self._database.transaction() as db:
            await sessions.delete(db, by.user_nid, by.session_uuid)
        self._announce_revoked([by.session_uuid])

    async def logout_all(self, by: Requester) -> None:
        """End all sessions of whoever asks."""
        ended = await self._database.retrying(lambda db: sessions.delete_of_user(db, by.user_nid))
        self._announce_revoked(ended)

    async def delete_expired(self, batch: int = 1000) -> None:
        """Forget the sessions that have ended by time."""
        while True:
            ended = await self._database.retrying(
                lambda db: sessions.delete_expired(db, self._clock.now_ms(), batch)
            )
            self._announce_revoked(ended)
            if len(ended) < batch:
                return

    async def _insert(
        self, db: Connection, account: AccountRecord, session: NewSession
    ) -> tuple[int, list[UUID]]:
        if not await accounts.hold(
            db, account.user.user_nid, password_changed_at=account.password_changed_at
        ):
            raise NotAuthenticated("The account has changed just now: log in again.")
        session_nid = await sessions.insert(db, session)
        return session_nid, await sessions.delete_beyond(
            db, account.user.user_nid, self._max_sessions
        )

    def _new_session(
        self, account: AccountRecord, client: Client, refresh_token: bytes, token_expires_at: int
    ) -> NewSession:
        now_ms = self._clock.now_ms()
        return NewSession(
            uuid=UUID(bytes=self._random_bytes(16), version=4),
            user_nid=account.user.user_nid,
            device_id=base64.encode_urlsafe(self._random_bytes(_DEVICE_ID_BYTES)),
            display_name=printable(client.name)[:_MAX_NAME_CHARS],
            created_at=now_ms,
            address=parse_address(client.address),
            user_agent=printable(client.user_agent)[:_MAX_NAME_CHARS],
            refresh_family=_hash(refresh_token[:_FAMILY_BYTES]),
            refresh_hash=_hash(refresh_token),
            expires_at=max(now_ms + self._refresh_ttl_ms, token_expires_at),
        )

    async def _renew(self, db: Connection, token: bytes, fresh: bytes) -> tuple[SessionOwner, bool]:
        """The session, and whether the token was spent; the session is then gone."""
        now_ms = self._clock.now_ms()
        owner = await sessions.owner_by_refresh_family(db, _hash(token[:_FAMILY_BYTES]), now_ms)
        if owner is None:
            raise NotAuthenticated("The refresh token is not valid (any more): log in again.")
        if owner.refresh_hash != _hash(token):
            await sessions.delete(db, owner.user_nid, owner.session_uuid)
            return owner, True
        await sessions.renew(
            db,
            owner.session_nid,
            refresh_hash=_hash(fresh),
            expires_at=max(now_ms + self._refresh_ttl_ms, owner.expires_at),
        )
        return owner, False

    def _grant(self, owner: SessionOwner, refresh_token: bytes, expires_at: int) -> Grant:
        claims = Claims(owner.user_uuid, owner.session_uuid, expires_at)
        return Grant(
            requester=Requester(
                user_nid=owner.user_nid,
                user_id=UserID(owner.user_id),
                user_uuid=owner.user_uuid,
                session_nid=owner.session_nid,
                session_uuid=owner.session_uuid,
                device_id=owner.device_id,
                is_admin=owner.is_admin,
                expires_at_ms=expires_at,
            ),
            access_token=self._access_tokens.issue(claims),
            expires_in_s=-(-(expires_at - self._clock.now_ms()) // 1000),
            refresh_token=base64.encode_urlsafe(refresh_token),
        )

    def _announce_revoked(self, session_uuids: Iterable[UUID]) -> None:
        for session_uuid in session_uuids:
            self._announce("session-revoked", str(session_uuid))


def printable(text: str) -> str:
    """Text that a program sent, made fit to be kept and shown."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _decoded(refresh_token: str) -> bytes:
    try:
        token = base64.decode(refresh_token)
    except (InvalidInput, ValueError):
        token = b""
    if len(token) != _FAMILY_BYTES + _SECRET_BYTES:
        raise NotAuthenticated("The refresh token is not valid.")
    return token


def _hash(secret: bytes) -> bytes:
    return sha256(secret).digest()
