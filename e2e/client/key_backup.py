"""Room keys on the server, encrypted to a key that we keep.

Source: C-S API v1.19, "Server-side key backups", "m.megolm_backup.v1.curve25519-aes-sha2".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from e2e.client.account import MEGOLM, OwnDevice
from e2e.client.cross_signing import OwnIdentity
from e2e.client.device_keys import master_of
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys, BadSecret
from e2e.client.inbound_groups import InboundGroups, from_export
from e2e.client.primitives import (
    BLOCK_BYTES,
    KEY_BYTES,
    Entropy,
    aes_cbc_decrypt,
    aes_cbc_encrypt,
    hkdf_sha256,
    hmac_sha256,
    same,
    x25519,
    x25519_public,
)
from e2e.client.records import (
    THE_ONE,
    Backup,
    InboundGroup,
    Room,
    RoomSessions,
    Source,
    ToBackUp,
)
from e2e.client.requests import CreateBackup, PutBackupKeys
from e2e.client.signatures import is_signed, signed_with, signing_key
from e2e.client.trust import Trust, TrustBook
from e2e.client.vault import Vault
from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
SECRET = "m.megolm_backup.v1"  # noqa: S105 - the name of a secret

MAX_SESSIONS_OF_A_REQUEST = 100

_MAC_BYTES = 8


def encrypt(public_key: str, session: Mapping[str, Any], entropy: Entropy) -> dict[str, str]:
    """The `session_data` of a session. Raises BadKeys."""
    private = entropy(KEY_BYTES)
    aes_key, mac_key, iv = _keys(x25519(private, _key_bytes(public_key)))
    ciphertext = aes_cbc_encrypt(aes_key, iv, canonical_json.encode(session))
    # Step 5: the MAC is that of nothing, as libolm once got it wrong.
    mac = hmac_sha256(mac_key, b"")[:_MAC_BYTES]
    return {
        "ephemeral": base64.encode(x25519_public(private)),
        "ciphertext": base64.encode(ciphertext),
        "mac": base64.encode(mac),
    }


def decrypt(private_key: bytes, data: Any) -> dict[str, Any]:
    """The session. Raises BadSecret for another key's or damaged data."""
    try:
        ephemeral, ciphertext, mac = (
            base64.decode(data[part]) for part in ("ephemeral", "ciphertext", "mac")
        )
        aes_key, mac_key, iv = _keys(x25519(private_key, ephemeral))
        if not same(mac, hmac_sha256(mac_key, b"")[:_MAC_BYTES]):
            raise BadSecret("a session of the backup is of another key")
        session = canonical_json.decode(aes_cbc_decrypt(aes_key, iv, ciphertext))
    except (KeyError, TypeError, AttributeError, ValueError, InvalidInput, BadKeys):
        raise BadSecret("a session of the backup is damaged") from None
    if not isinstance(session, dict):
        raise BadSecret("a session of the backup is damaged")
    return session


class KeyBackup:
    """The backup that this device writes to, if any."""

    def __init__(
        self,
        *,
        vault: Vault,
        entropy: Entropy,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        identity: OwnIdentity,
        inbound: InboundGroups,
    ) -> None:
        self._vault = vault
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._identity = identity
        self._inbound = inbound

    @property
    def current(self) -> Backup | None:
        return self._vault.get(Backup, THE_ONE)

    def create(self) -> bytes:
        """A new version, which waits in `creation()`. Returns its private key. Raises NotLoaded."""
        self._enqueue_all()
        private = self._entropy(KEY_BYTES)
        public = base64.encode(x25519_public(private))
        auth_data = self._signed({"public_key": public})
        self._vault.put(
            THE_ONE,
            Backup(
                public_key=public,
                private_key=base64.encode(private),
                wanted={"algorithm": ALGORITHM, "auth_data": auth_data},
            ),
        )
        return private

    def creation(self) -> CreateBackup | None:
        backup = self.current
        return CreateBackup(backup.wanted) if backup is not None and backup.wanted else None

    def created(self, version: str) -> None:
        backup = self.current
        assert backup is not None
        self._vault.put(THE_ONE, replace(backup, version=version, wanted=None))

    def adopt(self, description: Mapping[str, Any], private_key: bytes | None = None) -> None:
        """Writes from now on to the version that the server has. description: the answer of
        `GET /room_keys/version`. private_key: from a trusted source. Without it the version must be
        signed by our identity or by a verified device of ours.
        Raises BadSecret, BadKeys, NotLoaded.
        """
        auth_data = description.get("auth_data")
        if description.get("algorithm") != ALGORITHM or not isinstance(auth_data, Mapping):
            raise BadKeys("the backup is of an algorithm that we do not know")
        public = str(auth_data.get("public_key"))
        if private_key is not None and base64.encode(x25519_public(private_key)) != public:
            raise BadSecret("the key is not the one of this backup")
        if private_key is None and not self._is_trusted(auth_data):
            raise BadKeys("nobody whom we trust has signed the backup")
        private = None if private_key is None else base64.encode(private_key)
        if self.current is None or self.current.public_key != public:
            self._enqueue_all()
        self._vault.put(THE_ONE, Backup(public, str(description.get("version")), private))

    def forget(self) -> None:
        """The server does not have it any more, or the user does not want it."""
        self._vault.delete(Backup, THE_ONE)

    def upload(self) -> PutBackupKeys | None:
        """Sessions that the backup lacks. Raises NotLoaded."""
        backup = self.current
        if backup is None or backup.version is None:
            return None
        names = [name for name, _ in self._vault.all(ToBackUp)][:MAX_SESSIONS_OF_A_REQUEST]
        self._vault.need(InboundGroup, names)
        groups = [group for name in names if (group := self._inbound.get(name)) is not None]
        if not groups:
            return None
        rooms: dict[str, dict[str, Any]] = {}
        for group in groups:
            sessions = rooms.setdefault(group.room_id, {"sessions": {}})["sessions"]
            sessions[group.session_id] = self._entry(backup.public_key, group)
        contained = tuple((group.session_id, group.first_index) for group in groups)
        return PutBackupKeys(backup.version, {"rooms": rooms}, contained)

    def uploaded(self, request: PutBackupKeys) -> None:
        """What was improved meanwhile is uploaded again."""
        for session_id, first_index in request.sessions:
            waiting = self._vault.get(ToBackUp, session_id)
            if waiting is not None and waiting.first_index == first_index:
                self._vault.delete(ToBackUp, session_id)

    def restore(self, answer: Mapping[str, Any], private_key: bytes) -> tuple[int, int]:
        """Takes an answer of `GET /room_keys/keys`. Returns how many sessions were imported, and
        how many could not be read. Raises NotLoaded.
        """
        imported = damaged = 0
        for room_id, session_id, entry in _entries(answer):
            try:
                session = decrypt(private_key, entry.get("session_data"))
                content = {**session, "room_id": room_id, "session_id": session_id}
                group = from_export(content, source=Source.BACKUP)
            except (BadKeys, BadSecret):
                damaged += 1
                continue
            imported += self._inbound.add(group)
            self._vault.delete(ToBackUp, session_id)
        return imported, damaged

    def _enqueue_all(self) -> None:
        """A version that is new to us may lack everything."""
        rooms = [room_id for room_id, _ in self._vault.all(Room)]
        self._vault.need(RoomSessions, rooms)
        for room_id in rooms:
            for group in self._inbound.of_room(room_id):
                self._vault.put(group.session_id, ToBackUp(group.first_index))

    def _entry(self, public_key: str, group: InboundGroup) -> dict[str, Any]:
        origin = self._tracking.owner_of(group.sender_key)
        verified = origin is not None and self._trust.of_device(origin) is Trust.VERIFIED
        return {
            "first_message_index": group.first_index,
            "forwarded_count": len(group.forwarding_chain),
            "is_verified": verified and group.source is Source.DIRECT,
            "session_data": encrypt(public_key, self._session(group), self._entropy),
        }

    def _session(self, group: InboundGroup) -> dict[str, Any]:
        return exported(group, self._inbound.export(group))

    def _signed(self, auth_data: dict[str, Any]) -> dict[str, Any]:
        """By this device, and by the master key where this device has it."""
        signed = self._own.sign(auth_data)
        master = self._identity.secrets.master
        if master is None:
            return signed
        key = signing_key(base64.decode(master))
        return signed_with(signed, by=self._own.record.user_id, key=key)

    def _is_trusted(self, auth_data: Mapping[str, Any]) -> bool:
        user_id = self._own.record.user_id
        user = self._tracking.user(user_id)
        master = master_of(user.identity)
        trusted = [
            (device.device_id, device.ed25519)
            for device in user.devices.values()
            if self._trust.of_device(device) is Trust.VERIFIED
        ]
        if master is not None and self._trust.is_verified(user_id):
            trusted.append((master, master))
        return any(
            is_signed(auth_data, by=user_id, key_name=name, public=public)
            for name, public in trusted
        )


def exported(group: InboundGroup, session_key: str) -> dict[str, Any]:
    """A `BackedUpSessionData`."""
    return {
        "algorithm": MEGOLM,
        "sender_key": group.sender_key,
        "sender_claimed_keys": {"ed25519": group.sender_ed25519},
        "forwarding_curve25519_key_chain": list(group.forwarding_chain),
        "session_key": session_key,
        "shared_history": group.shared_history,
    }


def _entries(answer: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    rooms = answer.get("rooms")
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for room_id, room in (rooms if isinstance(rooms, Mapping) else {}).items():
        sessions = room.get("sessions") if isinstance(room, Mapping) else None
        for session_id, entry in (sessions if isinstance(sessions, Mapping) else {}).items():
            if isinstance(entry, Mapping):
                found.append((room_id, session_id, entry))
    return found


def _keys(shared: bytes) -> tuple[bytes, bytes, bytes]:
    """For AES, for the MAC, and the initialization vector."""
    raw = hkdf_sha256(shared, 2 * KEY_BYTES + BLOCK_BYTES)
    return raw[:KEY_BYTES], raw[KEY_BYTES : 2 * KEY_BYTES], raw[2 * KEY_BYTES :]


def _key_bytes(public_key: str) -> bytes:
    try:
        return base64.decode(public_key)
    except InvalidInput:
        raise BadKeys("not a Curve25519 key") from None
