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
from e2e.client.outbox import Outbox
from e2e.client.records import Bundle, Device, Source
from e2e.client.requests import ClaimKeys
from e2e.client.sessions import OlmSessions
from e2e.client.vault import Vault

TYPE = "m.room_key_bundle"

RECENT_MS = 24 * 3_600_000
"""How long a bundle waits for the join; the spec's recommendation."""

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
        us fetch anything. Raises BadKeys where the sender did not show whose device it is.
        """
        room_id, file = event.content.get("room_id"), event.content.get("file")
        if event.device is None or not event.device.cross_signed:
            raise BadKeys("shared history from a device that its user has not signed")
        if not isinstance(room_id, str) or not isinstance(file, dict):
            raise BadKeys("shared history without a room or a file")
        self._forget_old(now_ms)
        self._vault.put(_name(room_id, event.sender), Bundle(room_id, event.sender, file, now_ms))
        return [BundleArrived(room_id, event.sender)]

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
