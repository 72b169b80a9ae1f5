"""The machine: all parts of end-to-end encryption of one device, as steps.

A step is one call. It reads and changes the vault and raises, or returns what came of it; whoever
runs it (`keeper.py`) stores the vault's changes before anything that it returned leaves the
process. Times are milliseconds since 1970.

    to send to a room                         what comes in
    track(members)                            receive_sync(…)
    outgoing(), answered(…)   until fresh     room_state(…), member_left(…)
    claim(members), answered(…)               decrypt(event)
    encrypt(…)                                outgoing(), answered(…)   after every sync
    outgoing(), answered(…)   the keys
    … and the event itself
"""

from collections.abc import Collection, Iterable, Mapping
from functools import singledispatchmethod
from typing import Any

from e2e.client import account, parts
from e2e.client.errors import BadKeys, Forged, MissingRoomKey
from e2e.client.inbound_groups import Decrypted, from_export
from e2e.client.inbox import Inbox
from e2e.client.key_backup import exported
from e2e.client.key_sharing import Audience
from e2e.client.notices import Notice
from e2e.client.olm_events import ENCRYPTED
from e2e.client.primitives import Entropy
from e2e.client.records import THE_ONE, Account, Device, Source, Wedged
from e2e.client.requests import (
    ClaimKeys,
    CreateBackup,
    PutBackupKeys,
    QueryKeys,
    Request,
    SendRoomEvent,
    SendToDevice,
    UploadCrossSigning,
    UploadKeys,
    UploadSignatures,
)
from e2e.client.shapes import members
from e2e.client.signatures import is_signed
from e2e.client.vault import Vault

DUMMY = "m.dummy"


class Machine:
    """vault: what it knows. entropy: for everything that libolm does not make itself."""

    def __init__(
        self, *, vault: Vault, entropy: Entropy, audience: Audience = Audience.CROSS_SIGNED
    ) -> None:
        self._vault = vault
        self._parts = parts.build(vault=vault, entropy=entropy, audience=audience)
        self._inbox = Inbox(vault=vault, parts=self._parts)
        self.trust = self._parts.trust
        self.tracking = self._parts.tracking
        self.identity = self._parts.identity
        self.backup = self._parts.backup
        self.secrets = self._parts.secrets
        self.bundles = self._parts.bundles
        self.verification = self._parts.verification
        self.rooms = self._parts.outbound

    @staticmethod
    def prepare(vault: Vault, *, user_id: str, device_id: str) -> None:
        """Makes the device's keys, if the vault has none.
        Raises BadKeys for a vault of another device.
        """
        found = vault.get(Account, THE_ONE)
        if found is None:
            account.create(vault, user_id=user_id, device_id=device_id)
        elif (found.user_id, found.device_id) != (user_id, device_id):
            raise BadKeys(f"the store is of {found.user_id}'s device {found.device_id}")

    @property
    def device(self) -> Account:
        """Who we are."""
        return self._parts.own.record

    # What comes in

    def receive_sync(
        self,
        *,
        to_device: Iterable[Any] = (),
        changed: Iterable[str] = (),
        left: Iterable[str] = (),
        key_counts: dict[str, int] | None = None,
        unused_fallbacks: list[str] | None = None,
        now_ms: int,
    ) -> list[Notice]:
        """The parts of a sync that are about encryption, but not about rooms."""
        self._parts.tracking.changed(changed)
        self._parts.tracking.left(left)
        self._parts.own.counted(key_counts, unused_fallbacks)
        self._parts.verification.expire(now_ms=now_ms)
        return self._inbox.receive(to_device, now_ms=now_ms)

    def room_state(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> None:
        """A state event that matters for encryption; others are ignored."""
        if event_type == "m.room.encryption":
            self._parts.outbound.encryption_set(room_id, content)
        elif event_type == "m.room.history_visibility":
            visibility = str(content.get("history_visibility"))
            self._parts.outbound.visibility_set(room_id, visibility)

    def member_left(self, room_id: str) -> None:
        """Somebody left, or in a limited sync was seen with another membership than `join`: they
        may have the key, by shared history even after an invitation only.
        """
        self._parts.outbound.discard(room_id)

    def decrypt(self, event: dict[str, Any]) -> Decrypted:
        """A room event. Raises Undecryptable."""
        return self._parts.inbound.decrypt(event)

    def ask_for_key(self, event: dict[str, Any], missing: MissingRoomKey, *, now_ms: int) -> bool:
        """Asks our other devices for the key of an event that could not be read."""
        sender_key = str(event["content"].get("sender_key"))
        return self._parts.requests.ask(
            missing.room_id, missing.session_id, sender_key, now_ms=now_ms
        )

    def ask_again_for_keys(self) -> None:
        """For what our other devices were asked before they could see that this one is verified."""
        self._parts.requests.repeat()

    # What goes out

    def track(self, user_ids: Iterable[str]) -> None:
        """Members of encrypted rooms, and ourselves."""
        self._parts.tracking.track(user_ids)

    def query(self, user_ids: Collection[str] | None = None) -> QueryKeys | None:
        """What must be answered before these users' devices are known."""
        return self._parts.tracking.query(user_ids)

    def claim(self, members: Collection[str], *, now_ms: int) -> ClaimKeys | None:
        """What should be answered before a message to these users is encrypted."""
        return self._parts.sharing.claim(members, now_ms=now_ms)

    def reaches_all(self, members: Collection[str]) -> bool:
        """Whether every device of these users gets the keys of what is sent to them."""
        return not self._parts.sharing.recipients(members).refused

    def encrypt(
        self,
        room_id: str,
        members: Collection[str],
        event_type: str,
        content: Mapping[str, Any],
        *,
        now_ms: int,
    ) -> dict[str, Any]:
        """The content of the `m.room.encrypted` event. The keys for those who lack them wait in
        the outbox, and should go first. members: who should be able to read it.
        Raises NotEncrypted, IdentitiesChanged.
        """
        group = self._parts.sharing.share(room_id, members, now_ms=now_ms)
        return self._parts.outbound.encrypt(room_id, group, event_type, content)

    def outgoing(self, *, now_ms: int) -> list[Request]:
        """Everything that should be sent now, in this order."""
        self._parts.own.make_keys(now_ms=now_ms)
        self._parts.secrets.answer(now_ms=now_ms)
        candidates: list[Request | None] = [
            self._parts.own.upload(),
            self._parts.identity.upload(),
            self._parts.tracking.query(),
            self._claim_for_waiting(now_ms),
            *self._parts.outbox.waiting(),
            self._parts.backup.creation(),
            self._parts.backup.upload(),
        ]
        return [request for request in candidates if request is not None]

    @singledispatchmethod
    def answered(
        self, request: Request, _answer: Mapping[str, Any], *, now_ms: int
    ) -> list[Notice]:
        """Takes the answer of a request. Those that nothing waits for need none."""
        del request, now_ms
        return []

    @answered.register
    def _(self, request: UploadKeys, answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        counts = members(answer.get("one_time_key_counts"))
        self._parts.own.uploaded(request, counts, now_ms=now_ms)
        return []

    @answered.register
    def _(self, request: QueryKeys, answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        del now_ms
        return self._parts.tracking.queried(request, dict(answer))

    @answered.register
    def _(self, request: ClaimKeys, answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        for user_id, device_id in request.devices:
            device = self._parts.tracking.device(user_id, device_id)
            if device is not None:
                self._claimed(device, answer, now_ms)
        return []

    @answered.register
    def _(self, request: SendToDevice, _answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        del now_ms
        self._parts.outbox.sent(request)
        return []

    @answered.register
    def _(self, request: SendRoomEvent, answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        self._parts.outbox.sent(request)
        event_id = str(answer.get("event_id"))
        return self._parts.verification.room_request_sent(request, event_id, now_ms=now_ms)

    @answered.register
    def _(
        self, request: UploadSignatures, _answer: Mapping[str, Any], *, now_ms: int
    ) -> list[Notice]:
        del now_ms
        self._parts.outbox.sent(request)
        return []

    @answered.register
    def _(
        self, _request: UploadCrossSigning, _answer: Mapping[str, Any], *, now_ms: int
    ) -> list[Notice]:
        del now_ms
        self._parts.identity.uploaded()
        return []

    @answered.register
    def _(self, _request: CreateBackup, answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        del now_ms
        self._parts.backup.created(str(answer["version"]))
        return []

    @answered.register
    def _(self, request: PutBackupKeys, _answer: Mapping[str, Any], *, now_ms: int) -> list[Notice]:
        del now_ms
        self._parts.backup.uploaded(request)
        return []

    # Room keys in files

    def export_room_keys(self, room_ids: Iterable[str]) -> list[dict[str, Any]]:
        """`ExportedSessionData` of all sessions of these rooms. Raises NotLoaded."""
        return [
            {
                **exported(group, self._parts.inbound.export(group)),
                "room_id": room_id,
                "session_id": group.session_id,
            }
            for room_id in room_ids
            for group in self._parts.inbound.of_room(room_id)
        ]

    def import_room_keys(self, sessions: Iterable[Any]) -> int:
        """Returns how many were new or better. Raises NotLoaded."""
        imported = 0
        for session in sessions:
            try:
                group = from_export(members(session), source=Source.EXPORT)
            except BadKeys:
                continue
            imported += self._parts.inbound.add(group)
        return imported

    # New sessions

    def _claim_for_waiting(self, now_ms: int) -> ClaimKeys | None:
        """For devices whose sessions broke, and for those that asked for room keys or secrets."""
        devices: set[tuple[str, str]] = set()
        for curve25519, wedged in self._vault.all(Wedged):
            device = self._parts.tracking.device_with_key(wedged.user_id, curve25519)
            if device is not None:
                devices.add((device.user_id, device.device_id))
            elif not self._parts.tracking.user(wedged.user_id).outdated:
                self._vault.delete(Wedged, curve25519)
        for asking in (self._parts.requests.claim(), self._parts.secrets.claim(now_ms=now_ms)):
            devices |= set(asking.devices) if asking is not None else set()
        return ClaimKeys(tuple(sorted(devices))) if devices else None

    def _claimed(self, device: Device, answer: Mapping[str, Any], now_ms: int) -> None:
        try:
            key = _one_time_key(device, answer)
            self._parts.sessions.start(device.curve25519, key, now_ms=now_ms)
        except (BadKeys, Forged):
            self._parts.sessions.had_no_keys(device.curve25519, now_ms=now_ms)
        self._parts.requests.session_made(device)
        if self._vault.get(Wedged, device.curve25519) is not None:
            self._vault.delete(Wedged, device.curve25519)
            self._parts.sessions.renewed(device.curve25519, now_ms=now_ms)
            self._greet(device)

    def _greet(self, device: Device) -> None:
        """Tells the other side of a session that replaces a broken one."""
        if self._parts.sessions.has(device.curve25519):
            content = self._parts.olm_events.encrypt(device, DUMMY, {})
            self._parts.outbox.send(ENCRYPTED, {device.user_id: {device.device_id: content}})


def _one_time_key(device: Device, answer: Mapping[str, Any]) -> str:
    """The claimed key, signed by its device. Raises BadKeys."""
    try:
        keys = answer["one_time_keys"][device.user_id][device.device_id]
        signed = next(
            value for name, value in keys.items() if name.startswith("signed_curve25519:")
        )
        key = signed["key"]
    except (KeyError, TypeError, AttributeError, StopIteration):
        raise BadKeys("the server has no one-time key of the device") from None
    if not is_signed(signed, by=device.user_id, key_name=device.device_id, public=device.ed25519):
        raise BadKeys("a one-time key that its device has not signed")
    return str(key)
