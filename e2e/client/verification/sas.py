"""What two people compare, and what their devices then prove to each other.

Source: C-S API v1.19, "Short Authentication String (SAS) verification", "MAC calculation", "SAS
HKDF calculation", "SAS method: decimal", "SAS method: emoji".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e.client.errors import BadKeys
from e2e.client.primitives import hkdf_sha256, hmac_sha256, same, x25519
from e2e.client.verification.dialects import Dialect, written_hash, written_mac
from e2e.client.verification.emoji import EMOJI
from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json

_EMOJI_BYTES = 6
_EMOJI_COUNT = 7
_EMOJI_BITS = 6
_DECIMAL_BYTES = 5
_DECIMAL_COUNT = 3
_DECIMAL_BITS = 13
_DECIMAL_OFFSET = 1000
_MAC_KEY_BYTES = 32
_BITS_OF_A_BYTE = 8

KEY_IDS = "KEY_IDS"


@dataclass(frozen=True, slots=True)
class Party:
    """One side. public: its ephemeral Curve25519 key."""

    user_id: str
    device_id: str
    public: str


@dataclass(frozen=True, slots=True)
class ShortStrings:
    """Both are the same on the other device, or somebody is in between. emoji: none where the
    other device would show wrong ones.
    """

    emoji: tuple[tuple[str, str], ...]
    decimals: tuple[int, ...]


def commitment(public: str, start: Mapping[str, Any], dialect: Dialect = Dialect.SPEC) -> str:
    """What the accepting side says of its key before it shows it."""
    digest = hashlib.sha256(public.encode() + canonical_json.encode(start)).digest()
    return written_hash(digest, dialect)


def shared_secret(private: bytes, public: str) -> bytes:
    """Raises BadKeys."""
    try:
        return x25519(private, base64.decode(public))
    except InvalidInput:
        raise BadKeys("not a Curve25519 key") from None


def short_strings(
    secret: bytes, *, starter: Party, accepter: Party, transaction_id: str
) -> ShortStrings:
    """Of `curve25519-hkdf-sha256`."""
    sides = [f"{party.user_id}|{party.device_id}|{party.public}|" for party in (starter, accepter)]
    info = f"MATRIX_KEY_VERIFICATION_SAS|{sides[0]}{sides[1]}{transaction_id}".encode()
    raw = hkdf_sha256(secret, _EMOJI_BYTES, info=info)
    numbers = _numbers(raw, _EMOJI_BITS, _EMOJI_COUNT)
    # HKDF gives the same bytes first, whatever the length.
    decimals = _numbers(raw[:_DECIMAL_BYTES], _DECIMAL_BITS, _DECIMAL_COUNT)
    return ShortStrings(
        emoji=tuple(EMOJI[number] for number in numbers),
        decimals=tuple(number + _DECIMAL_OFFSET for number in decimals),
    )


class Macs:
    """Of the keys that one side shows to the other. sender, receiver: user ID and device ID."""

    def __init__(
        self,
        secret: bytes,
        *,
        sender: tuple[str, str],
        receiver: tuple[str, str],
        transaction_id: str,
        dialect: Dialect = Dialect.SPEC,
    ) -> None:
        self._secret = secret
        self._dialect = dialect
        parts = (*sender, *receiver, transaction_id)
        self._info = "MATRIX_KEY_VERIFICATION_MAC" + "".join(parts)

    def make(self, keys: Mapping[str, str]) -> dict[str, Any]:
        """`mac` and `keys` of the message. keys: key ID → public key."""
        macs = {key_id: self._mac(key, key_id) for key_id, key in keys.items()}
        return {"mac": macs, "keys": self._mac(",".join(sorted(keys)), KEY_IDS)}

    def check(self, content: Mapping[str, Any], known: Mapping[str, str]) -> frozenset[str]:
        """IDs of the keys that the other side proved to be as we know them.
        Raises BadKeys for any that differs, and where none is known.
        """
        macs, keys = content.get("mac"), content.get("keys")
        if not isinstance(macs, Mapping) or not isinstance(keys, str):
            raise BadKeys("a message without MACs")
        if not _equal(keys, self._mac(",".join(sorted(macs)), KEY_IDS)):
            raise BadKeys("keys were added or removed on the way")
        proven = [key_id for key_id in macs if key_id in known]
        for key_id in proven:
            if not _equal(macs[key_id], self._mac(known[key_id], key_id)):
                raise BadKeys(f"the other device has another key {key_id}")
        if not proven:
            raise BadKeys("the other device showed no key that we know")
        return frozenset(proven)

    def _mac(self, message: str, key_id: str) -> str:
        key = hkdf_sha256(self._secret, _MAC_KEY_BYTES, info=f"{self._info}{key_id}".encode())
        return written_mac(hmac_sha256(key, message.encode()), self._dialect)


def _equal(one: Any, other: str) -> bool:
    return isinstance(one, str) and same(one.rstrip("=").encode(), other.encode())


def _numbers(raw: bytes, bits: int, count: int) -> list[int]:
    """The first `count` groups of that many bits."""
    value, length = int.from_bytes(raw), len(raw) * _BITS_OF_A_BYTE
    return [value >> (length - bits * (at + 1)) & ((1 << bits) - 1) for at in range(count)]
