"""Room keys in a file, under a passphrase.

Source: C-S API v1.19, "Key exports", "Key export format".
"""

import hashlib
import struct
import textwrap
from typing import Any

from e2e.client.errors import BadFile, BadSecret
from e2e.client.primitives import (
    BLOCK_BYTES,
    KEY_BYTES,
    Entropy,
    aes_ctr,
    counter_block,
    hmac_sha256,
    same,
)
from e2e.client.recovery_key import MAX_ITERATIONS
from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json

BEGIN = "-----BEGIN MEGOLM SESSION DATA-----"
END = "-----END MEGOLM SESSION DATA-----"

DEFAULT_ROUNDS = 500_000
_VERSION = 1
_HEADER = struct.Struct(f">B{BLOCK_BYTES}s{BLOCK_BYTES}sI")
_MAC_BYTES = 32
_LINE = 96


def encrypt(
    sessions: list[dict[str, Any]], passphrase: str, entropy: Entropy, rounds: int = DEFAULT_ROUNDS
) -> str:
    """The file's text. sessions: `ExportedSessionData` objects."""
    salt, iv = entropy(BLOCK_BYTES), counter_block(entropy)
    aes_key, mac_key = _keys(passphrase, salt, rounds)
    ciphertext = aes_ctr(aes_key, iv, canonical_json.encode(sessions))
    body = _HEADER.pack(_VERSION, salt, iv, rounds) + ciphertext
    encoded = base64.encode(body + hmac_sha256(mac_key, body))
    encoded += "=" * (-len(encoded) % 4)
    return "\n".join((BEGIN, *textwrap.wrap(encoded, _LINE), END, ""))


def decrypt(text: str, passphrase: str) -> list[dict[str, Any]]:
    """The sessions. Raises BadFile for what is not such a file, BadSecret for the wrong
    passphrase (or a damaged file: nothing tells them apart).
    """
    body, mac = _parts(text)
    version, salt, iv, rounds = _HEADER.unpack(body[: _HEADER.size])
    if version != _VERSION or not 0 < rounds <= MAX_ITERATIONS:
        raise BadFile("an export of a version that we do not know")
    aes_key, mac_key = _keys(passphrase, salt, rounds)
    if not same(mac, hmac_sha256(mac_key, body)):
        raise BadSecret("the passphrase is wrong, or the file is damaged")
    sessions = canonical_json.decode(aes_ctr(aes_key, iv, body[_HEADER.size :]))
    if not isinstance(sessions, list):
        raise BadFile("the export contains no sessions")
    return [session for session in sessions if isinstance(session, dict)]


def _parts(text: str) -> tuple[bytes, bytes]:
    _, begin, rest = text.partition(BEGIN)
    encoded, end, _ = rest.partition(END)
    if not begin or not end:
        raise BadFile("not an export of room keys")
    try:
        raw = base64.decode("".join(encoded.split()))
    except InvalidInput:
        raise BadFile("the export is damaged") from None
    if len(raw) < _HEADER.size + _MAC_BYTES:
        raise BadFile("the export is cut off")
    return raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]


def _keys(passphrase: str, salt: bytes, rounds: int) -> tuple[bytes, bytes]:
    both = hashlib.pbkdf2_hmac("sha512", passphrase.encode(), salt, rounds, 2 * KEY_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]
