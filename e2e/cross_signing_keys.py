"""Cross-signing keys as clients upload them, checked. Pure.

Source: C-S API v1.19 "Cross-signing"; `cross_signing.yaml`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from e2e.signatures import (
    ED25519,
    MAX_SIGNATURES,
    Signature,
    canonical_bytes,
    public_key,
    require_signature,
    signatures_of,
    signed_only_by,
)
from homeserver.errors import InvalidInput, TooLarge
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID
from homeserver.values import value

MASTER, SELF_SIGNING, USER_SIGNING = "master", "self_signing", "user_signing"
USAGES = (MASTER, SELF_SIGNING, USER_SIGNING)
MAX_BYTES = 8_192


@value
class UploadedKey:
    """json: canonical, signed by the master key only. others: signatures by other keys, which
    nobody has checked yet.
    """

    usage: str
    public_key: str
    json: bytes
    others: Sequence[Signature]

    @property
    def key_id(self) -> str:
        return f"{ED25519}:{self.public_key}"

    @property
    def verify_key(self) -> VerifyKey:
        return public_key(self.public_key)


def check_key(
    key: Mapping[str, Any], usage: str, user_id: UserID, master: "UploadedKey | None"
) -> UploadedKey:
    """master: whose signature the others must have; None for the master key itself.

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    field = f"{usage}_key"
    if key.get("user_id") != user_id:
        raise InvalidInput("This key is of another user.", field=f"{field}.user_id")
    if key.get("usage") != [usage]:
        raise InvalidInput("This key is for something else.", field=f"{field}.usage")
    public = _only_key(key.get("keys"), field)
    signatures = [*signatures_of(key)]
    if len(signatures) > MAX_SIGNATURES:
        raise TooLarge(f"A key carries at most {MAX_SIGNATURES} signatures.")
    signer = "" if master is None else master.key_id
    json = signed_only_by(key, user_id, signer, max_bytes=MAX_BYTES)
    if master is not None:
        require_signature(key, user_id, signer, master.verify_key, f"the {usage} key")
    return UploadedKey(usage, public, json, [each for each in signatures if each.key_id != signer])


def with_signature(signed: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """The object with one signature."""
    return {**signed, "signatures": {signature.signer_id: {signature.key_id: signature.text}}}


def check_size(obj: Mapping[str, Any]) -> None:
    """Raises TooLarge, InvalidInput."""
    canonical_bytes(obj, max_bytes=2 * MAX_BYTES)


def _only_key(keys: Any, field: str) -> str:
    """ "The object must have exactly one property" """
    if not isinstance(keys, dict) or len(keys) != 1:
        raise InvalidInput("There is exactly one key in it.", field=f"{field}.keys")
    ((name, text),) = keys.items()
    public_key(text)
    if name != f"{ED25519}:{text}":
        raise InvalidInput("A cross-signing key is named by itself.", field=f"{field}.keys")
    return str(text)
