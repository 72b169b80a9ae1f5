"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from e2e.compact_keys import CompactKeys, compacted, first_wrong_line
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
from homeserver.events import base64
from homeserver.events.many_signatures import first_wrong
from homeserver.events.signing import VerifyKey, signed_part
from homeserver.identifiers import UserID
from homeserver.values import value

MAX_DEVICE_KEYS_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 4_096
MAX_UPLOADED = 1_000
"""Keys of one request."""
MAX_ONE_TIME_ALGORITHMS = 10
"""Of one request."""
MAX_FALLBACK_KEYS = 10
_MAX_ALGORITHMS = 50
_CURVE25519_BYTES = 32
_SIGNATURE_BYTES = 64

OneTimeKeys = Mapping[str, Mapping[str, str]]
"""A line of each (`compact_keys`), by algorithm and ID, in the order in which they came."""
FallbackKeys = Mapping[KeyID, bytes]
"""Canonical JSON of each."""


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


@value(kw_only=True)
class Upload:
    """What a device uploads. None: no new identity keys."""

    device_keys: Mapping[str, Any] | None = None
    one_time_keys: Mapping[str, Any] = field(default_factory=dict)
    fallback_keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_only_one_time_keys(self) -> bool:
        return bool(self.one_time_keys) and self.device_keys is None and not self.fallback_keys


@value
class CheckedUpload:
    """The same, checked."""

    device: UploadedDevice | None
    one_time: OneTimeKeys
    fallback: FallbackKeys


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
) -> OneTimeKeys:
    """signer: the device's key; None: it has none, so nothing that is signed can be checked.

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_UPLOADED:
        raise too_many()
    compact = None if signer is None else compacted(keys, owner.user_id, owner.device_id)
    if signer is None or compact is None:
        found = _each(keys, owner, signer)
        _require_signatures(keys, owner, signer)
        return found
    wrong = first_wrong_line([*compact.lines.values()], signer)
    return signed_right(keys, compact, owner, wrong)


def signed_right(
    keys: Mapping[str, Any], compact: CompactKeys, owner: Owner, wrong: int | None
) -> OneTimeKeys:
    """wrong: the first key whose signature is not right. Raises InvalidSignature."""
    if wrong is not None:
        raise wrong_signature(f"the key {[*keys][wrong]}", owner.key_id)
    return {compact.algorithm: compact.lines}


def too_many() -> TooLarge:
    return TooLarge(f"At most {MAX_UPLOADED} keys are uploaded at once.")


def check_fallback_keys(
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
) -> FallbackKeys:
    """ "There can only be at most one key per algorithm uploaded".

    Raises InvalidInput, InvalidSignature, TooLarge.
    """
    if len(keys) > MAX_FALLBACK_KEYS:
        raise TooLarge(f"A device has at most {MAX_FALLBACK_KEYS} fallback keys.")
    names = [parse_key_id(text) for text in keys]
    if len({name.algorithm for name in names}) < len(names):
        raise InvalidInput("There is one fallback key an algorithm.", field="fallback_keys")
    found = {
        name: _json(name, key, owner, signer)
        for name, key in zip(names, keys.values(), strict=True)
    }
    _require_signatures(keys, owner, signer)
    return found


def _each(keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None) -> OneTimeKeys:
    found: dict[str, dict[str, str]] = {}
    for text, key in keys.items():
        name = parse_key_id(text)
        raw = _json(name, key, owner, signer)
        found.setdefault(name.algorithm, {})[name.name] = raw.decode()
    if len(found) > MAX_ONE_TIME_ALGORITHMS:
        raise TooLarge(
            f"Keys of at most {MAX_ONE_TIME_ALGORITHMS} algorithms are uploaded at once."
        )
    return found


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


def _require_signatures(keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None) -> None:
    """Of keys whose form was checked: so text has no signature, and what has one a signer. Raises
    InvalidSignature.
    """
    signed = {name: key for name, key in keys.items() if isinstance(key, dict)}
    if signer is None or not signed:
        return
    messages = [signed_part(key) for key in signed.values()]
    texts = [key["signatures"][owner.user_id][owner.key_id] for key in signed.values()]
    wrong = first_wrong(signer, messages, [*map(base64.decode, texts)])
    if wrong is not None:
        raise wrong_signature(f"the key {[*signed][wrong]}", owner.key_id)


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
