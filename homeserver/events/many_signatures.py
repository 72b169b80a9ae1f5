"""Many Ed25519 signatures at once.

Where the processor has AVX-512 IFMA, `libcrypto_mb` of the package ipp-crypto checks eight in the
time that libsodium needs for two. It only ever saves work: what it does not confirm, and what the
two might see differently, libsodium decides. Source: docs/decisions/0008.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import CDLL, c_char_p, c_uint32
from functools import cache
from pathlib import Path

from homeserver.events.signing import SigningKey, VerifyKey
from homeserver.values import value

LANES = 8
LIBRARY = Path(sys.prefix, "lib", "libcrypto_mb.so")

_LEAST = 2
"""Signatures that are worth a call, which takes as long for one as for eight."""
_LONGEST = 65_536
"""Bytes of a message: with longer ones the time goes into hashing."""
_HALF = 32
"""A signature is a point R and a number S, of so many bytes each, the lowest first."""
_TOP_OF_S = 2**4
"""S with a last byte below this is less than 2^252, and so than the order of the base point (RFC
8032, section 5.1). Of right signatures one in 2^127 is not.
"""
_SIGN = 2**255
"""A point is its y and this bit, the sign of x."""
_PRIME = 2**255 - 19
_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_Y_OF_SMALL_ORDER = (0, 1, _PRIME - 1, _OF_ORDER_8, _PRIME - _OF_ORDER_8)
_UNUSUAL_POINTS = frozenset(
    (y + sign).to_bytes(_HALF, "little")
    for y in (*_Y_OF_SMALL_ORDER, *range(_PRIME, _SIGN))
    for sign in (0, _SIGN)
)
"""Those whose order divides 8, and those that should have been written otherwise."""


@value
class Check:
    """Whether the key's owner signed the message."""

    key: VerifyKey
    message: bytes
    signature: bytes

    def is_right(self) -> bool:
        return self.key.verify(self.signature, self.message)


def verdicts(checks: Sequence[Check]) -> Iterator[bool]:
    """What `is_right` of each says, in their order. Whoever stops at a wrong one saves the rest."""
    for start in range(0, len(checks), LANES):
        some = checks[start : start + LANES]
        if len(some) >= _LEAST and are_confirmed(some):
            yield from (True for _ in some)
        else:
            yield from (each.is_right() for each in some)


def are_confirmed(checks: Sequence[Check]) -> bool:
    """Whether the library finds all of them right, of which there are one to eight. Otherwise, and
    where there is no library, nothing is said of any of them.
    """
    confirms = _library()
    return confirms is not None and all(map(_is_usual, checks)) and confirms(checks)


def _is_usual(check: Check) -> bool:
    """Whether the library sees it as libsodium does, which takes neither a number S beyond its end
    nor unusual points; as R the library takes what it computes itself, byte by byte.
    """
    signature = check.signature
    return (
        len(signature) == 2 * _HALF
        and signature[-1] < _TOP_OF_S
        and signature[:_HALF] not in _UNUSUAL_POINTS
        and check.key.raw not in _UNUSUAL_POINTS
        and len(check.message) <= _LONGEST
    )


_Confirms = Callable[[Sequence[Check]], bool]
_Blocks = c_char_p * LANES
"""Addresses of bytes, which live as long as this does."""
_Lengths = c_uint32 * LANES


@cache
def _library() -> _Confirms | None:
    """None: there is none, or it does not work with this processor."""
    try:
        verify = CDLL(str(LIBRARY)).mbx_ed25519_verify_mb8
    except (OSError, AttributeError):
        return None
    verify.argtypes = [_Blocks, _Blocks, _Blocks, _Lengths, _Blocks]
    verify.restype = c_uint32

    def confirms(checks: Sequence[Check]) -> bool:
        """Lanes that are left do what the last one does."""
        lanes = [*checks, *[checks[-1]] * (LANES - len(checks))]
        errors: int = verify(
            _Blocks(*[each.signature[:_HALF] for each in lanes]),
            _Blocks(*[each.signature[_HALF:] for each in lanes]),
            _Blocks(*[each.message for each in lanes]),
            _Lengths(*[len(each.message) for each in lanes]),
            _Blocks(*[each.key.raw for each in lanes]),
        )
        return not errors

    return confirms if _works(confirms) else None


def _works(confirms: _Confirms) -> bool:
    """Whether it takes eight right signatures, and none of another message in any lane."""
    key = SigningKey.from_seed(bytes(_HALF), "ed25519:test")
    messages = [bytes([lane]) * 50 * lane for lane in range(LANES)]
    right = [Check(key.verify_key, message, key.sign(message)) for message in messages]
    wrong = [Check(each.key, each.message + b"x", each.signature) for each in right]
    return confirms(right) and not any(
        confirms([*right[:lane], wrong[lane], *right[lane + 1 :]]) for lane in range(LANES)
    )
