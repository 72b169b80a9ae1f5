"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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
    signature_of,
    signatures_of,
    signed_only_by,
)
from homeserver.errors import InvalidInput, InvalidSignature, TooLarge
from homeserver.events import base64, canonical_json
from homeserver.events.signing import VerifyKey, signature_valid
from homeserver.identifiers import UserID
from homeserver.storage.one_time_keys import Batch, KeyRow
from homeserver.values import value

MAX_DEVICE_KEYS_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 4_096
MAX_UPLOADED = 1_000
"""Keys of one request."""
CHECKED_AT_ONCE = 4
"""Signatures of one-time keys that are checked when they come, of the oldest keys. Those of others
are when a key is about to be handed out: with all of them an upload would take four times as long.
"""
MAX_FALLBACK_KEYS = 10
_MAX_ALGORITHMS = 50
_CURVE25519_BYTES = 32
_SIGNATURE_BYTES = 64


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
    with which the others were checked; None: it has none. one_time: a batch an algorithm.
    """

    device: UploadedDevice | None
    one_time: Sequence[Batch]
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
    """stored: identity keys that the device has. A hundred one-time keys take 1.5 ms.

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
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> list[Batch]:
    """signer: the device's key; None: it has none, so nothing that is signed can be checked.

    Names, forms and sizes of all keys are checked, and the first signatures.
    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_UPLOADED:
        raise TooLarge(f"At most {MAX_UPLOADED} keys are uploaded at once.")
    are_usual = signer is not None and _are_usual([*keys.values()], owner)
    found: dict[str, dict[str, bytes]] = {}
    checked: Counter[str] = Counter()
    for number, (text, key) in enumerate(keys.items()):
        name = parse_key_id(text)
        raw = canonical_json.encode_strict(key) if are_usual else _json(name, key, owner, signer)
        found.setdefault(name.algorithm, {})[name.name] = raw
        if number < CHECKED_AT_ONCE:
            _check_signature(name, key, owner, signer)
            checked[name.algorithm] += 1
    return [Batch(algorithm, some, checked[algorithm]) for algorithm, some in found.items()]


def check_fallback_keys(
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> list[KeyRow]:
    """All signatures; "There can only be at most one key per algorithm uploaded".

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_FALLBACK_KEYS:
        raise TooLarge(f"A device has at most {MAX_FALLBACK_KEYS} fallback keys.")
    rows = [_fallback_key(parse_key_id(name), key, owner, signer) for name, key in keys.items()]
    if len({row.algorithm for row in rows}) < len(rows):
        raise InvalidInput("There is one fallback key an algorithm.", field="fallback_keys")
    return rows


def is_signed(key: bytes, owner: Owner, signer: VerifyKey) -> bool:
    """Whether a key that was uploaded may be handed out. key: its JSON."""
    obj = orjson.loads(key)
    return isinstance(obj, str) or signature_valid(obj, owner.user_id, owner.key_id, signer)


def _fallback_key(name: KeyID, key: Any, owner: Owner, signer: VerifyKey | None) -> KeyRow:
    raw = _json(name, key, owner, signer)
    _check_signature(name, key, owner, signer)
    return KeyRow(name.algorithm, name.name, raw)


def _are_usual(keys: Sequence[Any], owner: Owner) -> bool:
    """Whether all of them are as most clients make them: a Curve25519 key and one signature, and
    nothing else. Then their form needs no other look, which would take twice as long.
    """
    key_id = owner.key_id
    try:
        signed = [key["signatures"][owner.user_id] for key in keys]
        return (
            all(len(key) == 2 and len(key["signatures"]) == 1 for key in keys)  # noqa: PLR2004
            and all(len(signatures) == 1 for signatures in signed)
            and _say_bytes([key["key"] for key in keys], _CURVE25519_BYTES)
            and _say_bytes([signatures[key_id] for signatures in signed], _SIGNATURE_BYTES)
        )
    except (KeyError, TypeError):
        return False


def _say_bytes(texts: Sequence[str], length: int) -> bool:
    """Whether each is so many bytes in unpadded Base64. Raises TypeError for what is no text."""
    together = "".join(texts)
    if set(map(len, texts)) != {-(-length * 4 // 3)} or "=" in together:
        return False
    try:
        base64.decode(together + "A" * (-len(together) % 4))
    except InvalidInput:
        return False
    return True


def _json(name: KeyID, key: Any, owner: Owner, signer: VerifyKey | None) -> bytes:
    """A key as canonical JSON, its form checked."""
    if isinstance(key, dict):
        _check_form(name, key, owner, signer)
    elif not isinstance(key, str):
        raise InvalidInput("A key is text or an object.", field=str(name))
    elif name.algorithm.startswith("signed_"):
        raise InvalidSignature(f"The key {name} is not signed.")
    return canonical_bytes(key, max_bytes=MAX_ONE_TIME_KEY_BYTES)


def _check_form(
    name: KeyID, key: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> None:
    if not _is_base64(key.get("key"), _CURVE25519_BYTES):
        raise InvalidInput("A key is 32 bytes in unpadded Base64.", field=str(name))
    if signer is None:
        raise InvalidSignature("Upload the keys of the device first: they sign the others.")
    if not _is_base64(signature_of(key, owner.user_id, owner.key_id), _SIGNATURE_BYTES):
        raise InvalidSignature(f"The key {name} is not signed by {owner.key_id}.")


def _check_signature(name: KeyID, key: Any, owner: Owner, signer: VerifyKey | None) -> None:
    if isinstance(key, dict) and signer is not None:
        require_signature(key, owner.user_id, owner.key_id, signer, f"the key {name}")


def _is_base64(text: object, length: int) -> bool:
    """Whether it says so many bytes."""
    try:
        return isinstance(text, str) and len(base64.decode(text)) == length
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
