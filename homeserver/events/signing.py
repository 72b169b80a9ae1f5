"""Ed25519 signatures of JSON objects and of events.

Source: Matrix v1.19 appendices, "Signing JSON"; server-server API, "Signing Events".
"""

from collections.abc import Mapping
from typing import Any, Self

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json
from homeserver.events.hashing import signed_bytes
from homeserver.events.room_version import RoomVersion

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64


class VerifyKey:
    """A public key. `raw` is its 32 bytes; raises InvalidInput for another length."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _KEY_BYTES:
            raise InvalidInput(f"an Ed25519 key has {_KEY_BYTES} bytes, not {len(raw)}")
        self.raw = raw

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature of the message is by the owner of this key."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.raw)
        except BadSignatureError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)


class SigningKey:
    """A private key with its identifier, "ed25519:…"."""

    __slots__ = ("_key", "_seed", "key_id", "verify_key")

    def __init__(self, key_id: str, seed: bytes) -> None:
        self.key_id = key_id
        self._seed = seed
        public, self._key = crypto_sign_seed_keypair(seed)
        self.verify_key = VerifyKey(public)

    @classmethod
    def from_seed(cls, seed: bytes, key_id: str) -> Self:
        """seed: 32 bytes, from a key file or a source of randomness. Raises InvalidInput."""
        if len(seed) != _KEY_BYTES:
            raise InvalidInput(f"an Ed25519 seed has {_KEY_BYTES} bytes, not {len(seed)}")
        if not key_id.startswith("ed25519:"):
            raise InvalidInput(f"{key_id!r} does not name an Ed25519 key")
        return cls(key_id, seed)

    def seed(self) -> bytes:
        """The 32 bytes to keep in a key file."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return crypto_sign(message, self._key)[:_SIGNATURE_BYTES]


def sign_json(obj: Mapping[str, Any], server: str, key: SigningKey) -> dict[str, Any]:
    """The object with our signature added to those that it has."""
    return _with_signature(obj, server, key, signed_part(obj))


def signature_valid(obj: Mapping[str, Any], server: str, key_id: str, key: VerifyKey) -> bool:
    """Whether `server` has signed the object with that key.
    Source: appendices, "Checking for a Signature", steps 1 and 4 to 7.
    """
    return _signature_covers(obj, server, key_id, key, signed_part(obj))


def sign_event(
    pdu: Mapping[str, Any], server: str, key: SigningKey, version: RoomVersion
) -> dict[str, Any]:
    """The PDU, which has its content hash already, with our signature added."""
    return _with_signature(pdu, server, key, signed_bytes(pdu, version))


def event_signature_valid(
    pdu: Mapping[str, Any], server: str, key_id: str, key: VerifyKey, version: RoomVersion
) -> bool:
    """Whether `server` has signed the redacted form of the PDU with that key."""
    return _signature_covers(pdu, server, key_id, key, signed_bytes(pdu, version))


def signed_part(obj: Mapping[str, Any]) -> bytes:
    """What a signature of the object covers."""
    return canonical_json.encode(
        {key: obj[key] for key in obj if key not in ("signatures", "unsigned")}
    )


def _with_signature(
    obj: Mapping[str, Any], server: str, key: SigningKey, message: bytes
) -> dict[str, Any]:
    signatures = dict(obj.get("signatures", {}))
    signature = base64.encode(key.sign(message))
    signatures[server] = {**signatures.get(server, {}), key.key_id: signature}
    return {**obj, "signatures": signatures}


def _signature_covers(
    obj: Mapping[str, Any], server: str, key_id: str, key: VerifyKey, message: bytes
) -> bool:
    try:
        signature = base64.decode(obj["signatures"][server][key_id])
    except (InvalidInput, KeyError, TypeError, AttributeError):
        return False
    return key.verify(signature, message)
