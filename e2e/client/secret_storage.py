"""Secrets in account data, encrypted with a key that the user keeps.

Source: C-S API v1.19, "Secrets", "Storage", "m.secret_storage.v1.aes-hmac-sha2".
"""

from collections.abc import Mapping
from typing import Any

from e2e.client.errors import BadSecret
from e2e.client.primitives import (
    KEY_BYTES,
    Entropy,
    aes_ctr,
    counter_block,
    hkdf_sha256,
    hmac_sha256,
    same,
)
from e2e.client.recovery_key import from_passphrase
from e2e.client.requests import PutAccountData
from homeserver.errors import InvalidInput
from homeserver.events import base64

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
DEFAULT_KEY = "m.secret_storage.default_key"
KEY_PREFIX = "m.secret_storage.key."

DEFAULT_ITERATIONS = 500_000

_KEY_ID_BYTES = 24
_ZEROS = bytes(KEY_BYTES)


class StorageKey:
    """A key with its ID. raw: 32 bytes."""

    def __init__(self, key_id: str, raw: bytes) -> None:
        self.key_id = key_id
        self.raw = raw

    def encrypt(self, name: str, secret: str, entropy: Entropy) -> dict[str, str]:
        """An `AesHmacSha2EncryptedData`."""
        return _encrypt(self.raw, name, secret.encode(), counter_block(entropy))

    def decrypt(self, name: str, encrypted: Any) -> str:
        """Raises BadSecret."""
        aes_key, mac_key = _keys(self.raw, name)
        iv, ciphertext, mac = (_bytes(encrypted, part) for part in ("iv", "ciphertext", "mac"))
        if not same(mac, hmac_sha256(mac_key, ciphertext)):
            raise BadSecret(f"the secret {name} is damaged, or of another key")
        try:
            return aes_ctr(aes_key, iv, ciphertext).decode()
        except ValueError:
            raise BadSecret(f"the secret {name} is damaged") from None

    def description(self, entropy: Entropy) -> dict[str, Any]:
        """The content of its `m.secret_storage.key.…`, with which it can be recognised."""
        check = _encrypt(self.raw, "", _ZEROS, counter_block(entropy))
        return {"algorithm": ALGORITHM, "iv": check["iv"], "mac": check["mac"]}

    def fits(self, description: Mapping[str, Any]) -> bool:
        """Without `iv` and `mac`, clients must assume that it does. Raises BadSecret for a key of
        another algorithm.
        """
        if description.get("algorithm") != ALGORITHM:
            raise BadSecret("the key is of an algorithm that we do not know")
        if "iv" not in description or "mac" not in description:
            return True
        check = _encrypt(self.raw, "", _ZEROS, _bytes(description, "iv"))
        return same(base64.decode(check["mac"]), _bytes(description, "mac"))


def create(
    entropy: Entropy, passphrase: str | None = None, *, iterations: int = DEFAULT_ITERATIONS
) -> tuple[StorageKey, list[PutAccountData]]:
    """A new key, as the default key, and what to put into account data."""
    key_id = base64.encode_urlsafe(entropy(_KEY_ID_BYTES))
    extra: dict[str, Any] = {}
    raw = entropy(KEY_BYTES)
    if passphrase is not None:
        salt = base64.encode(entropy(KEY_BYTES))
        how = {"algorithm": "m.pbkdf2", "salt": salt, "iterations": iterations, "bits": 256}
        raw = from_passphrase(passphrase, how)
        extra = {"passphrase": how}
    key = StorageKey(key_id, raw)
    return key, [
        PutAccountData(f"{KEY_PREFIX}{key_id}", {**key.description(entropy), **extra}),
        PutAccountData(DEFAULT_KEY, {"key": key_id}),
    ]


def stored(key: StorageKey, name: str, secret: str, entropy: Entropy) -> PutAccountData:
    """One secret under one key."""
    return PutAccountData(name, {"encrypted": {key.key_id: key.encrypt(name, secret, entropy)}})


def read(key: StorageKey, name: str, content: Mapping[str, Any]) -> str:
    """A secret out of the account data of its name. Raises BadSecret."""
    encrypted = content.get("encrypted")
    if not isinstance(encrypted, Mapping) or key.key_id not in encrypted:
        raise BadSecret(f"the secret {name} is not stored under this key")
    return key.decrypt(name, encrypted[key.key_id])


def _encrypt(raw: bytes, name: str, plaintext: bytes, iv: bytes) -> dict[str, str]:
    aes_key, mac_key = _keys(raw, name)
    ciphertext = aes_ctr(aes_key, iv, plaintext)
    return {
        "iv": base64.encode(iv),
        "ciphertext": base64.encode(ciphertext),
        "mac": base64.encode(hmac_sha256(mac_key, ciphertext)),
    }


def _keys(raw: bytes, name: str) -> tuple[bytes, bytes]:
    """For AES and for the MAC."""
    both = hkdf_sha256(raw, 2 * KEY_BYTES, info=name.encode())
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _bytes(obj: Any, name: str) -> bytes:
    value = obj.get(name) if isinstance(obj, Mapping) else None
    if not isinstance(value, str):
        raise BadSecret(f"a secret without {name}")
    try:
        return base64.decode(value)
    except InvalidInput:
        raise BadSecret(f"a secret whose {name} is not Base64") from None
