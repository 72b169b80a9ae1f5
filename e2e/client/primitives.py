"""Cryptography that libolm does not expose to Python, by libraries."""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError as SodiumError

from e2e.client.errors import BadKeys

Entropy = Callable[[int], bytes]
"""Random bytes, as many as asked for."""

KEY_BYTES = 32
BLOCK_BYTES = 16
_BLOCK_BITS = 128
_BIT_63_BYTE = 8


def hkdf_sha256(secret: bytes, length: int, *, salt: bytes = b"", info: bytes = b"") -> bytes:
    """RFC 5869 with SHA-256; without a salt it is a block of zeros."""
    pseudo_random = hmac.digest(salt or bytes(hashlib.sha256().digest_size), secret, "sha256")
    output, block, count = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(pseudo_random, block + info + bytes([count]), "sha256")
        output += block
        count += 1
    return output[:length]


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def same(one: bytes, other: bytes) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def aes_ctr(key: bytes, counter_block: bytes, data: bytes) -> bytes:
    """Encrypts and decrypts. key: 32 bytes; counter_block: 16 bytes."""
    stream = aes_ctr_stream(key, counter_block)
    return stream.update(data) + stream.finalize()


def aes_ctr_stream(key: bytes, counter_block: bytes) -> CipherContext:
    """The same in pieces."""
    return Cipher(algorithms.AES(key), modes.CTR(counter_block)).encryptor()


def aes_cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """With PKCS#7 padding."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(plaintext) + padder.finalize()
    stream = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return stream.update(padded) + stream.finalize()


def aes_cbc_decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Raises ValueError where the padding or the length is wrong."""
    stream = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = stream.update(ciphertext) + stream.finalize()
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def counter_block(entropy: Entropy) -> bytes:
    """16 random bytes with bit 63 zero.
    Source: C-S API v1.19, "Key exports" and "m.secret_storage.v1.aes-hmac-sha2": some
    implementations count in 64 bits only.
    """
    block = bytearray(entropy(BLOCK_BYTES))
    block[_BIT_63_BYTE] &= 0x7F
    return bytes(block)


def x25519_public(private: bytes) -> bytes:
    return crypto_scalarmult_base(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """The shared secret. Raises BadKeys for a public key that is none."""
    try:
        return crypto_scalarmult(private, public)
    except (SodiumError, ValueError):
        raise BadKeys("not a Curve25519 key") from None


def random_id(entropy: Entropy) -> str:
    """The ID of a transaction or a request: 128 random bits."""
    return entropy(16).hex()
