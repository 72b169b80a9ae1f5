"""Sending the messages of a verification, and why one is cancelled.

Source: C-S API v1.19, "Key verification framework", "Error and exception handling",
"m.key.verification.cancel".
"""

from collections.abc import Iterable
from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.errors import CryptoError
from e2e.client.outbox import Outbox
from e2e.client.verification.flow import Flow

PREFIX = "m.key.verification."
REQUEST = f"{PREFIX}request"
READY = f"{PREFIX}ready"
START = f"{PREFIX}start"
ACCEPT = f"{PREFIX}accept"
KEY = f"{PREFIX}key"
MAC = f"{PREFIX}mac"
DONE = f"{PREFIX}done"
CANCEL = f"{PREFIX}cancel"

USER = "m.user"
TIMEOUT = "m.timeout"
UNKNOWN_TRANSACTION = "m.unknown_transaction"
UNKNOWN_METHOD = "m.unknown_method"
UNEXPECTED = "m.unexpected_message"
KEY_MISMATCH = "m.key_mismatch"
INVALID = "m.invalid_message"
ACCEPTED = "m.accepted"
MISMATCHED_COMMITMENT = "m.mismatched_commitment"
MISMATCHED_SAS = "m.mismatched_sas"

REASONS = {
    USER: "The user cancelled.",
    TIMEOUT: "It took too long.",
    UNKNOWN_TRANSACTION: "There is no such verification.",
    UNKNOWN_METHOD: "There is no method that both sides know.",
    UNEXPECTED: "The message does not belong here.",
    KEY_MISMATCH: "The keys are not the expected ones.",
    INVALID: "The message is not valid.",
    ACCEPTED: "Another device has accepted.",
    MISMATCHED_COMMITMENT: "The key is not the one that was announced.",
    MISMATCHED_SAS: "The short strings differ.",
}


class Abort(CryptoError):
    """The flow must be cancelled, with that code."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


class Messages:
    """Puts them into the outbox."""

    def __init__(self, *, own: OwnDevice, outbox: Outbox) -> None:
        self._own = own
        self._outbox = outbox

    def addressed(self, flow: Flow, content: dict[str, Any]) -> dict[str, Any]:
        """The content with what ties it to the flow."""
        if flow.room_id is None:
            return {**content, "transaction_id": flow.flow_id}
        relation = {"rel_type": "m.reference", "event_id": flow.flow_id}
        return {**content, "m.relates_to": relation}

    def send(self, flow: Flow, event_type: str, content: dict[str, Any]) -> dict[str, Any]:
        """To the other device, or into the room. Returns the whole content."""
        whole = self.addressed(flow, content)
        if flow.room_id is None:
            assert flow.other_device is not None
            self._outbox.send(event_type, {flow.other_user: {flow.other_device: whole}})
        else:
            self._outbox.send_to_room(flow.room_id, event_type, whole)
        return whole

    def cancel(self, flow: Flow, code: str) -> None:
        """Tells whoever takes part; before one device has answered, all that were asked."""
        content = {"code": code, "reason": REASONS[code]}
        if flow.room_id is not None or flow.other_device is not None:
            self.send(flow, CANCEL, content)
        else:
            self.tell_devices(flow, flow.asked, code)

    def tell_devices(self, flow: Flow, devices: Iterable[str], code: str) -> None:
        """Cancels for these devices of the other user only."""
        content = self.addressed(flow, {"code": code, "reason": REASONS[code]})
        messages = dict.fromkeys(devices, content)
        self._outbox.send(CANCEL, {flow.other_user: messages})

    def ask_devices(self, flow: Flow, content: dict[str, Any]) -> None:
        messages = dict.fromkeys(flow.asked, self.addressed(flow, content))
        self._outbox.send(REQUEST, {flow.other_user: messages})
