"""Encrypts what is stored: private keys, sessions, everything but kinds and names.

XChaCha20-Poly1305; kind and name are authenticated, so that rows cannot be exchanged.
"""

from collections.abc import Collection, Mapping

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError as SodiumError

from e2e.client.errors import BadSecret
from e2e.client.primitives import KEY_BYTES, Entropy
from e2e.client.store.protocol import Store
from e2e.client.vault import Changes, Key

_NONCE_BYTES = 24


class SealedStore:
    """A store whose rows nobody reads without the key. key: 32 bytes.
    Raises BadSecret when rows of another key, or changed ones, are read.
    """

    def __init__(self, store: Store, *, key: bytes, entropy: Entropy) -> None:
        if len(key) != KEY_BYTES:
            raise BadSecret(f"the key of a store has {KEY_BYTES} bytes")
        self._store = store
        self._key = key
        self._entropy = entropy

    async def load(self, *, without: Collection[str]) -> dict[Key, bytes]:
        rows = await self._store.load(without=without)
        return {key: self._opened(key, row) for key, row in rows.items()}

    async def fetch(self, keys: Collection[Key]) -> Mapping[Key, bytes | None]:
        rows = await self._store.fetch(keys)
        return {key: None if row is None else self._opened(key, row) for key, row in rows.items()}

    async def write(self, changes: Changes) -> None:
        sealed = {
            key: None if row is None else self._sealed(key, row) for key, row in changes.items()
        }
        await self._store.write(sealed)

    async def close(self) -> None:
        await self._store.close()

    def _sealed(self, key: Key, row: bytes) -> bytes:
        nonce = self._entropy(_NONCE_BYTES)
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(
            row, _place(key), nonce, self._key
        )

    def _opened(self, key: Key, sealed: bytes) -> bytes:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext, _place(key), nonce, self._key
            )
        except (SodiumError, ValueError, TypeError):
            raise BadSecret("the store is of another key, or was changed") from None


def _place(key: Key) -> bytes:
    return f"{key.kind}\0{key.name}".encode()
