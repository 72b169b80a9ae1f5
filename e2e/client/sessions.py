"""Olm sessions: which one encrypts, which one decrypts, and when a broken one is replaced.

Source: C-S API v1.19, "m.olm.v1.curve25519-aes-sha2", "Recovering from undecryptable messages".
"""

from dataclasses import replace
from typing import Any

from e2e.client import libolm as olm
from e2e.client.account import OwnDevice, pickled, unpickled
from e2e.client.errors import Forged, MissingOlmSession
from e2e.client.records import OlmPeer, OlmSession
from e2e.client.vault import Vault

MAX_SESSIONS = 8
"""With one device; the spec asks for at least four."""

RENEWAL_MS = 3_600_000
"""A device for which we made a session within the last hour gets no other one."""

RETRY_MS = 600_000
"""A device that had no one-time keys is not asked for them again before."""

PRE_KEY = 0
NORMAL = 1


class OlmSessions:
    """Devices are named by their Curve25519 keys."""

    def __init__(self, *, vault: Vault, own: OwnDevice) -> None:
        self._vault = vault
        self._own = own

    def peer(self, curve25519: str) -> OlmPeer:
        return self._vault.get(OlmPeer, curve25519) or OlmPeer()

    def has(self, curve25519: str) -> bool:
        return bool(self.peer(curve25519).sessions)

    def start(self, curve25519: str, one_time_key: str, *, now_ms: int) -> None:
        """A session of our own making. Raises Forged for keys that are none."""
        try:
            session = olm.OutboundSession(self._own.open(), curve25519, one_time_key)
        except (olm.OlmSessionError, ValueError) as error:
            raise Forged(f"no session can be made: {error}") from None
        peer = replace(self.peer(curve25519), told_no_olm=False, no_keys_ms=None)
        self._keep(curve25519, peer, session, received_ms=now_ms)

    def encrypt(self, curve25519: str, plaintext: str) -> dict[str, Any]:
        """`type` and `body` for that device. Raises MissingOlmSession."""
        peer = self.peer(curve25519)
        if not peer.sessions:
            raise MissingOlmSession("no session with this device")
        # "it should use the session from which it last received and successfully decrypted"
        chosen = max(peer.sessions, key=lambda session: session.received_ms)
        session = unpickled(olm.Session, chosen.pickle)
        message = session.encrypt(plaintext)
        self._keep(curve25519, peer, session, received_ms=chosen.received_ms)
        return {"type": message.message_type, "body": message.ciphertext}

    def decrypt(self, curve25519: str, message_type: int, body: str, *, now_ms: int) -> str:
        """The plaintext. Raises MissingOlmSession where no session can read it."""
        if message_type == PRE_KEY:
            return self._decrypt_pre_key(curve25519, olm.OlmPreKeyMessage(body), now_ms)
        if message_type == NORMAL:
            return self._decrypt_normal(curve25519, olm.OlmMessage(body), now_ms)
        raise Forged(f"no Olm message has the type {message_type}")

    def may_renew(self, curve25519: str, *, now_ms: int) -> bool:
        renewed_ms = self.peer(curve25519).renewed_ms
        return renewed_ms is None or now_ms - renewed_ms >= RENEWAL_MS

    def renewed(self, curve25519: str, *, now_ms: int) -> None:
        """We are about to replace what is broken; the next time is an hour away."""
        self._vault.put(curve25519, replace(self.peer(curve25519), renewed_ms=now_ms))

    def may_claim(self, curve25519: str, *, now_ms: int) -> bool:
        """Whether a session is needed and asking for a key is not in vain."""
        peer = self.peer(curve25519)
        if peer.sessions:
            return False
        return peer.no_keys_ms is None or now_ms - peer.no_keys_ms >= RETRY_MS

    def had_no_keys(self, curve25519: str, *, now_ms: int) -> None:
        """The server had no one-time key of the device, or one that does not hold."""
        self._vault.put(curve25519, replace(self.peer(curve25519), no_keys_ms=now_ms))

    def tell_no_olm(self, curve25519: str) -> bool:
        """Whether they should be told now; once, until there was a session again."""
        peer = self.peer(curve25519)
        if peer.told_no_olm:
            return False
        self._vault.put(curve25519, replace(peer, told_no_olm=True))
        return True

    def _decrypt_pre_key(self, curve25519: str, message: olm.OlmPreKeyMessage, now_ms: int) -> str:
        peer = self.peer(curve25519)
        for record in peer.sessions:
            session = unpickled(olm.Session, record.pickle)
            if _matches(session, message, curve25519):
                plaintext = _read(session, message)
                self._keep(curve25519, peer, session, received_ms=now_ms)
                return plaintext
        return self._accept(curve25519, peer, message, now_ms)

    def _accept(
        self, curve25519: str, peer: OlmPeer, message: olm.OlmPreKeyMessage, now_ms: int
    ) -> str:
        """A session of the sender's making. It and the end of the one-time key are kept only after
        it has decrypted the message.
        """
        account = self._own.open()
        try:
            session = olm.InboundSession(account, message, curve25519)
            plaintext = _read(session, message)
            account.remove_one_time_keys(session)
        except (olm.OlmSessionError, olm.OlmAccountError) as error:
            raise MissingOlmSession(f"the sender's session cannot be opened: {error}") from None
        self._own.keep(account)
        self._keep(curve25519, replace(peer, told_no_olm=False), session, received_ms=now_ms)
        return plaintext

    def _decrypt_normal(self, curve25519: str, message: olm.OlmMessage, now_ms: int) -> str:
        peer = self.peer(curve25519)
        for record in sorted(peer.sessions, key=lambda found: -found.received_ms):
            session = unpickled(olm.Session, record.pickle)
            try:
                plaintext = _read(session, message)
            except MissingOlmSession:
                continue
            self._keep(curve25519, peer, session, received_ms=now_ms)
            return plaintext
        raise MissingOlmSession("no session with the sender can read this")

    def _keep(
        self, curve25519: str, peer: OlmPeer, session: olm.Session, *, received_ms: int
    ) -> None:
        """The state after its use; of too many, those are dropped that were silent longest."""
        others = [found for found in peer.sessions if found.session_id != session.id]
        newest = OlmSession(session.id, pickled(session), received_ms)
        # Of two from one millisecond the one that was used last comes first.
        kept = sorted([newest, *others], key=lambda found: -found.received_ms)[:MAX_SESSIONS]
        if newest not in kept:
            kept[-1] = newest
        self._vault.put(curve25519, replace(peer, sessions=tuple(kept)))


def _matches(session: olm.Session, message: olm.OlmPreKeyMessage, curve25519: str) -> bool:
    try:
        return bool(session.matches(message, curve25519))
    except olm.OlmSessionError:
        return False


def _read(session: olm.Session, message: Any) -> str:
    try:
        return str(session.decrypt(message, "strict"))
    except (olm.OlmSessionError, UnicodeDecodeError) as error:
        raise MissingOlmSession(f"the session cannot read this: {error}") from None
