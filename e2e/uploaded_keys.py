"""Keys of devices as clients upload them, checked. Pure.

Source: C-S API v1.19 "Device keys", "One-time and fallback keys", "Key algorithms".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

from e2e.signatures import (
    ED25519,
    MAX_KEY_ID_CHARS,
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
from homeserver.values import value

MAX_DEVICE_KEYS_BYTES = 16_384
MAX_ONE_TIME_KEY_BYTES = 4_096
MAX_UPLOADED = 1_000
"""Keys of one request."""
MAX_FALLBACK_KEYS = 10
_MAX_ALGORITHMS = 50
_CURVE25519_BYTES = 32
_SIGNATURE_BYTES = 64

OneTimeKeys = Mapping[str, Mapping[str, str]]
"""Canonical JSON of each, by algorithm and ID, in the order in which they were uploaded."""
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
        raise TooLarge(f"At most {MAX_UPLOADED} keys are uploaded at once.")
    usual = None if signer is None else _usual(keys, owner, signer)
    found, checks = usual or (_each(keys, owner, signer), _checks(keys, owner, signer))
    _require_signatures(checks, owner)
    return found


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
    _require_signatures(_checks(keys, owner, signer), owner)
    return found


def _usual(
    keys: Mapping[str, Any], owner: Owner, signer: VerifyKey
) -> tuple[OneTimeKeys, dict[str, Check]] | None:
    """And what is to be checked by name, if all of them are as most clients make them: Curve25519
    keys with one signature and nothing else, all of one algorithm. Then they are looked at together
    and written down together, which takes a quarter of the time.
    """
    key_id = owner.key_id
    try:
        algorithm, key_ids = _named_alike(keys)
        signed = [key["signatures"][owner.user_id] for key in keys.values()]
        if {len(key) for key in keys.values()} != {2} or {len(each) for each in signed} != {1}:
            return None
        if {len(key["signatures"]) for key in keys.values()} != {1}:
            return None
        texts = [key["key"] for key in keys.values()]
        _decoded(texts, _CURVE25519_BYTES)
        signatures = [each[key_id] for each in signed]
        blocks = _decoded(signatures, _SIGNATURE_BYTES)
    except (InvalidInput, KeyError, TypeError):
        return None
    # There is nothing to escape in Base64.
    user, name = (canonical_json.encode(each).decode() for each in (owner.user_id, key_id))
    found = [
        f'{{"key":"{text}","signatures":{{{user}:{{{name}:"{signature}"}}}}}}'
        for text, signature in zip(texts, signatures, strict=True)
    ]
    checks = [
        Check(signer, f'{{"key":"{text}"}}'.encode(), block)
        for text, block in zip(texts, blocks, strict=True)
    ]
    return (
        {algorithm: dict(zip(key_ids, found, strict=True))},
        dict(zip(keys, checks, strict=True)),
    )


def _named_alike(names: Collection[str]) -> tuple[str, list[str]]:
    """The algorithm of all, and their IDs. Raises InvalidInput, also for those of several."""
    algorithm = parse_key_id(next(iter(names), "")).algorithm
    length = len(algorithm) + 1
    together = "".join(names)
    if (
        len({name[:length] for name in names}) > 1
        or min(map(len, names)) <= length
        or max(map(len, names)) > MAX_KEY_ID_CHARS
        or not (together.isascii() and together.isprintable())
    ):
        raise InvalidInput("These keys are not of one algorithm.")
    return algorithm, [name[length:] for name in names]


def _each(keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None) -> OneTimeKeys:
    found: dict[str, dict[str, str]] = {}
    for text, key in keys.items():
        name = parse_key_id(text)
        raw = _json(name, key, owner, signer)
        found.setdefault(name.algorithm, {})[name.name] = raw.decode()
    return found


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
