"""To-device messages and signatures that are stored before they are sent.

A key that a peer needs must not be lost in a crash, and a ratchet that has moved on cannot make the
same message again; so the finished message is stored in the step that made it. The server takes a
transaction ID once, so sending again what may have arrived does no harm.
"""

from collections.abc import Mapping
from typing import Any

from e2e.client.primitives import Entropy, random_id
from e2e.client.records import THE_ONE, OutboxCounter, Outgoing
from e2e.client.requests import SendRoomEvent, SendToDevice, UploadSignatures
from e2e.client.vault import Vault

MAX_RECIPIENTS = 100
"""Devices in one request."""

Messages = Mapping[str, Mapping[str, Any]]
"""User ID → device ID → content."""

_SIGNATURES = "signatures"
_TO_DEVICE = "to_device"
_ROOM = "room"

Waiting = SendToDevice | UploadSignatures | SendRoomEvent


class Outbox:
    """First in, first out."""

    def __init__(self, *, vault: Vault, entropy: Entropy) -> None:
        self._vault = vault
        self._entropy = entropy

    def send(self, event_type: str, messages: Messages) -> None:
        """Adds as many requests as their size allows."""
        batch: dict[str, dict[str, Any]] = {}
        size = 0
        for user_id, devices in messages.items():
            for device_id, content in devices.items():
                batch.setdefault(user_id, {})[device_id] = content
                size += 1
                if size == MAX_RECIPIENTS:
                    self._add(_TO_DEVICE, event_type, batch)
                    batch, size = {}, 0
        if batch:
            self._add(_TO_DEVICE, event_type, batch)

    def send_to_room(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        self._add(_ROOM, event_type, {"room_id": room_id, "content": content})

    def upload_signatures(self, body: dict[str, Any]) -> None:
        self._add(_SIGNATURES, "", body)

    def waiting(self) -> list[Waiting]:
        """In the order of sending."""
        return [_request(found) for _, found in self._vault.all(Outgoing)]

    def sent(self, request: Waiting) -> None:
        """The server has taken it."""
        for name, found in self._vault.all(Outgoing):
            if _request(found) == request:
                self._vault.delete(Outgoing, name)
                return

    def _add(self, kind: str, event_type: str, messages: dict[str, Any]) -> None:
        counter = self._vault.get(OutboxCounter, THE_ONE) or OutboxCounter()
        self._vault.put(THE_ONE, OutboxCounter(counter.next_number + 1))
        outgoing = Outgoing(kind, random_id(self._entropy), event_type, messages)
        self._vault.put(f"{counter.next_number:016d}", outgoing)


def _request(found: Outgoing) -> Waiting:
    if found.request == _SIGNATURES:
        return UploadSignatures(found.messages)
    if found.request == _ROOM:
        room_id, content = found.messages["room_id"], found.messages["content"]
        return SendRoomEvent(found.txn_id, room_id, found.event_type, content)
    return SendToDevice(found.txn_id, found.event_type, found.messages)
