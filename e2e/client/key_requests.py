"""Asking our other devices for room keys, and answering them.

Source: C-S API v1.19, "Key requests": keys are only sent to, and only accepted from, verified
devices of the same user, and only such as were asked for.
"""

from dataclasses import dataclass, replace
from typing import Any

from e2e.client.account import MEGOLM, OwnDevice
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys
from e2e.client.inbound_groups import InboundGroups, from_export
from e2e.client.key_sharing import UNAVAILABLE, KeySharing
from e2e.client.notices import Notice, RoomKeyArrived
from e2e.client.olm_events import ENCRYPTED, OlmEvent, OlmEvents
from e2e.client.outbox import Outbox
from e2e.client.primitives import Entropy, random_id
from e2e.client.records import Device, InboundGroup, KeyRequest, Source
from e2e.client.requests import ClaimKeys
from e2e.client.sessions import OlmSessions
from e2e.client.trust import Trust, TrustBook
from e2e.client.vault import Vault

REQUEST = "m.room_key_request"

MAX_REQUESTS = 500
"""Open ones; whoever shows us events of sessions that do not exist cannot make us keep more."""

MAX_POSTPONED = 200
"""Requests that wait for an Olm session with the device that asks."""


@dataclass(frozen=True, slots=True)
class _Asked:
    device: Device
    room_id: str
    session_id: str


class KeyRequests:
    """Both sides."""

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
        inbound: InboundGroups,
        sharing: KeySharing,
        outbox: Outbox,
    ) -> None:
        self._vault = vault
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._sessions = sessions
        self._olm_events = olm_events
        self._inbound = inbound
        self._sharing = sharing
        self._outbox = outbox
        self._postponed: dict[tuple[str, str], _Asked] = {}

    def ask(self, room_id: str, session_id: str, sender_key: str, *, now_ms: int) -> bool:
        """Asks all our other devices once, and again after one has refused. Whether a request went
        out.
        """
        known = self._vault.get(KeyRequest, session_id)
        if known is not None and known.refused:
            self._vault.put(session_id, replace(known, refused=False))
            self._send(session_id, known)
            return True
        if known is not None or not self._has_others():
            return False
        self._make_room()
        request = KeyRequest(random_id(self._entropy), room_id, sender_key, now_ms)
        self._vault.put(session_id, request)
        self._send(session_id, request)
        return True

    def repeat(self) -> None:
        """Asks again for what is still missing: now others may see that we are verified. Raises
        NotLoaded.
        """
        missing = list(self._vault.all(KeyRequest))
        self._vault.need(InboundGroup, [session_id for session_id, _ in missing])
        for session_id, request in missing:
            group = self._inbound.get(session_id)
            if group is None or group.first_index > 0:
                self._send(session_id, request)
            else:
                self.settled(session_id)

    def refused(self, session_id: str) -> None:
        """By one of our devices; another may still have it."""
        request = self._vault.get(KeyRequest, session_id)
        if request is not None:
            self._vault.put(session_id, replace(request, refused=True))

    def settled(self, session_id: str) -> None:
        """The key came, from wherever."""
        request = self._vault.get(KeyRequest, session_id)
        if request is not None:
            self._vault.delete(KeyRequest, session_id)
            self._tell_others(self._action(request.request_id, "request_cancellation"))

    def accept(self, event: OlmEvent) -> list[Notice]:
        """An `m.forwarded_room_key`. Raises BadKeys for one that was not asked for, or that does
        not come from a verified device of ours.
        """
        session_id = str(event.content.get("session_id"))
        request = self._vault.get(KeyRequest, session_id)
        if request is None or event.content.get("room_id") != request.room_id:
            raise BadKeys("a forwarded room key that nobody asked for")
        if not self._is_verified_own(event.device):
            raise BadKeys("a forwarded room key from a device that is not a verified one of ours")
        group = from_export(
            event.content,
            source=Source.FORWARDED,
            shared_by=event.sender,
            forwarded_by=event.sender_key,
            shared_history=False,
        )
        added = self._inbound.add(group)
        self.settled(session_id)
        return [RoomKeyArrived(group.room_id, session_id)] if added else []

    def answer(self, sender: str, content: dict[str, Any]) -> None:
        """An `m.room_key_request`. Strangers get no answer at all: one would tell them that the
        device is there.
        """
        device = self._asking(sender, content)
        request_id, body = str(content.get("request_id")), content.get("body")
        if device is None:
            return
        if content.get("action") == "request_cancellation":
            self._postponed.pop((device.device_id, request_id), None)
        elif content.get("action") == "request" and isinstance(body, dict):
            asked = _Asked(device, str(body.get("room_id")), str(body.get("session_id")))
            self._answer(request_id, asked)

    def claim(self) -> ClaimKeys | None:
        """One-time keys for devices that wait for an answer and have no session with us."""
        devices = {(a.device.user_id, a.device.device_id) for a in self._postponed.values()}
        return ClaimKeys(tuple(sorted(devices))) if devices else None

    def session_made(self, device: Device) -> None:
        """What waited for it is answered; without a session after all, forgotten."""
        waiting = [key for key in self._postponed if key[0] == device.device_id]
        for key in waiting:
            asked = self._postponed.pop(key)
            if self._sessions.has(device.curve25519):
                self._answer(key[1], asked)

    def _answer(self, request_id: str, asked: _Asked) -> None:
        group = self._inbound.get(asked.session_id)
        if group is None or group.room_id != asked.room_id:
            self._sharing.tell_withheld(asked.device, asked.room_id, asked.session_id, UNAVAILABLE)
        elif self._sessions.has(asked.device.curve25519):
            self._forward(asked.device, group)
        elif len(self._postponed) < MAX_POSTPONED:
            self._postponed[asked.device.device_id, request_id] = asked

    def _send(self, session_id: str, request: KeyRequest) -> None:
        body = {
            "algorithm": MEGOLM,
            "room_id": request.room_id,
            "sender_key": request.sender_key,
            "session_id": session_id,
        }
        self._tell_others({**self._action(request.request_id, "request"), "body": body})

    def _forward(self, device: Device, group: InboundGroup) -> None:
        content = {
            "algorithm": MEGOLM,
            "room_id": group.room_id,
            "sender_key": group.sender_key,
            "session_id": group.session_id,
            "session_key": self._inbound.export(group),
            "sender_claimed_ed25519_key": group.sender_ed25519,
            "forwarding_curve25519_key_chain": list(group.forwarding_chain),
        }
        encrypted = self._olm_events.encrypt(device, "m.forwarded_room_key", content)
        self._outbox.send(ENCRYPTED, {device.user_id: {device.device_id: encrypted}})

    def _asking(self, sender: str, content: dict[str, Any]) -> Device | None:
        own = self._own.record
        device_id = content.get("requesting_device_id")
        if sender != own.user_id or not isinstance(device_id, str) or device_id == own.device_id:
            return None
        device = self._tracking.device(sender, device_id)
        return device if self._is_verified_own(device) else None

    def _is_verified_own(self, device: Device | None) -> bool:
        if device is None or device.user_id != self._own.record.user_id:
            return False
        return self._trust.of_device(device) is Trust.VERIFIED

    def _has_others(self) -> bool:
        record = self._own.record
        return bool(set(self._tracking.user(record.user_id).devices) - {record.device_id})

    def _tell_others(self, content: dict[str, Any]) -> None:
        self._outbox.send(REQUEST, {self._own.record.user_id: {"*": content}})

    def _action(self, request_id: str, action: str) -> dict[str, Any]:
        return {
            "action": action,
            "requesting_device_id": self._own.record.device_id,
            "request_id": request_id,
        }

    def _make_room(self) -> None:
        """Of too many open requests the oldest is given up."""
        open_ones = list(self._vault.all(KeyRequest))
        if len(open_ones) >= MAX_REQUESTS:
            oldest = min(open_ones, key=lambda found: found[1].at_ms)
            self._vault.delete(KeyRequest, oldest[0])
