"""The readable history of a room, shared with somebody whom we invite.

Source: C-S API v1.19, "Sharing keys between users".
"""

from collections.abc import Mapping
from typing import Any

from e2e.client.account import MEGOLM
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys
from e2e.client.inbound_groups import InboundGroups, from_export
from e2e.client.key_backup import exported
from e2e.client.notices import BundleArrived, Notice, RoomKeyArrived
from e2e.client.olm_events import ENCRYPTED, OlmEvent, OlmEvents
from e2e.client.outbound_groups import SHAREABLE
from e2e.client.outbox import Outbox
from e2e.client.records import Accepted, Bundle, Device, Room, Source
from e2e.client.requests import ClaimKeys
from e2e.client.sessions import OlmSessions
from e2e.client.vault import Vault

TYPE = "m.room_key_bundle"
UNSTABLE_TYPE = "io.element.msc4268.room_key_bundle"
"""What clients of before v1.19 send."""

RECENT_MS = 24 * 3_600_000
"""How long a bundle waits for the join, and a join for the bundle; the spec's recommendation."""

MAX_BUNDLES = 100
"""That wait; strangers send them."""

NOT_SHARED = "m.history_not_shared"


class KeyBundles:
    """Both sides. The file itself is an attachment (`attachments.py`), which the client moves."""

    def __init__(
        self,
        *,
        vault: Vault,
        tracking: DeviceTracking,
        sessions: OlmSessions,
        olm_events: OlmEvents,
        inbound: InboundGroups,
        outbox: Outbox,
    ) -> None:
        self._vault = vault
        self._tracking = tracking
        self._sessions = sessions
        self._olm_events = olm_events
        self._inbound = inbound
        self._outbox = outbox

    def may_share(self, room_id: str, user_id: str) -> bool:
        """Whether the room's history is for newcomers, and somebody is there to get it."""
        room = self._vault.get(Room, room_id)
        is_shared = room is not None and room.history_visibility in SHAREABLE
        return is_shared and bool(self._devices(user_id))

    def build(self, room_id: str) -> dict[str, Any]:
        """The `RoomKeyBundle`: what was shareable when it was said; the rest is named as not
        shared. Raises NotLoaded.
        """
        room_keys: list[dict[str, Any]] = []
        withheld: list[dict[str, Any]] = []
        for group in self._inbound.of_room(room_id):
            place = {"room_id": room_id, "session_id": group.session_id}
            if group.shared_history:
                session = exported(group, self._inbound.export(group))
                del session["forwarding_curve25519_key_chain"], session["shared_history"]
                room_keys.append({**session, **place})
            else:
                code = {"code": NOT_SHARED, "reason": "History not shared"}
                owner = {"algorithm": MEGOLM, "sender_key": group.sender_key}
                withheld.append({**owner, **place, **code})
        return {"room_keys": room_keys, "withheld": withheld}

    def claim(self, user_id: str) -> ClaimKeys | None:
        """One-time keys of the devices that the bundle is for."""
        lacking = [d for d in self._devices(user_id) if not self._sessions.has(d.curve25519)]
        return ClaimKeys(tuple((user_id, d.device_id) for d in lacking)) if lacking else None

    def share(self, user_id: str, room_id: str, file: dict[str, Any]) -> int:
        """Tells the cross-signed devices of the invited user where it is. Returns how many."""
        content = {"room_id": room_id, "file": file}
        messages = {
            device.device_id: self._olm_events.encrypt(device, TYPE, content)
            for device in self._devices(user_id)
            if self._sessions.has(device.curve25519)
        }
        self._outbox.send(ENCRYPTED, {user_id: messages})
        return len(messages)

    def received(self, event: OlmEvent, *, now_ms: int) -> list[Notice]:
        """An `m.room_key_bundle`. Kept until we join; a download before would let strangers make
        us fetch anything. Raises BadKeys where we know that the sender's user has not signed the
        device; of a stranger, that is seen later.
        """
        room_id, file = event.content.get("room_id"), event.content.get("file")
        if not isinstance(room_id, str) or not isinstance(file, dict):
            raise BadKeys("shared history without a room or a file")
        bundle = Bundle(room_id, event.sender, file, now_ms, event.sender_key)
        if self._is_known(event.sender) and not self._is_signed(bundle):
            raise BadKeys("shared history from a device that its user has not signed")
        self._tracking.track([event.sender])
        self._forget_old(now_ms)
        self._vault.put(_name(room_id, event.sender), bundle)
        return [BundleArrived(room_id, event.sender)]

    def accepted(self, room_id: str, inviter: str, *, now_ms: int) -> None:
        """We join, as that user asked us to: their bundle may be here, or come yet."""
        for name, known in list(self._vault.all(Accepted)):
            if now_ms - known.at_ms >= RECENT_MS:
                self._vault.delete(Accepted, name)
        self._vault.put(room_id, Accepted(inviter, now_ms))

    def inviters(self, *, now_ms: int) -> list[str]:
        """Whose devices must be known before their bundles can be taken."""
        return [bundle.sender for bundle in self._joined(now_ms)]

    def due(self, *, now_ms: int) -> list[Bundle]:
        """What should be downloaded now: of devices that their users have signed. Others' are
        forgotten.
        """
        known = [bundle for bundle in self._joined(now_ms) if self._is_known(bundle.sender)]
        for bundle in known:
            if not self._is_signed(bundle):
                self.dropped(bundle)
        return [bundle for bundle in known if self._is_signed(bundle)]

    def waiting(self, room_id: str, inviter: str, *, now_ms: int) -> Bundle | None:
        """What to download after we accepted that user's invitation."""
        bundle = self._vault.get(Bundle, _name(room_id, inviter))
        is_recent = bundle is not None and now_ms - bundle.received_ms < RECENT_MS
        return bundle if is_recent else None

    def take(self, bundle: Bundle, content: Mapping[str, Any]) -> list[Notice]:
        """The decrypted file. Keys of other rooms are ignored. Raises NotLoaded."""
        notices: list[Notice] = []
        keys = content.get("room_keys")
        for session in keys if isinstance(keys, list) else []:
            if not isinstance(session, dict) or session.get("room_id") != bundle.room_id:
                continue
            try:
                group = from_export(
                    session, source=Source.BUNDLE, shared_by=bundle.sender, shared_history=True
                )
            except BadKeys:
                continue
            if self._inbound.add(group):
                notices.append(RoomKeyArrived(group.room_id, group.session_id))
        self.dropped(bundle)
        return notices

    def dropped(self, bundle: Bundle) -> None:
        """It was taken, or cannot be had any more."""
        self._vault.delete(Bundle, _name(bundle.room_id, bundle.sender))

    def _joined(self, now_ms: int) -> list[Bundle]:
        """Of rooms where we accepted the sender's invitation not long ago."""
        recent = [
            (room_id, accepted.inviter)
            for room_id, accepted in self._vault.all(Accepted)
            if now_ms - accepted.at_ms < RECENT_MS
        ]
        found = (self.waiting(room_id, inviter, now_ms=now_ms) for room_id, inviter in recent)
        return [bundle for bundle in found if bundle is not None]

    def _is_known(self, user_id: str) -> bool:
        """Whether their devices are as the server told just now."""
        user = self._tracking.user(user_id)
        return user.tracked and not user.outdated

    def _is_signed(self, bundle: Bundle) -> bool:
        device = self._tracking.device_with_key(bundle.sender, bundle.sender_key)
        return device is not None and device.cross_signed

    def _devices(self, user_id: str) -> list[Device]:
        """Clients must not send it to devices that their owner has not signed."""
        devices = self._tracking.user(user_id).devices.values()
        return [device for device in devices if device.cross_signed]

    def _forget_old(self, now_ms: int) -> None:
        waiting = sorted(self._vault.all(Bundle), key=lambda found: found[1].received_ms)
        too_many = max(len(waiting) - MAX_BUNDLES + 1, 0)
        for at, (name, bundle) in enumerate(waiting):
            if at < too_many or now_ms - bundle.received_ms >= RECENT_MS:
                self._vault.delete(Bundle, name)


def _name(room_id: str, sender: str) -> str:
    return f"{room_id}|{sender}"
