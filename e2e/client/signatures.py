"""Signatures of JSON by devices and by cross-signing keys.

Source: Matrix v1.19 appendices, "Signing JSON": the "server" that signs is a user here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json
from homeserver.events.signing import SigningKey, VerifyKey, signature_valid

Sign = Callable[[bytes], str]
"""The unpadded Base64 of a signature of the message."""


def ed25519(key_name: str) -> str:
    """The ID of an Ed25519 key: of a device by its ID, of a cross-signing key by its public key."""
    return f"ed25519:{key_name}"


def signing_key(seed: bytes) -> SigningKey:
    """A cross-signing key; its ID contains its public half."""
    unnamed = SigningKey.from_seed(seed, ed25519(""))
    return SigningKey(ed25519(base64.encode(unnamed.verify_key.raw)), seed)


def public_half(key: SigningKey) -> str:
    return base64.encode(key.verify_key.raw)


def with_signature(
    obj: Mapping[str, Any], *, by: str, key_id: str, sign: Sign, keep: bool = True
) -> dict[str, Any]:
    """The object with one more signature. by: user ID. keep: those that it has already."""
    unsigned = {name: obj[name] for name in obj if name not in ("signatures", "unsigned")}
    signatures = dict(obj.get("signatures", {})) if keep else {}
    signature = sign(canonical_json.encode(unsigned))
    signatures[by] = {**signatures.get(by, {}), key_id: signature}
    return {**obj, "signatures": signatures}


def signed_with(
    obj: Mapping[str, Any], *, by: str, key: SigningKey, keep: bool = True
) -> dict[str, Any]:
    return with_signature(
        obj, by=by, key_id=key.key_id, sign=lambda raw: base64.encode(key.sign(raw)), keep=keep
    )


def is_signed(obj: Mapping[str, Any], *, by: str, key_name: str, public: str) -> bool:
    """Whether the user's key has signed the object. public: the key itself, Base64."""
    try:
        key = VerifyKey(base64.decode(public))
        return signature_valid(obj, by, ed25519(key_name), key)
    except InvalidInput:
        return False
