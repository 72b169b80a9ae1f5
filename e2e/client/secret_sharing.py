"""Secrets between our own devices.

Source: C-S API v1.19, "Secrets", "Sharing": only with verified devices of ours; only such answers
are taken that were asked for, from devices that were asked.
"""

from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.cross_signing import SECRETS, OwnIdentity
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys
from e2e.client.key_backup import SECRET as BACKUP_SECRET
from e2e.client.key_backup import KeyBackup
from e2e.client.notices import Notice, SecretArrived
from e2e.client.olm_events import ENCRYPTED, OlmEvent, OlmEvents
from e2e.client.outbox import Outbox
from e2e.client.primitives import Entropy, random_id
from e2e.client.records import AskedSecret, Device, SecretRequest
from e2e.client.requests import ClaimKeys
from e2e.client.sessions import OlmSessions
from e2e.client.trust import Trust, TrustBook
from e2e.client.vault import Vault

REQUEST = "m.secret.request"
SEND = "m.secret.send"

MAX_ASKED = 50
PATIENCE_MS = 600_000
"""How long a device that asks may take until it is verified."""


class SecretSharing:
    """The secrets of this device: its cross-signing keys and the key of the backup."""

    def __init__(
        self,
        *,
        vault: Vault,
        entropy: Entropy,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        sessions: OlmSessions,
        olm_events: OlmEvents,
        identity: OwnIdentity,
        backup: KeyBackup,
        outbox: Outbox,
    ) -> None:
        self._vault = vault
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._sessions = sessions
        self._olm_events = olm_events
        self._identity = identity
        self._backup = backup
        self._outbox = outbox

    def ask(self, name: str, *, now_ms: int) -> None:
        """Asks our other devices; each secret once at a time."""
        for request_id, request in list(self._vault.all(SecretRequest)):
            if now_ms - request.at_ms >= PATIENCE_MS:
                self._vault.delete(SecretRequest, request_id)
        if any(found.name == name for _, found in self._vault.all(SecretRequest)):
            return
        request_id = random_id(self._entropy)
        self._vault.put(request_id, SecretRequest(name, now_ms))
        self._tell({**self._action(request_id, "request"), "name": name})

    def asked(self, sender: str, content: dict[str, Any], *, now_ms: int) -> None:
        """An `m.secret.request`. It waits for a moment: until there is a session with the device,
        and until our user has verified it, which may just be happening.
        """
        device_id, request_id = content.get("requesting_device_id"), content.get("request_id")
        own = self._own.record
        is_ours = sender == own.user_id and device_id != own.device_id
        if not is_ours or not isinstance(device_id, str) or not isinstance(request_id, str):
            return
        name = f"{device_id}|{request_id}"
        if content.get("action") == "request_cancellation":
            self._vault.delete(AskedSecret, name)
        elif len(list(self._vault.all(AskedSecret))) < MAX_ASKED:
            asked = AskedSecret(device_id, request_id, str(content.get("name")), now_ms)
            self._vault.put(name, asked)

    def answer(self, *, now_ms: int) -> None:
        """Answers what can be; forgets what waited too long. A device that is not a verified one
        of ours gets no answer.
        """
        for name, asked in list(self._vault.all(AskedSecret)):
            device = self._verified(asked)
            if now_ms - asked.at_ms >= PATIENCE_MS:
                self._vault.delete(AskedSecret, name)
            elif device is not None and self._sessions.has(device.curve25519):
                self._vault.delete(AskedSecret, name)
                self._send(device, asked)

    def claim(self, *, now_ms: int) -> ClaimKeys | None:
        """One-time keys of devices that wait for an answer."""
        waiting = (self._verified(asked) for _, asked in self._vault.all(AskedSecret))
        devices = {
            (device.user_id, device.device_id)
            for device in waiting
            if device is not None and self._sessions.may_claim(device.curve25519, now_ms=now_ms)
        }
        return ClaimKeys(tuple(sorted(devices))) if devices else None

    def accept(self, event: OlmEvent) -> tuple[str, str, list[Notice]]:
        """An `m.secret.send`: the name and the value. Raises BadKeys for what was not asked for,
        or not of a verified device of ours; BadSecret for a cross-signing key that does not fit.
        """
        request_id = str(event.content.get("request_id"))
        request, secret = self._vault.get(SecretRequest, request_id), event.content.get("secret")
        if request is None or not isinstance(secret, str):
            raise BadKeys("a secret that nobody asked for")
        if not self._is_verified_other(event.device):
            raise BadKeys("a secret from a device that is not a verified one of ours")
        if request.name in SECRETS:
            self._identity.import_secret(request.name, secret)
        self._vault.delete(SecretRequest, request_id)
        self._tell(self._action(request_id, "request_cancellation"))
        return request.name, secret, [SecretArrived(request.name)]

    def _verified(self, asked: AskedSecret) -> Device | None:
        device = self._tracking.device(self._own.record.user_id, asked.device_id)
        return device if self._is_verified_other(device) else None

    def _send(self, device: Device, asked: AskedSecret) -> None:
        secret = self._secret(asked.name)
        if secret is not None:
            reply = {"request_id": asked.request_id, "secret": secret}
            encrypted = self._olm_events.encrypt(device, SEND, reply)
            self._outbox.send(ENCRYPTED, {device.user_id: {device.device_id: encrypted}})

    def _secret(self, name: str) -> str | None:
        if name in SECRETS:
            return self._identity.secret(name)
        backup = self._backup.current
        return backup.private_key if name == BACKUP_SECRET and backup is not None else None

    def _is_verified_other(self, device: Device | None) -> bool:
        own = self._own.record
        if device is None or device.user_id != own.user_id or device.device_id == own.device_id:
            return False
        return self._trust.of_device(device) is Trust.VERIFIED

    def _tell(self, content: dict[str, Any]) -> None:
        self._outbox.send(REQUEST, {self._own.record.user_id: {"*": content}})

    def _action(self, request_id: str, action: str) -> dict[str, Any]:
        return {
            "action": action,
            "requesting_device_id": self._own.record.device_id,
            "request_id": request_id,
        }
