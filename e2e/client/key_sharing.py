"""Who gets the key of a room, and who is told why not.

Source: C-S API v1.19, "m.megolm.v1.aes-sha2", "Recommended client behaviour", "Reporting that
decryption keys are withheld", "m.room_key.withheld".
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from e2e.client.account import MEGOLM, OLM, OwnDevice
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import IdentitiesChanged
from e2e.client.inbound_groups import InboundGroups, from_room_key
from e2e.client.olm_events import ENCRYPTED, OlmEvents
from e2e.client.outbound_groups import OutboundGroups
from e2e.client.outbox import Outbox
from e2e.client.records import Device, OutboundGroup
from e2e.client.requests import ClaimKeys
from e2e.client.sessions import OlmSessions
from e2e.client.trust import Trust, TrustBook

BLACKLISTED = "m.blacklisted"
UNVERIFIED = "m.unverified"
NO_OLM = "m.no_olm"
UNAUTHORISED = "m.unauthorised"
UNAVAILABLE = "m.unavailable"

WITHHELD = "m.room_key.withheld"

REASONS = {
    BLACKLISTED: "The sender has blocked this device.",
    UNVERIFIED: "The sender shares keys with verified devices only.",
    NO_OLM: "No secure channel to this device could be made.",
    UNAUTHORISED: "This device may not have the key.",
    UNAVAILABLE: "This device does not have the key.",
}


class Audience(StrEnum):
    """Which devices of a room's members get keys. Blocked ones never do."""

    ALL = "all"
    """All: also what only the server says to be theirs."""
    CROSS_SIGNED = "cross-signed"
    """Those that their users' identities have signed: the spec's recommendation."""
    VERIFIED = "verified"
    """Those that we, or an identity that we verified, have signed."""


_ENOUGH = {
    Audience.ALL: frozenset(Trust) - {Trust.BLOCKED},
    Audience.CROSS_SIGNED: frozenset({Trust.VERIFIED, Trust.CROSS_SIGNED}),
    Audience.VERIFIED: frozenset({Trust.VERIFIED}),
}


@dataclass(frozen=True, slots=True)
class Recipients:
    """Devices that get the key, and those that do not, with the code that says why."""

    allowed: tuple[Device, ...]
    refused: tuple[tuple[Device, str], ...]


class KeySharing:
    """audience: for all rooms of this machine."""

    def __init__(
        self,
        *,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        sessions: OlmSessions,
        olm_events: OlmEvents,
        outbound: OutboundGroups,
        inbound: InboundGroups,
        outbox: Outbox,
        audience: Audience,
    ) -> None:
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._sessions = sessions
        self._olm_events = olm_events
        self._outbound = outbound
        self._inbound = inbound
        self._outbox = outbox
        self._audience = audience

    def recipients(self, members: Collection[str]) -> Recipients:
        """All devices of these users but our own one, by what is known of them now."""
        enough = _ENOUGH[self._audience]
        allowed: list[Device] = []
        refused: list[tuple[Device, str]] = []
        for device in self._devices(members):
            trust = self._trust.of_device(device)
            if trust in enough:
                allowed.append(device)
            else:
                code = BLACKLISTED if trust is Trust.BLOCKED else UNVERIFIED
                refused.append((device, code))
        return Recipients(tuple(allowed), tuple(refused))

    def claim(self, members: Collection[str], *, now_ms: int) -> ClaimKeys | None:
        """One-time keys of those recipients with whom there is no session yet."""
        devices = self.recipients(members).allowed
        may_claim = self._sessions.may_claim
        lacking = [device for device in devices if may_claim(device.curve25519, now_ms=now_ms)]
        return ClaimKeys(tuple((d.user_id, d.device_id) for d in lacking)) if lacking else None

    def share(self, room_id: str, members: Collection[str], *, now_ms: int) -> OutboundGroup:
        """The session for the next message, after everybody who should have its key has it (in
        the outbox). Members without a session by now are told `m.no_olm`.
        Raises NotEncrypted, IdentitiesChanged.
        """
        changed = [user_id for user_id in members if self._trust.has_changed(user_id)]
        if changed:
            raise IdentitiesChanged(changed)
        recipients = self.recipients(members)
        group = self._outbound.usable(room_id, now_ms=now_ms)
        if group is None or not _all_belong(group, recipients):
            group = self._begin(room_id, now_ms=now_ms)
        group = self._give(room_id, group, recipients)
        group = self._refuse(room_id, group, recipients)
        self._outbound.keep(room_id, group)
        return group

    def tell_withheld(self, device: Device, room_id: str, session_id: str, code: str) -> None:
        """Why one device does not get one key."""
        content = self._withheld(room_id, session_id, code)
        self._outbox.send(WITHHELD, {device.user_id: {device.device_id: content}})

    def _devices(self, members: Collection[str]) -> Iterator[Device]:
        own = self._own.record
        for user_id in members:
            for device in self._tracking.user(user_id).devices.values():
                is_ours = (user_id, device.device_id) == (own.user_id, own.device_id)
                if not is_ours and {OLM, MEGOLM} <= set(device.algorithms):
                    yield device

    def _begin(self, room_id: str, *, now_ms: int) -> OutboundGroup:
        """A new session, which this device can read as well."""
        group, key = self._outbound.begin(room_id, now_ms=now_ms)
        own = self._own.record
        content = _room_key(room_id, group, key)
        self._inbound.add_new(
            from_room_key(
                content,
                sender=own.user_id,
                sender_key=own.curve25519,
                sender_ed25519=own.ed25519,
            )
        )
        return group

    def _give(self, room_id: str, group: OutboundGroup, recipients: Recipients) -> OutboundGroup:
        content = _room_key(room_id, group, self._outbound.key_now(group))
        messages: dict[str, dict[str, Any]] = {}
        shared = {user_id: dict(devices) for user_id, devices in group.shared_with.items()}
        for device in recipients.allowed:
            known = shared.setdefault(device.user_id, {})
            if known.get(device.device_id) == device.curve25519:
                continue
            if self._sessions.has(device.curve25519):
                encrypted = self._olm_events.encrypt(device, "m.room_key", content)
                messages.setdefault(device.user_id, {})[device.device_id] = encrypted
                known[device.device_id] = device.curve25519
        self._outbox.send(ENCRYPTED, messages)
        return replace(group, shared_with=shared)

    def _refuse(self, room_id: str, group: OutboundGroup, recipients: Recipients) -> OutboundGroup:
        """Tells each device once a session. No session with Olm is told once for all rooms."""
        messages: dict[str, dict[str, Any]] = {}
        told = {user_id: dict(devices) for user_id, devices in group.withheld.items()}
        for device, code in recipients.refused:
            known = told.setdefault(device.user_id, {})
            if known.get(device.device_id) != code:
                known[device.device_id] = code
                content = self._withheld(room_id, group.session_id, code)
                messages.setdefault(device.user_id, {})[device.device_id] = content
        for device in recipients.allowed:
            unreachable = not self._sessions.has(device.curve25519)
            if unreachable and self._sessions.tell_no_olm(device.curve25519):
                content = self._withheld(None, None, NO_OLM)
                messages.setdefault(device.user_id, {})[device.device_id] = content
        self._outbox.send(WITHHELD, messages)
        return replace(group, withheld=told)

    def _withheld(self, room_id: str | None, session_id: str | None, code: str) -> dict[str, Any]:
        content = {
            "algorithm": MEGOLM,
            "sender_key": self._own.record.curve25519,
            "code": code,
            "reason": REASONS[code],
        }
        if room_id is not None:
            content |= {"room_id": room_id, "session_id": str(session_id)}
        return content


def _room_key(room_id: str, group: OutboundGroup, key: str) -> dict[str, Any]:
    return {
        "algorithm": MEGOLM,
        "room_id": room_id,
        "session_id": group.session_id,
        "session_key": key,
        "shared_history": group.shared_history,
    }


def _all_belong(group: OutboundGroup, recipients: Recipients) -> bool:
    """Whether everybody who has the key should still have it: users or devices that left, and
    devices that were blocked since, end the session.
    """
    allowed = {(d.user_id, d.device_id): d.curve25519 for d in recipients.allowed}
    return all(
        allowed.get((user_id, device_id)) == key
        for user_id, devices in group.shared_with.items()
        for device_id, key in devices.items()
    )
