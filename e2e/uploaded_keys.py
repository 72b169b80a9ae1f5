"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from e2e.signatures import (
    ED25519,
    MAX_SIGNATURES,
    KeyID,
    Signature,
    canonical_bytes,
    parse_key_id,
    public_key,
    require_signature,
    signatures_of,
    signed_only_by,
)
from homeserver.errors import InvalidInput, InvalidSignature, TooLarge
from homeserver.events import base64
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID
from homeserver.storage.one_time_keys import KeyRow
from homeserver.values import value

MAX_DEVICE_KEYS_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 4_096
MAX_UPLOADED = 1_000
"""Keys of one request."""
MAX_FALLBACK_KEYS = 10
_MAX_ALGORITHMS = 50
_CURVE25519_BYTES = 32


@value
class Owner:
    """Whose keys they must be."""

    user_id: UserID
    device_id: str

    @property
    def key_id(self) -> str:
        """Of the key that signs the device's other keys."""
        return f"{ED25519}:{self.device_id}"


@value
class UploadedDevice:
    """Identity keys. json: canonical, signed by the device only. identity: what makes it the
    device that it is. others: signatures by other keys, which nobody has checked yet.
    """

    json: bytes
    identity: Mapping[str, str]
    others: Sequence[Signature]


@value
class CheckedUpload:
    """What a device uploads, checked. device: None: no new identity keys. signer: the device's key,
    with which the others were checked; None: it has none.
    """

    device: UploadedDevice | None
    one_time: Sequence[KeyRow]
    fallback: Sequence[KeyRow]
    signer: VerifyKey | None


def check_upload(
    *,
    device_keys: Mapping[str, Any] | None,
    one_time_keys: Mapping[str, Any],
    fallback_keys: Mapping[str, Any],
    owner: Owner,
    stored: bytes | None,
) -> CheckedUpload:
    """stored: identity keys that the device has. A hundred signatures take 7 ms.

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    device = None if device_keys is None else check_device_keys(device_keys, owner)
    current = stored if device is None else device.json
    signer = None if current is None else device_key(orjson.loads(current), owner)
    return CheckedUpload(
        device,
        check_one_time_keys(one_time_keys, owner, signer),
        check_fallback_keys(fallback_keys, owner, signer),
        signer,
    )


def check_device_keys(keys: Mapping[str, Any], owner: Owner) -> UploadedDevice:
    """Raises InvalidInput, InvalidSignature, TooLarge."""
    if keys.get("user_id") != owner.user_id or keys.get("device_id") != owner.device_id:
        raise InvalidInput("These keys are of another user or device.", field="device_keys")
    _check_algorithms(keys.get("algorithms"))
    identity = _identity(keys.get("keys"))
    key = public_key(identity.get(owner.key_id))
    signatures = [*signatures_of(keys)]
    if len(signatures) > MAX_SIGNATURES:
        raise TooLarge(f"A key carries at most {MAX_SIGNATURES} signatures.")
    json = signed_only_by(keys, owner.user_id, owner.key_id, max_bytes=MAX_DEVICE_KEYS_BYTES)
    require_signature(keys, owner.user_id, owner.key_id, key, "the device's keys")
    return UploadedDevice(
        json, identity, [each for each in signatures if each.key_id != owner.key_id]
    )


def device_key(stored: Mapping[str, Any], owner: Owner) -> VerifyKey:
    """The key with which a device signs. stored: identity keys that were checked."""
    return public_key(stored["keys"][owner.key_id])


def check_one_time_keys(
    keys: Mapping[str, Any], owner: Owner, key: VerifyKey | None
) -> list[KeyRow]:
    """key: the device's; None: it has none, so nothing that is signed can be checked.

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_UPLOADED:
        raise TooLarge(f"At most {MAX_UPLOADED} keys are uploaded at once.")
    return [_one_time_key(parse_key_id(name), each, owner, key) for name, each in keys.items()]


def check_fallback_keys(
    keys: Mapping[str, Any], owner: Owner, key: VerifyKey | None
) -> list[KeyRow]:
    """The same; "There can only be at most one key per algorithm uploaded"."""
    rows = check_one_time_keys(keys, owner, key)
    if len({row.algorithm for row in rows}) < len(rows):
        raise InvalidInput("There is one fallback key an algorithm.", field="fallback_keys")
    if len(rows) > MAX_FALLBACK_KEYS:
        raise TooLarge(f"A device has at most {MAX_FALLBACK_KEYS} fallback keys.")
    return rows


def _one_time_key(name: KeyID, key: Any, owner: Owner, signer: VerifyKey | None) -> KeyRow:
    if isinstance(key, dict):
        _check_signed(name, key, owner, signer)
    elif not isinstance(key, str):
        raise InvalidInput("A key is text or an object.", field=str(name))
    elif name.algorithm.startswith("signed_"):
        raise InvalidSignature(f"The key {name} is not signed.")
    raw = canonical_bytes(key, max_bytes=MAX_ONE_TIME_KEY_BYTES)
    return KeyRow(name.algorithm, name.name, raw, sha256(raw).digest())


def _check_signed(
    name: KeyID, key: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> None:
    text = key.get("key")
    if not isinstance(text, str) or not _is_curve25519(text):
        raise InvalidInput("A key is 32 bytes in unpadded Base64.", field=str(name))
    if signer is None:
        raise InvalidSignature("Upload the keys of the device first: they sign the others.")
    require_signature(key, owner.user_id, owner.key_id, signer, f"the key {name}")


def _is_curve25519(text: str) -> bool:
    try:
        return len(base64.decode(text)) == _CURVE25519_BYTES
    except InvalidInput:
        return False


def _check_algorithms(algorithms: Any) -> None:
    if (
        not isinstance(algorithms, list)
        or len(algorithms) > _MAX_ALGORITHMS
        or not all(isinstance(each, str) for each in algorithms)
    ):
        raise InvalidInput("Algorithms are a list of names.", field="device_keys.algorithms")


def _identity(keys: Any) -> dict[str, str]:
    if not isinstance(keys, dict) or not all(isinstance(each, str) for each in keys.values()):
        raise InvalidInput("The keys are an object of text.", field="device_keys.keys")
    for name in keys:
        parse_key_id(name)
    return keys
