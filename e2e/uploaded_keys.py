"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

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
    wrong_signature,
)
from homeserver.errors import InvalidInput, InvalidSignature, TooLarge
from homeserver.events import base64, canonical_json
from homeserver.events.many_signatures import Check, verdicts
from homeserver.events.signing import VerifyKey, signed_part
from homeserver.identifiers import UserID
from homeserver.storage.one_time_keys import Batch, KeyRow
from homeserver.values import value

MAX_DEVICE_KEYS_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 4_096
MAX_UPLOADED = 1_000
"""Keys of one request."""
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
    """What a device uploads, checked. device: None: no new identity keys. one_time: a batch an
    algorithm.
    """

    device: UploadedDevice | None
    one_time: Sequence[Batch]
    fallback: Sequence[KeyRow]


def check_upload(
    *,
    device_keys: Mapping[str, Any] | None,
    one_time_keys: Mapping[str, Any],
    fallback_keys: Mapping[str, Any],
    owner: Owner,
    stored: bytes | None,
) -> CheckedUpload:
    """stored: identity keys that the device has. A hundred one-time keys take 2 ms.

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    device = None if device_keys is None else check_device_keys(device_keys, owner)
    current = stored if device is None else device.json
    signer = None if current is None else device_key(orjson.loads(current), owner)
    return CheckedUpload(
        device,
        check_one_time_keys(one_time_keys, owner, signer),
        check_fallback_keys(fallback_keys, owner, signer),
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

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_UPLOADED:
        raise TooLarge(f"At most {MAX_UPLOADED} keys are uploaded at once.")
    checks = None if signer is None else _usual_checks(keys, owner, signer)
    found: dict[str, dict[str, bytes]] = {}
    for text, key in keys.items():
        name = parse_key_id(text)
        is_usual = checks is not None
        raw = canonical_json.encode_strict(key) if is_usual else _json(name, key, owner, signer)
        found.setdefault(name.algorithm, {})[name.name] = raw
    _require_signatures(_checks(keys, owner, signer) if checks is None else checks, owner)
    return [Batch(algorithm, some) for algorithm, some in found.items()]


def check_fallback_keys(
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> list[KeyRow]:
    """ "There can only be at most one key per algorithm uploaded".

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_FALLBACK_KEYS:
        raise TooLarge(f"A device has at most {MAX_FALLBACK_KEYS} fallback keys.")
    names = [parse_key_id(text) for text in keys]
    if len({name.algorithm for name in names}) < len(names):
        raise InvalidInput("There is one fallback key an algorithm.", field="fallback_keys")
    rows = [
        KeyRow(name.algorithm, name.name, _json(name, key, owner, signer))
        for name, key in zip(names, keys.values(), strict=True)
    ]
    _require_signatures(_checks(keys, owner, signer), owner)
    return rows


def _usual_checks(
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey
) -> dict[str, Check] | None:
    """By name, if all of them are as most clients make them: a Curve25519 key and one signature,
    and nothing else. Then their form needs no other look, which would take twice as long.
    """
    key_id = owner.key_id
    try:
        signed = [key["signatures"][owner.user_id] for key in keys.values()]
        if any(len(key) != 2 or len(key["signatures"]) != 1 for key in keys.values()) or any(  # noqa: PLR2004
            len(signatures) != 1 for signatures in signed
        ):
            return None
        texts = [key["key"] for key in keys.values()]
        _decoded(texts, _CURVE25519_BYTES)
        signatures = _decoded([each[key_id] for each in signed], _SIGNATURE_BYTES)
    except (InvalidInput, KeyError, TypeError):
        return None
    return {
        # There is nothing to escape in Base64.
        name: Check(signer, b'{"key":"%b"}' % text.encode(), signature)
        for name, text, signature in zip(keys, texts, signatures, strict=True)
    }


def _decoded(texts: Sequence[str], length: int) -> list[bytes]:
    """Blocks of so many bytes in unpadded Base64, decoded together. Raises InvalidInput, and
    TypeError for what is no text.
    """
    chars = -(-length * 4 // 3)
    fill = "A" * (-chars % 4)
    together = "".join([text + fill for text in texts])
    if set(map(len, texts)) != {chars} or "=" in together:
        raise InvalidInput("This is not so many bytes in unpadded Base64.")
    blocks = base64.decode(together)
    step = (chars + len(fill)) * 3 // 4
    return [blocks[start : start + length] for start in range(0, len(blocks), step)]


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


def _checks(keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None) -> dict[str, Check]:
    """By name, of keys whose form was checked: so text has no signature, and what has one a
    signer.
    """
    if signer is None:
        return {}
    user_id, key_id = owner.user_id, owner.key_id
    return {
        name: Check(signer, signed_part(key), base64.decode(key["signatures"][user_id][key_id]))
        for name, key in keys.items()
        if isinstance(key, dict)
    }


def _require_signatures(checks: Mapping[str, Check], owner: Owner) -> None:
    """Raises InvalidSignature."""
    for name, is_right in zip(checks, verdicts([*checks.values()]), strict=True):
        if not is_right:
            raise wrong_signature(f"the key {name}", owner.key_id)


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
