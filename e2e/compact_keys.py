"""One-time keys without what is the same in all of a device, as they are stored and checked. Pure.

Most clients make Curve25519 keys with one signature, by their device, and nothing else. Of such a
key the public key and the signature are a line, with a space between; of another one its canonical
JSON is, which begins differently.
"""

from collections.abc import Collection, Mapping, Sequence
from string import ascii_letters, digits
from typing import Any

from e2e.signatures import ED25519, MAX_KEY_ID_CHARS, parse_key_id
from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json
from homeserver.events.many_signatures import first_wrong
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID
from homeserver.values import value

_BASE64 = (ascii_letters + digits + "+/-_").encode()
_CURVE25519_CHARS = 43
_SIGNATURE_CHARS = 86
_SIGNATURE_BYTES = 64
_STARTS_OF_JSON = (b"{", b'"')


@value
class CompactKeys:
    """Of one algorithm. lines: by ID, in the order in which they came."""

    algorithm: str
    lines: Mapping[str, str]


def compacted(keys: Mapping[str, Any], user_id: UserID, device_id: str) -> CompactKeys | None:
    """Keys by name; None if not all of them are as most are, and of one algorithm. All are looked
    at together, and only their signatures are not checked.
    """
    key_id = f"{ED25519}:{device_id}"
    try:
        algorithm, key_ids = _named_alike(keys)
        by_user = [key["signatures"] for key in keys.values()]
        by_key = [each[user_id] for each in by_user]
        texts = [key["key"] for key in keys.values()]
        signatures = [each[key_id] for each in by_key]
        _check_lengths(keys.values(), 2)
        _check_lengths(by_user, 1)
        _check_lengths(by_key, 1)
        _check_base64(texts, _CURVE25519_CHARS)
        _check_base64(signatures, _SIGNATURE_CHARS)
    except (InvalidInput, KeyError, TypeError):
        return None
    lines = map(" ".join, zip(texts, signatures, strict=True))
    return CompactKeys(algorithm, dict(zip(key_ids, lines, strict=True)))


def first_wrong_line(lines: Sequence[str], signer: VerifyKey) -> int | None:
    """The place of the first key that this device did not sign so; None: it signed all."""
    texts = [line[:_CURVE25519_CHARS] for line in lines]
    # There is nothing to escape in Base64.
    messages = [f'{{"key":"{text}"}}'.encode() for text in texts]
    fill = "A" * (-_SIGNATURE_CHARS % 4)
    signatures = base64.decode("".join([line[_CURVE25519_CHARS + 1 :] + fill for line in lines]))
    step = (_SIGNATURE_CHARS + len(fill)) * 3 // 4
    starts = range(0, len(signatures), step)
    blocks = [signatures[start : start + _SIGNATURE_BYTES] for start in starts]
    return first_wrong(signer, messages, blocks)


def expanded(line: bytes, user_id: str, device_id: str) -> bytes:
    """The canonical JSON of a key of this device."""
    if line.startswith(_STARTS_OF_JSON):
        return line
    key, _, signature = line.partition(b" ")
    user, name = map(canonical_json.encode_strict, (user_id, f"{ED25519}:{device_id}"))
    return b'{"key":"%b","signatures":{%b:{%b:"%b"}}}' % (key, user, name, signature)


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


def _check_lengths(objects: Collection[Any], length: int) -> None:
    if {*map(len, objects)} != {length}:
        raise InvalidInput(f"These have not all {length} members.")


def _check_base64(texts: Sequence[str], chars: int) -> None:
    """Each is so many characters of unpadded Base64, of either kind. Raises InvalidInput, and
    TypeError for what is no text.
    """
    together = "".join(texts)
    _check_lengths(texts, chars)
    if not together.isascii() or together.encode().translate(None, _BASE64):
        raise InvalidInput("This is no unpadded Base64.")
