"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

from collections.abc import Callable, Mapping, Sequence
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

Json = Mapping[str, Any]


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
    are_usual = signer is not None and _are_usual([*keys.values()], owner)
    found: dict[str, dict[str, bytes]] = {}
    for text, key in keys.items():
        name = parse_key_id(text)
        raw = canonical_json.encode_strict(key) if are_usual else _json(name, key, owner, signer)
        found.setdefault(name.algorithm, {})[name.name] = raw
    _check_signatures(keys, owner, signer, _usual_signed_part if are_usual else signed_part)
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
    _check_signatures(keys, owner, signer, signed_part)
    return rows


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


def _usual_signed_part(key: Json) -> bytes:
    """There is nothing to escape in Base64."""
    return b'{"key":"%b"}' % key["key"].encode()


def _check_signatures(
    keys: Mapping[str, Any],
    owner: Owner,
    signer: VerifyKey | None,
    signed_part: Callable[[Json], bytes],
) -> None:
    """Of keys whose form was checked, so that each has one that is not text. Raises
    InvalidSignature.
    """
    signed = {name: key for name, key in keys.items() if isinstance(key, dict)}
    if signer is None:
        return
    user_id, key_id = owner.user_id, owner.key_id
    checks = [
        Check(signer, signed_part(key), base64.decode(key["signatures"][user_id][key_id]))
        for key in signed.values()
    ]
    for name, is_right in zip(signed, verdicts(checks), strict=True):
        if not is_right:
            raise wrong_signature(f"the key {name}", key_id)


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
