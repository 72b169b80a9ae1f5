"""Sessions: opened by a log-in, kept alive by refresh tokens, ended by revoking them.

A refresh token is a secret that its session keeps, the *family*, followed by one that changes with
every use. Both stand in the database as hashes. A token of a family that is not the valid one was
used before, so two hold what one was given: the session ends (RFC 9700, 4.14.2). Clients of the
Matrix API may have missed the answer, so for them the one before the newest stays good until the
tokens that replaced it are used, and gives the same token again (C-S API v1.19 "Refreshing access
tokens").
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from homeserver.access_tokens import AccessTokens, Claims
from homeserver.addresses import parse_address
from homeserver.clock import Clock
from homeserver.errors import AccountLocked, InvalidInput, NotAuthenticated, NotFound
from homeserver.events import base64
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Connection, Database
from homeserver.storage.sessions import NewSession, Opened, SessionOwner
from homeserver.values import value

MAX_SESSIONS_PER_USER = 200

_FAMILY_BYTES = 16
_SECRET_BYTES = 32
_DEVICE_ID_BYTES = 10
_MAX_NAME_CHARS = 255
_MAX_DEVICE_ID_CHARS = 255

Announce = Callable[[str, str], None]
"""Tells everybody who listens to a topic: topic, payload."""

RandomBytes = Callable[[int], bytes]


@value
class Client:
    """What logs in. `name`: shown in the list of sessions; "" to show the user agent."""

    name: str = ""
    address: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a log-in or a refresh gives. `requester`: who asks with the access token from now on.

    expires_in_s, refresh_token None: the access token lasts for as long as the session is used.
    """

    requester: Requester
    access_token: str
    expires_in_s: int | None
    refresh_token: str | None


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
        refresh_key: bytes,
        refresh_ttl_ms: int,
        max_sessions: int = MAX_SESSIONS_PER_USER,
    ) -> None:
        """refresh_key: secret from which each refresh token's successor is made.
        refresh_ttl_ms: a session that is not used for so long ends.
        """
        self._database = database
        self._access_tokens = access_tokens
        self._announce = announce
        self._clock = clock
        self._random_bytes = random_bytes
        self._refresh_key = refresh_key
        self._refresh_ttl_ms = refresh_ttl_ms
        self._max_sessions = max_sessions

    async def open(
        self,
        account: AccountRecord,
        client: Client,
        *,
        device_id: str | None = None,
        lifetime_s: int | None = None,
        refreshable: bool = True,
    ) -> Grant:
        """A new session. The user's sessions beyond the limit end, the longest unused first.

        account: as it was when its owner proved who he is.
        device_id: of a device that is known or shall be; what it held before works no more.
        lifetime_s: of the access token; None: as configured.
        refreshable: False for a client that cannot refresh; its access token does not expire.
        Raises NotAuthenticated when the account has been deactivated or its password changed,
        InvalidInput for an impossible device_id.
        """
        expires_at = self._access_tokens.expiry_ms(lifetime_s) if refreshable else None
        refresh_token = self._random_bytes(_FAMILY_BYTES + _SECRET_BYTES) if refreshable else None
        session = self._new_session(account, client, device_id, refresh_token, expires_at)
        opened = await self._open(session, account.password_changed_at)
        owner = SessionOwner(
            session_nid=opened.session_nid,
            session_uuid=session.uuid,
            device_id=session.device_id,
            expires_at=session.expires_at,
            refresh_hash=session.refresh_hash,
            previous_refresh_hash=None,
            generation=0,
            user_nid=account.user.user_nid,
            user_id=account.user.user_id,
            user_uuid=account.user.uuid,
            is_admin=account.is_admin,
            is_guest=account.is_guest,
            is_locked=account.locked_at is not None,
            is_suspended=account.suspended_at is not None,
        )
        return self._grant(owner, refresh_token, expires_at)

    async def refresh(self, refresh_token: str, *, repeatable: bool = False) -> Grant:
        """New tokens for old; the refresh token is spent.

        repeatable: it is spent only when the new tokens are used.
        Raises NotAuthenticated, and ends the session when the token was spent before;
        AccountLocked.
        """
        token = _decoded(refresh_token)
        fresh = token[:_FAMILY_BYTES] + self._successor(token)
        owner, was_spent = await self._database.retrying(
            lambda db: self._renew(db, token, fresh, repeatable=repeatable)
        )
        if was_spent:
            self._announce_revoked([owner.session_uuid])
            raise NotAuthenticated(
                "This refresh token was used before, so the session has ended: log in again."
            )
        return self._grant(owner, fresh, self._access_tokens.expiry_ms())

    async def confirm(self, claims: Claims) -> None:
        """An access token is used for the first time: the refresh token that it came of is spent.
        Raises Unavailable.
        """
        if claims.generation:
            async with self._database.connection() as db:
                await sessions.confirm(db, claims.session_uuid, claims.generation)

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

    async def _open(self, session: NewSession, password_changed_at: int) -> Opened:
        """In one statement, for whoever is within the limit."""
        async with self._database.connection() as db:
            opened = await sessions.open_session(
                db, session, password_changed_at=password_changed_at
            )
        if opened is None:
            raise NotAuthenticated("The account has changed just now: log in again.")
        ended = [] if opened.replaced is None else [opened.replaced]
        if opened.others >= self._max_sessions:
            async with self._database.transaction() as db:
                ended += await sessions.delete_beyond(db, session.user_nid, self._max_sessions)
        self._announce_revoked(ended)
        return opened

    def _new_session(
        self,
        account: AccountRecord,
        client: Client,
        device_id: str | None,
        refresh_token: bytes | None,
        token_expires_at: int | None,
    ) -> NewSession:
        now_ms = self._clock.now_ms()
        return NewSession(
            uuid=UUID(bytes=self._random_bytes(16), version=4),
            user_nid=account.user.user_nid,
            device_id=self._device_id(device_id),
            display_name=printable(client.name)[:_MAX_NAME_CHARS],
            created_at=now_ms,
            address=parse_address(client.address),
            user_agent=printable(client.user_agent)[:_MAX_NAME_CHARS],
            refresh_family=None if refresh_token is None else _hash(refresh_token[:_FAMILY_BYTES]),
            refresh_hash=None if refresh_token is None else _hash(refresh_token),
            expires_at=max(now_ms + self._refresh_ttl_ms, token_expires_at or 0),
        )

    def _device_id(self, wanted: str | None) -> str:
        if not wanted:
            return base64.encode_urlsafe(self._random_bytes(_DEVICE_ID_BYTES))
        return checked_device_id(wanted)

    def _successor(self, token: bytes) -> bytes:
        """The same for the same token, so that a client can ask again."""
        return hmac.digest(self._refresh_key, token, "sha256")

    async def _renew(
        self, db: Connection, token: bytes, fresh: bytes, *, repeatable: bool
    ) -> tuple[SessionOwner, bool]:
        """The session, and whether the token was spent; the session is then gone."""
        now_ms = self._clock.now_ms()
        owner = await sessions.owner_by_refresh_family(db, _hash(token[:_FAMILY_BYTES]), now_ms)
        if owner is None:
            raise NotAuthenticated("The refresh token is not valid (any more): log in again.")
        if owner.is_locked:
            raise AccountLocked("This account has been locked.")
        if repeatable and owner.previous_refresh_hash == _hash(token):
            return owner, False
        if owner.refresh_hash != _hash(token):
            await sessions.delete(db, owner.user_nid, owner.session_uuid)
            return owner, True
        generation = await sessions.renew(
            db,
            owner.session_nid,
            previous=_hash(token),
            refresh_hash=_hash(fresh),
            expires_at=max(now_ms + self._refresh_ttl_ms, owner.expires_at),
        )
        return replace(owner, generation=generation), False

    def _grant(
        self, owner: SessionOwner, refresh_token: bytes | None, expires_at: int | None
    ) -> Grant:
        """expires_at: of the access token."""
        claims = Claims(owner.user_uuid, owner.session_uuid, expires_at, owner.generation)
        now_ms = self._clock.now_ms()
        return Grant(
            requester=Requester(
                user_nid=owner.user_nid,
                user_id=UserID(owner.user_id),
                user_uuid=owner.user_uuid,
                session_nid=owner.session_nid,
                session_uuid=owner.session_uuid,
                device_id=owner.device_id,
                is_admin=owner.is_admin,
                expires_at_ms=owner.expires_at if expires_at is None else expires_at,
                is_guest=owner.is_guest,
                is_locked=owner.is_locked,
                is_suspended=owner.is_suspended,
            ),
            access_token=self._access_tokens.issue(claims),
            expires_in_s=None if expires_at is None else -(-(expires_at - now_ms) // 1000),
            refresh_token=None if refresh_token is None else base64.encode_urlsafe(refresh_token),
        )

    def _announce_revoked(self, session_uuids: Iterable[UUID]) -> None:
        for session_uuid in session_uuids:
            self._announce("session-revoked", str(session_uuid))


def checked_device_id(text: str) -> str:
    """A device ID that a client chose. Raises InvalidInput."""
    if len(text) > _MAX_DEVICE_ID_CHARS or not text.isprintable():
        raise InvalidInput(
            f"A device ID has at most {_MAX_DEVICE_ID_CHARS} printable characters.",
            field="device_id",
        )
    return text


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
