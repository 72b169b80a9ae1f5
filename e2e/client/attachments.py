"""Files, encrypted before they are uploaded; in pieces, so that they need not fit into memory.

Source: C-S API v1.19, "Sending encrypted attachments", `EncryptedFile`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from e2e.client.errors import BadFile
from e2e.client.primitives import BLOCK_BYTES, KEY_BYTES, Entropy, aes_ctr_stream, same
from homeserver.errors import InvalidInput
from homeserver.events import base64

VERSION = "v2"
_ALGORITHM = "A256CTR"
_PREFIX_BYTES = 8


class Encryption:
    """Encrypts one file: `pieces` once, then `file`."""

    def __init__(self, entropy: Entropy) -> None:
        self._key = entropy(KEY_BYTES)
        # "The latter 64 bits of the 128-bit counter block MUST start at zero."
        self._iv = entropy(_PREFIX_BYTES) + bytes(BLOCK_BYTES - _PREFIX_BYTES)
        self._hash = hashlib.sha256()

    def pieces(self, plaintext: Iterable[bytes]) -> Iterator[bytes]:
        """The ciphertext."""
        stream = aes_ctr_stream(self._key, self._iv)
        for piece in plaintext:
            encrypted = stream.update(piece)
            self._hash.update(encrypted)
            yield encrypted

    def file(self, url: str) -> dict[str, Any]:
        """The `EncryptedFile`, after the last piece. url: where the ciphertext was uploaded."""
        return {
            "v": VERSION,
            "url": url,
            "key": {
                "kty": "oct",
                "key_ops": ["encrypt", "decrypt"],
                "alg": _ALGORITHM,
                "k": base64.encode_urlsafe(self._key),
                "ext": True,
            },
            "iv": base64.encode(self._iv),
            "hashes": {"sha256": base64.encode(self._hash.digest())},
        }


class Decryption:
    """Decrypts one file. Raises BadFile for an `EncryptedFile` that is not usable."""

    def __init__(self, file: Mapping[str, Any]) -> None:
        key, hashes = file.get("key"), file.get("hashes")
        if file.get("v") != VERSION or not isinstance(key, Mapping):
            raise BadFile("the file is encrypted in a way that we do not know")
        if key.get("alg") != _ALGORITHM or not isinstance(hashes, Mapping):
            raise BadFile("the file is encrypted in a way that we do not know")
        self._key = _bytes(key.get("k"), KEY_BYTES)
        self._iv = _bytes(file.get("iv"), BLOCK_BYTES)
        self._expected = _bytes(hashes.get("sha256"), hashlib.sha256().digest_size)

    def pieces(self, ciphertext: Iterable[bytes]) -> Iterator[bytes]:
        """The plaintext. Nothing of it may be used before the end, where BadFile is raised for a
        file that is not the one that was sent.
        """
        seen = hashlib.sha256()
        stream = aes_ctr_stream(self._key, self._iv)
        for piece in ciphertext:
            seen.update(piece)
            yield stream.update(piece)
        if not same(seen.digest(), self._expected):
            raise BadFile("the file was changed on its way")

    def checked(self, ciphertext: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
        """The plaintext of something that can be read twice: checked first, decrypted then."""
        for _ in self.pieces(ciphertext()):
            pass
        return self.pieces(ciphertext())


def encrypt(plaintext: bytes, entropy: Entropy) -> tuple[bytes, Encryption]:
    """A small file at once."""
    encryption = Encryption(entropy)
    return b"".join(encryption.pieces([plaintext])), encryption


def decrypt(ciphertext: bytes, file: Mapping[str, Any]) -> bytes:
    """A small file at once. Raises BadFile."""
    return b"".join(Decryption(file).pieces([ciphertext]))


def _bytes(text: Any, length: int) -> bytes:
    try:
        raw = base64.decode(text)
    except (InvalidInput, AttributeError, TypeError):
        raise BadFile("the key of the file is damaged") from None
    if len(raw) != length:
        raise BadFile("the key of the file is damaged")
    return raw
