"""What people upload and sign, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Cross-signing"; appendices,
"Signing JSON".
"""

from collections.abc import Iterator, Mapping
from typing import Any

from homeserver.errors import InvalidInput, InvalidSignature, TooLarge
from homeserver.events import base64, canonical_json
from homeserver.events.signing import VerifyKey, signature_valid
from homeserver.identifiers import UserID
from homeserver.values import value

ED25519 = "ed25519"
MAX_KEY_ID_CHARS = 255
MAX_SIGNATURES = 100
"""Of one object."""


@value
class KeyID:
    """`<algorithm>:<name>`. The name is a device ID, a public key, or a number."""

    algorithm: str
    name: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.name}"


@value
class Signature:
    """Who signed an object, with which key: its ID, and what stands there as signature."""

    signer_id: UserID
    key_id: str
    text: str


def parse_key_id(text: str) -> KeyID:
    """Raises InvalidInput."""
    algorithm, _, name = text.partition(":")
    if (
        not (algorithm and name)
        or len(text) > MAX_KEY_ID_CHARS
        or not (text.isascii() and text.isprintable())
    ):
        raise InvalidInput("A key is named by its algorithm, a colon, and an ID.", field="keys")
    return KeyID(algorithm, name)


def public_key(text: object) -> VerifyKey:
    """An Ed25519 key in unpadded Base64. Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput("A public key is text.", field="keys")
    try:
        return VerifyKey(base64.decode(text))
    except InvalidInput:
        raise InvalidInput("An Ed25519 key is 32 bytes in unpadded Base64.", field="keys") from None


def signatures_of(obj: Mapping[str, Any]) -> Iterator[Signature]:
    """Raises InvalidInput for what is no object of signatures."""
    by_user = obj.get("signatures", {})
    if not isinstance(by_user, dict):
        raise InvalidInput("This must be an object of objects.", field="signatures")
    for user_id, by_key in by_user.items():
        if not isinstance(by_key, dict):
            raise InvalidInput("This must be an object of objects.", field="signatures")
        for key_id, text in by_key.items():
            if not isinstance(text, str):
                raise InvalidInput("A signature is text.", field="signatures")
            yield Signature(UserID(user_id), key_id, text)


def signature_of(obj: Mapping[str, Any], user_id: UserID, key_id: str) -> object:
    """What stands there as signature; None for nothing."""
    try:
        return obj["signatures"][user_id][key_id]
    except (KeyError, TypeError):
        return None


def require_signature(
    obj: Mapping[str, Any], user_id: UserID, key_id: str, key: VerifyKey, what: str
) -> None:
    """what: for people. Raises InvalidSignature."""
    if not signature_valid(obj, user_id, key_id, key):
        raise wrong_signature(what, key_id)


def wrong_signature(what: str, key_id: str) -> InvalidSignature:
    """what: for people."""
    return InvalidSignature(f"The signature of {what} by {key_id} is missing or wrong.")


def signed_only_by(
    obj: Mapping[str, Any], user_id: UserID, key_id: str, *, max_bytes: int
) -> bytes:
    """Canonical JSON with this signature only, and without what others may add.

    Raises TooLarge, InvalidInput.
    """
    plain = {key: obj[key] for key in obj if key not in ("signatures", "unsigned")}
    signature = obj.get("signatures", {}).get(user_id, {}).get(key_id)
    if signature is not None:
        plain["signatures"] = {user_id: {key_id: signature}}
    return canonical_bytes(plain, max_bytes=max_bytes)


def canonical_bytes(obj: Any, *, max_bytes: int) -> bytes:
    """Raises TooLarge, and InvalidInput for what canonical JSON does not know."""
    canonical_json.check_strict(obj)
    raw = canonical_json.encode_strict(obj)
    if len(raw) > max_bytes:
        raise TooLarge(f"An object of keys has at most {max_bytes} bytes.")
    if b"\\u0000" in raw:
        raise InvalidInput("Text of keys has no U+0000.")
    return raw


def same_but_for_signatures(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two objects say the same."""
    return _signed_part(one) == _signed_part(other)


def _signed_part(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: obj[key] for key in obj if key not in ("signatures", "unsigned")}
