"""Megolm sessions that we write with: when they begin, and when they must end.

Source: C-S API v1.19, "m.megolm.v1.aes-sha2" (the four reasons to rotate), "Shareable encryption
sessions", "m.room.encryption".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from e2e.client import libolm as olm
from e2e.client.account import MEGOLM, OwnDevice, pickled, unpickled
from e2e.client.errors import NotEncrypted
from e2e.client.records import OutboundGroup, Room
from e2e.client.vault import Vault
from homeserver.events import canonical_json

DEFAULT_ROTATION_MS = 604_800_000
DEFAULT_ROTATION_MESSAGES = 100
"""The spec's recommendations: a week, a hundred messages."""

MIN_ROTATION_MS = 60_000
"""Whoever may set a room's encryption cannot make every message a new session."""

SHAREABLE = frozenset({"shared", "world_readable"})


class OutboundGroups:
    """One session a room."""

    def __init__(self, *, vault: Vault, own: OwnDevice) -> None:
        self._vault = vault
        self._own = own

    def room(self, room_id: str) -> Room | None:
        return self._vault.get(Room, room_id)

    def encryption_set(self, room_id: str, content: Mapping[str, Any]) -> None:
        """The room's `m.room.encryption`. Once on it stays on, whatever the state says later."""
        known = self.room(room_id)
        if content.get("algorithm") != MEGOLM:
            return
        rotation_ms = _positive(content.get("rotation_period_ms"), DEFAULT_ROTATION_MS)
        messages = _positive(content.get("rotation_period_msgs"), DEFAULT_ROTATION_MESSAGES)
        room = Room(max(rotation_ms, MIN_ROTATION_MS), messages)
        if known is not None:
            room = replace(room, history_visibility=known.history_visibility)
        self._vault.put(room_id, room)

    def visibility_set(self, room_id: str, visibility: str) -> None:
        room = self.room(room_id)
        if room is not None:
            self._vault.put(room_id, replace(room, history_visibility=visibility))

    def current(self, room_id: str) -> OutboundGroup | None:
        return self._vault.get(OutboundGroup, room_id)

    def keep(self, room_id: str, group: OutboundGroup) -> None:
        self._vault.put(room_id, group)

    def discard(self, room_id: str) -> None:
        """The next message begins a new session."""
        if self.current(room_id) is not None:
            self._vault.delete(OutboundGroup, room_id)

    def usable(self, room_id: str, *, now_ms: int) -> OutboundGroup | None:
        """The session, unless age, use, or the room's visibility has ended it.
        Raises NotEncrypted.
        """
        group, room = self.current(room_id), self._encrypted(room_id)
        if group is None:
            return None
        too_old = now_ms - group.created_ms >= room.rotation_ms
        used_up = group.messages >= room.rotation_messages
        shareable = room.history_visibility in SHAREABLE
        return None if too_old or used_up or shareable != group.shared_history else group

    def begin(self, room_id: str, *, now_ms: int) -> tuple[OutboundGroup, str]:
        """A new session, and its key. Raises NotEncrypted."""
        session = olm.OutboundGroupSession()
        shareable = self._encrypted(room_id).history_visibility in SHAREABLE
        group = OutboundGroup(session.id, pickled(session), now_ms, shareable)
        self.keep(room_id, group)
        return group, session.session_key

    def key_now(self, group: OutboundGroup) -> str:
        """The key from the next message on: whoever comes later reads nothing from before."""
        return str(unpickled(olm.OutboundGroupSession, group.pickle).session_key)

    def encrypt(
        self, room_id: str, group: OutboundGroup, event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of the `m.room.encrypted` event. The relation stays readable for servers."""
        session = unpickled(olm.OutboundGroupSession, group.pickle)
        payload = {"type": event_type, "content": content, "room_id": room_id}
        ciphertext = session.encrypt(canonical_json.encode(payload).decode())
        self.keep(room_id, replace(group, pickle=pickled(session), messages=group.messages + 1))
        record = self._own.record
        encrypted = {
            "algorithm": MEGOLM,
            "sender_key": record.curve25519,
            "device_id": record.device_id,
            "session_id": group.session_id,
            "ciphertext": ciphertext,
        }
        relation = content.get("m.relates_to")
        return encrypted if relation is None else {**encrypted, "m.relates_to": relation}

    def _encrypted(self, room_id: str) -> Room:
        room = self.room(room_id)
        if room is None:
            raise NotEncrypted(f"{room_id} is not encrypted")
        return room


def _positive(value: Any, default: int) -> int:
    valid = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if valid else default
