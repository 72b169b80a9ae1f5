"""Many Ed25519 signatures at once.

Where the processor has AVX-512 IFMA, `libcrypto_mb` of the package ipp-crypto checks eight in the
time that libsodium needs for two. It only ever saves work: what it does not confirm, and what the
two might see differently, libsodium decides. Source: docs/decisions/0008.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from ctypes import CDLL, c_char_p, c_uint32, c_void_p, cast
from functools import cache
from itertools import accumulate, repeat, takewhile
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
    usual = [*takewhile(_is_usual, checks)]
    for start, are_right in zip(range(0, len(usual), LANES), _confirmations(usual), strict=False):
        for each in usual[start : start + LANES]:
            yield are_right or each.is_right()
    for each in checks[len(usual) :]:
        yield each.is_right()


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


_Library = Callable[[Sequence[Check]], Iterator[bool]]


def _confirmations(usual: Sequence[Check]) -> Iterable[bool]:
    """Of eight at a time, whether the library finds all right. Where there is none, and of a single
    one, it says nothing of any.
    """
    library = _library()
    return repeat(object=False) if library is None or len(usual) < _LEAST else library(usual)


@cache
def _library() -> _Library | None:
    """None: there is none, or it does not work with this processor."""
    try:
        verify = CDLL(str(LIBRARY)).mbx_ed25519_verify_mb8
    except (OSError, AttributeError):
        return None
    verify.argtypes = [c_void_p] * 5
    verify.restype = c_uint32

    def confirms(checks: Sequence[Check]) -> Iterator[bool]:
        """Of eight at a time. Lanes that are left do what the last one does."""
        lanes = [*checks, *[checks[-1]] * (-len(checks) % LANES)]
        r = _Blocks([each.signature for each in lanes])
        s = array("Q", [address + _HALF for address in r.addresses])
        messages = _Blocks([each.message for each in lanes])
        lengths = array("I", [len(each.message) for each in lanes])
        keys = _Blocks([each.key.raw for each in lanes])
        columns = (r.addresses, s, messages.addresses, lengths, keys.addresses)
        for start in range(0, len(lanes), LANES):
            yield not verify(*[_address(column, start) for column in columns])

    return confirms if _works(confirms) else None


class _Blocks:
    """Blocks of bytes, one behind the other, and where they are as long as this is there."""

    __slots__ = ("_together", "addresses")

    def __init__(self, blocks: Sequence[bytes]) -> None:
        self._together = b"".join(blocks)
        start = cast(c_char_p(self._together), c_void_p).value
        self.addresses = array("Q", accumulate(map(len, blocks[:-1]), initial=start))


def _address(column: "array[int]", number: int) -> int:
    """Of one of its numbers."""
    return column.buffer_info()[0] + number * column.itemsize


def _works(confirms: _Library) -> bool:
    """Whether it takes eight right signatures, and none of another message in any lane."""
    key = SigningKey.from_seed(bytes(_HALF), "ed25519:test")
    messages = [bytes([lane]) * 50 * lane for lane in range(LANES)]
    right = [Check(key.verify_key, message, key.sign(message)) for message in messages]
    wrong = [Check(each.key, each.message + b"x", each.signature) for each in right]
    several = [[*right[:lane], wrong[lane], *right[lane + 1 :]] for lane in range(LANES)]
    return [*confirms(right)] == [True] and not any(any(confirms(some)) for some in several)
