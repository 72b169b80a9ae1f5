"""How the other side writes what both compute: commitments and MACs have the same bytes in each.

Source: C-S API v1.19, "MAC calculation", the note on `hkdf-hmac-sha256`, which should be offered
beside the newer method for older clients ("m.key.verification.start").
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from homeserver.events import base64

MAC = "hkdf-hmac-sha256.v2"
OLD_MAC = "hkdf-hmac-sha256"

_HEXADECIMAL = re.compile("[0-9a-f]{64}")


class Dialect(StrEnum):
    SPEC = "spec"
    """`hkdf-hmac-sha256.v2`."""
    LIBOLM = "libolm"
    """`hkdf-hmac-sha256`: Base64 of MACs as libolm once got it wrong."""
    NIO = "nio"
    """matrix-nio 0.26 commits in hexadecimal, says `hkdf-hmac-sha256` for MACs that are those of
    the newer method, and shows other emoji than everybody else, so that numbers are to be compared.
    """


METHODS = {Dialect.SPEC: MAC, Dialect.LIBOLM: OLD_MAC, Dialect.NIO: OLD_MAC}


def of_start(content: Mapping[str, Any]) -> Dialect | None:
    """Of who offers these MACs; None if we know none of them. Only nio offers the old one alone.
    Whoever is in between and takes the newer one away is found out by the commitment, which is
    also one to the offer.
    """
    offered = content.get("message_authentication_codes")
    if not isinstance(offered, list):
        return None
    if MAC in offered:
        return Dialect.SPEC
    if offered == [OLD_MAC]:
        return Dialect.NIO
    return Dialect.LIBOLM if OLD_MAC in offered else None


def of_accept(content: Mapping[str, Any]) -> Dialect | None:
    """Of who chose that MAC and commits like that; None if we did not offer it."""
    commitment = str(content.get("commitment"))
    match content.get("message_authentication_code"):
        case str() as method if method == MAC:
            return Dialect.SPEC
        case str() as method if method == OLD_MAC:
            return Dialect.NIO if _HEXADECIMAL.fullmatch(commitment) else Dialect.LIBOLM
    return None


def written_hash(digest: bytes, dialect: Dialect) -> str:
    """Of a commitment."""
    return digest.hex() if dialect is Dialect.NIO else base64.encode(digest)


def written_mac(mac: bytes, dialect: Dialect) -> str:
    return _of_libolm(mac) if dialect is Dialect.LIBOLM else base64.encode(mac)


def _of_libolm(raw: bytes) -> str:
    """It writes the text over the bytes that it is still to read."""
    length = -(-len(raw) * 4 // 3)
    buffer = bytearray(raw.ljust(length, b"\0"))
    for at in range(0, len(raw), 3):
        text = base64.encode(bytes(buffer[at : min(at + 3, len(raw))])).encode()
        buffer[at // 3 * 4 : at // 3 * 4 + len(text)] = text
    return buffer.decode()
