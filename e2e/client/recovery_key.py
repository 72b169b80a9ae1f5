"""Keys as people write them down.

Source: Matrix v1.19 appendices, "Cryptographic key representation"; C-S API, "Deriving keys from
passphrases".
"""

import hashlib
from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Any

from e2e.client.errors import BadSecret
from e2e.client.primitives import KEY_BYTES

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_HEADER = b"\x8b\x01"
_GROUP = 4
_BITS_OF_A_BYTE = 8

MAX_ITERATIONS = 10_000_000
"""Whoever can write the account data cannot make the client compute for ever."""


def encode(key: bytes) -> str:
    """In groups of four characters."""
    body = _HEADER + key
    text = _base58(body + bytes([reduce(xor, body)]))
    return " ".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def decode(text: str) -> bytes:
    """The 32 bytes. Raises BadSecret for what is mistyped."""
    raw = _from_base58("".join(text.split()))
    if not raw.startswith(_HEADER) or len(raw) != len(_HEADER) + KEY_BYTES + 1:
        raise BadSecret("not a recovery key: its beginning or its length is wrong")
    if reduce(xor, raw):
        raise BadSecret("not a recovery key: mistyped somewhere")
    return raw[len(_HEADER) : -1]


def from_passphrase(passphrase: str, description: Mapping[str, Any]) -> bytes:
    """description: the `passphrase` object of the key's account data. Raises BadSecret."""
    salt, iterations = description.get("salt"), description.get("iterations")
    bits = description.get("bits", KEY_BYTES * _BITS_OF_A_BYTE)
    if description.get("algorithm") != "m.pbkdf2" or not isinstance(salt, str):
        raise BadSecret("the passphrase is used in a way that we do not know")
    if not isinstance(iterations, int) or not 0 < iterations <= MAX_ITERATIONS:
        raise BadSecret("the number of iterations is not usable")
    if bits != KEY_BYTES * _BITS_OF_A_BYTE:
        raise BadSecret(f"keys have {KEY_BYTES * _BITS_OF_A_BYTE} bits")
    return hashlib.pbkdf2_hmac("sha512", passphrase.encode(), salt.encode(), iterations, KEY_BYTES)


def _base58(raw: bytes) -> str:
    number, text = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        text = _ALPHABET[digit] + text
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + text


def _from_base58(text: str) -> bytes:
    number = 0
    for character in text:
        if character not in _VALUES:
            raise BadSecret(f"not a recovery key: it has no {character!r}")
        number = number * len(_ALPHABET) + _VALUES[character]
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // _BITS_OF_A_BYTE)
