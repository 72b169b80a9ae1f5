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
from e2e.client.records import Device, SecretRequest
from e2e.client.sessions import OlmSessions
from e2e.client.trust import Trust, TrustBook
from e2e.client.vault import Vault

REQUEST = "m.secret.request"
SEND = "m.secret.send"


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
        if any(found.name == name for _, found in self._vault.all(SecretRequest)):
            return
        request_id = random_id(self._entropy)
        self._vault.put(request_id, SecretRequest(name, now_ms))
        self._tell({**self._action(request_id, "request"), "name": name})

    def answer(self, sender: str, content: dict[str, Any]) -> None:
        """An `m.secret.request`. A device that is not a verified one of ours gets no answer; nor
        does one with which there is no session: it will ask again.
        """
        device = self._tracking.device(sender, str(content.get("requesting_device_id")))
        if content.get("action") != "request" or not self._is_verified_other(device):
            return
        assert device is not None
        secret = self._secret(str(content.get("name")))
        if secret is not None and self._sessions.has(device.curve25519):
            reply = {"request_id": str(content.get("request_id")), "secret": secret}
            encrypted = self._olm_events.encrypt(device, SEND, reply)
            self._outbox.send(ENCRYPTED, {sender: {device.device_id: encrypted}})

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
