"""Events from one device to another, encrypted by Olm.

Source: C-S API v1.19, "m.olm.v1.curve25519-aes-sha2", "Validation of incoming decrypted events",
"Verification of the sending user for incoming events".
"""

from dataclasses import dataclass
from typing import Any

from e2e.client.account import OLM, OwnDevice
from e2e.client.device_keys import parse_device
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys, Forged
from e2e.client.records import Device
from e2e.client.sessions import OlmSessions
from homeserver.errors import InvalidInput
from homeserver.events import canonical_json

ENCRYPTED = "m.room.encrypted"


@dataclass(frozen=True, slots=True)
class OlmEvent:
    """What another device said. sender_key, sender_ed25519: the keys that the session proves.
    device: the sender's device with both keys, None where no signed object shows that they are
    of the sender.
    """

    sender: str
    type: str
    content: dict[str, Any]
    sender_key: str
    sender_ed25519: str
    device: Device | None


class OlmEvents:
    """Encrypts to known devices and reads what devices send us."""

    def __init__(self, *, own: OwnDevice, sessions: OlmSessions, tracking: DeviceTracking) -> None:
        self._own = own
        self._sessions = sessions
        self._tracking = tracking

    def encrypt(self, device: Device, event_type: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of the `m.room.encrypted` event. Raises MissingOlmSession."""
        record = self._own.record
        payload = {
            "type": event_type,
            "content": content,
            "sender": record.user_id,
            "recipient": device.user_id,
            "recipient_keys": {"ed25519": device.ed25519},
            "keys": {"ed25519": record.ed25519},
            "sender_device_keys": self._own_signed_keys(),
        }
        plaintext = canonical_json.encode(payload).decode()
        return {
            "algorithm": OLM,
            "sender_key": record.curve25519,
            "ciphertext": {device.curve25519: self._sessions.encrypt(device.curve25519, plaintext)},
        }

    def decrypt(self, event: dict[str, Any], *, now_ms: int) -> OlmEvent:
        """Raises MissingOlmSession, and Forged for what fails a check."""
        sender, content = str(event.get("sender")), event.get("content")
        if not isinstance(content, dict) or content.get("algorithm") != OLM:
            raise Forged("not an event of Olm")
        sender_key, message = self._for_us(content)
        plaintext = self._sessions.decrypt(
            sender_key, message["type"], message["body"], now_ms=now_ms
        )
        return self._checked(sender, sender_key, _payload(plaintext))

    def _own_signed_keys(self) -> dict[str, Any]:
        """With the signature of our self-signing key, where the server has told of it."""
        record = self._own.record
        published = self._tracking.device(record.user_id, record.device_id)
        return self._own.device_keys() if published is None else published.signed

    def _for_us(self, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        sender_key, ciphertext = content.get("sender_key"), content.get("ciphertext")
        if not isinstance(sender_key, str) or not isinstance(ciphertext, dict):
            raise Forged("an Olm event without a sender key or ciphertext")
        message = ciphertext.get(self._own.record.curve25519)
        if not isinstance(message, dict) or not isinstance(message.get("type"), int):
            raise Forged("not encrypted for this device")
        if not isinstance(message.get("body"), str) or not message["body"]:
            raise Forged("an Olm message without a body")
        return sender_key, message

    def _checked(self, sender: str, sender_key: str, payload: dict[str, Any]) -> OlmEvent:
        own = self._own.record
        keys, recipient_keys = payload.get("keys"), payload.get("recipient_keys")
        if payload.get("sender") != sender:
            raise Forged("the event inside names another sender")
        if payload.get("recipient") != own.user_id:
            raise Forged("the event inside is for somebody else")
        if not isinstance(recipient_keys, dict) or recipient_keys.get("ed25519") != own.ed25519:
            raise Forged("the event inside is for another device")
        if not isinstance(keys, dict) or not isinstance(keys.get("ed25519"), str):
            raise Forged("the event inside does not say which device sent it")
        return OlmEvent(
            sender=sender,
            type=str(payload.get("type")),
            content=payload["content"] if isinstance(payload.get("content"), dict) else {},
            sender_key=sender_key,
            sender_ed25519=keys["ed25519"],
            device=self._sender_device(sender, sender_key, keys["ed25519"], payload),
        )

    def _sender_device(
        self, sender: str, sender_key: str, ed25519: str, payload: dict[str, Any]
    ) -> Device | None:
        claimed = payload.get("sender_device_keys")
        if claimed is not None:
            device = _claimed_device(sender, claimed)
            if (device.curve25519, device.ed25519) != (sender_key, ed25519):
                raise Forged("the device keys inside are of another device")
            return self._tracking.recognised(device)
        known = self._tracking.device_with_key(sender, sender_key)
        if known is not None and known.ed25519 != ed25519:
            raise Forged("the keys inside are not those of the sender's device")
        return known


def _payload(plaintext: str) -> dict[str, Any]:
    try:
        payload = canonical_json.decode(plaintext.encode())
    except InvalidInput:
        raise Forged("what was encrypted is not JSON") from None
    if not isinstance(payload, dict):
        raise Forged("what was encrypted is not an event")
    return payload


def _claimed_device(sender: str, claimed: Any) -> Device:
    try:
        return parse_device(sender, str(claimed.get("device_id")), claimed)
    except (AttributeError, BadKeys) as error:
        raise Forged(f"the device keys inside do not hold: {error}") from None
