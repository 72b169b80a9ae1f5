"""To-device messages that a sync brought.

Source: C-S API v1.19, "Send-to-Device messaging" (unknown types are ignored), "m.room_key",
"m.room_key.withheld", "Recovering from undecryptable messages".
"""

from collections.abc import Callable, Iterable
from typing import Any

from e2e.client.account import MEGOLM
from e2e.client.errors import CryptoError, MissingOlmSession
from e2e.client.inbound_groups import from_room_key
from e2e.client.key_backup import SECRET as BACKUP_SECRET
from e2e.client.key_bundles import TYPE as BUNDLE
from e2e.client.key_bundles import UNSTABLE_TYPE as UNSTABLE_BUNDLE
from e2e.client.key_requests import REQUEST as KEY_REQUEST
from e2e.client.key_sharing import NO_OLM, WITHHELD
from e2e.client.notices import Notice, RoomKeyArrived, RoomKeyWithheld, ToDeviceRefused
from e2e.client.olm_events import ENCRYPTED, OlmEvent
from e2e.client.parts import Parts
from e2e.client.records import Note, Wedged, Withheld
from e2e.client.secret_sharing import REQUEST as SECRET_REQUEST
from e2e.client.secret_sharing import SEND as SECRET_SEND
from e2e.client.vault import Key, NotLoaded, Vault
from e2e.client.verification.messages import PREFIX as VERIFICATION

MAX_WITHHELD = 1_000
"""Sessions of which we remember why we do not get them; the oldest are forgotten first."""

MAX_WEDGED = 100
"""Devices that wait for a new session at a time."""

BACKUP_KEY_NOTE = "backup-key"
"""The note with a backup's private key that another device of ours sent."""


class Inbox:
    """Takes each message in order; one that is bad is refused alone."""

    def __init__(self, *, vault: Vault, parts: Parts) -> None:
        self._vault = vault
        self._parts = parts

    def receive(self, events: Iterable[Any], *, now_ms: int) -> list[Notice]:
        """Raises NotLoaded with everything that all of them need."""
        notices: list[Notice] = []
        needed: set[Key] = set()
        for event in events:
            try:
                notices += self._one(event, now_ms)
            except NotLoaded as need:
                needed |= need.keys
            except CryptoError as error:
                notices.append(ToDeviceRefused(str(event.get("sender")), str(error)))
        if needed:
            raise NotLoaded(needed)
        return notices

    def _one(self, event: Any, now_ms: int) -> list[Notice]:
        if not isinstance(event, dict) or not isinstance(event.get("content"), dict):
            return []
        sender, event_type, content = str(event.get("sender")), event.get("type"), event["content"]
        if event_type == ENCRYPTED:
            return self._encrypted(event, now_ms)
        if event_type == KEY_REQUEST:
            self._parts.requests.answer(sender, content)
        elif event_type == SECRET_REQUEST:
            self._parts.secrets.asked(sender, content, now_ms=now_ms)
        elif event_type == WITHHELD:
            return self._withheld(sender, content, now_ms)
        elif isinstance(event_type, str) and event_type.startswith(VERIFICATION):
            return self._parts.verification.to_device(sender, event_type, content, now_ms=now_ms)
        return []

    def _encrypted(self, event: dict[str, Any], now_ms: int) -> list[Notice]:
        try:
            inner = self._parts.olm_events.decrypt(event, now_ms=now_ms)
        except MissingOlmSession:
            self._wedged(str(event.get("sender")), str(event["content"].get("sender_key")), now_ms)
            raise
        if inner.type.startswith(VERIFICATION):
            return self._parts.verification.to_device(
                inner.sender, inner.type, inner.content, now_ms=now_ms
            )

        def bundle(found: OlmEvent) -> list[Notice]:
            return self._parts.bundles.received(found, now_ms=now_ms)

        handlers: dict[str, Callable[[OlmEvent], list[Notice]]] = {
            "m.room_key": self._room_key,
            "m.forwarded_room_key": self._parts.requests.accept,
            SECRET_SEND: self._secret,
            BUNDLE: bundle,
            UNSTABLE_BUNDLE: bundle,
        }
        handler = handlers.get(inner.type)
        return [] if handler is None else handler(inner)

    def _room_key(self, event: OlmEvent) -> list[Notice]:
        group = from_room_key(
            event.content,
            sender=event.sender,
            sender_key=event.sender_key,
            sender_ed25519=event.sender_ed25519,
        )
        if not self._parts.inbound.add(group):
            return []
        self._parts.requests.settled(group.session_id)
        return [RoomKeyArrived(group.room_id, group.session_id)]

    def _secret(self, event: OlmEvent) -> list[Notice]:
        name, value, notices = self._parts.secrets.accept(event)
        if name == BACKUP_SECRET:
            self._vault.put(BACKUP_KEY_NOTE, Note(value))
        return notices

    def _withheld(self, sender: str, content: dict[str, Any], now_ms: int) -> list[Notice]:
        code = str(content.get("code"))
        if content.get("algorithm") != MEGOLM:
            return []
        if code == NO_OLM:
            # "the recipient may start an olm session with the sender and send an m.dummy"
            self._wedged(sender, str(content.get("sender_key")), now_ms)
            return [RoomKeyWithheld(sender, None, None, code)]
        room_id, session_id = str(content.get("room_id")), str(content.get("session_id"))
        if self._parts.inbound.get(session_id) is not None:
            return []
        if sender == self._parts.own.record.user_id:
            self._parts.requests.refused(session_id)
        self._make_room()
        self._vault.put(session_id, Withheld(room_id, code, now_ms))
        return [RoomKeyWithheld(sender, room_id, session_id, code)]

    def _wedged(self, user_id: str, curve25519: str, now_ms: int) -> None:
        """A new session will be made, unless one was within the last hour."""
        is_known = self._vault.get(Wedged, curve25519) is not None
        may_renew = self._parts.sessions.may_renew(curve25519, now_ms=now_ms)
        if is_known or not may_renew or len(list(self._vault.all(Wedged))) >= MAX_WEDGED:
            return
        self._vault.put(curve25519, Wedged(user_id))
        if self._parts.tracking.device_with_key(user_id, curve25519) is None:
            self._parts.tracking.track([user_id])

    def _make_room(self) -> None:
        known = list(self._vault.all(Withheld))
        if len(known) >= MAX_WITHHELD:
            oldest = min(known, key=lambda found: found[1].at_ms)
            self._vault.delete(Withheld, oldest[0])
