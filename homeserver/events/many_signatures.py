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
from itertools import accumulate, repeat
from pathlib import Path

from homeserver.events.signing import SigningKey, VerifyKey

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


def first_wrong(
    key: VerifyKey, messages: Sequence[bytes], signatures: Sequence[bytes]
) -> int | None:
    """The place of the first message that the key's owner did not sign so; None: he signed all."""
    usual = _usual(key, messages, signatures)
    confirmed = _confirmed(key, messages[:usual], signatures[:usual])
    for start, are_right in zip(range(0, usual, LANES), confirmed, strict=False):
        if not are_right:
            for place in range(start, min(start + LANES, usual)):
                if not key.verify(signatures[place], messages[place]):
                    return place
    for place in range(usual, len(signatures)):
        if not key.verify(signatures[place], messages[place]):
            return place
    return None


def _usual(key: VerifyKey, messages: Sequence[bytes], signatures: Sequence[bytes]) -> int:
    """How many from the first on the library sees as libsodium does, which takes neither a number S
    beyond its end nor unusual points; as R the library takes what it computes itself, byte by byte.
    """
    if key.raw in _UNUSUAL_POINTS:
        return 0
    pairs = zip(messages, signatures, strict=True)
    return next((place for place, pair in enumerate(pairs) if _is_unusual(*pair)), len(signatures))


def _is_unusual(message: bytes, signature: bytes) -> bool:
    return (
        len(signature) != 2 * _HALF
        or signature[-1] >= _TOP_OF_S
        or signature[:_HALF] in _UNUSUAL_POINTS
        or len(message) > _LONGEST
    )


_Library = Callable[[VerifyKey, Sequence[bytes], Sequence[bytes]], Iterator[bool]]


def _confirmed(
    key: VerifyKey, messages: Sequence[bytes], signatures: Sequence[bytes]
) -> Iterable[bool]:
    """Of eight at a time, whether the library finds all right. Where there is none, and of a single
    one, it says nothing of any.
    """
    library = _library()
    if library is None or len(signatures) < _LEAST:
        return repeat(object=False)
    return library(key, messages, signatures)


@cache
def _library() -> _Library | None:
    """None: there is none, or it does not work with this processor."""
    try:
        verify = CDLL(str(LIBRARY)).mbx_ed25519_verify_mb8
    except (OSError, AttributeError):
        return None
    verify.argtypes = [c_void_p] * 5
    verify.restype = c_uint32

    def confirms(
        key: VerifyKey, messages: Sequence[bytes], signatures: Sequence[bytes]
    ) -> Iterator[bool]:
        """Of eight at a time. Lanes that are left do what the last one does."""
        r, said = _Blocks(_filled(signatures)), _Blocks(_filled(messages))
        s = array("Q", [address + _HALF for address in r.addresses])
        owner = _Blocks([key.raw])
        owners = owner.addresses * LANES
        for start in range(0, len(s), LANES):
            columns = (r.addresses, s, said.addresses, said.lengths)
            yield not verify(*(_address(each, start) for each in columns), _address(owners, 0))

    return confirms if _works(confirms) else None


class _Blocks:
    """Blocks of bytes, one behind the other, and where they are as long as this is there."""

    __slots__ = ("_together", "addresses", "lengths")

    def __init__(self, blocks: Sequence[bytes]) -> None:
        self._together = b"".join(blocks)
        self.lengths = array("I", map(len, blocks))
        start = cast(c_char_p(self._together), c_void_p).value
        self.addresses = array("Q", accumulate(self.lengths[:-1], initial=start))


def _filled(blocks: Sequence[bytes]) -> Sequence[bytes]:
    """Up to a multiple of eight, with what is last."""
    return [*blocks, *[blocks[-1]] * (-len(blocks) % LANES)]


def _address(column: "array[int]", number: int) -> int:
    """Of one of its numbers."""
    return column.buffer_info()[0] + number * column.itemsize


def _works(confirms: _Library) -> bool:
    """Whether it takes eight right signatures, and none of another message in any lane."""
    key = SigningKey.from_seed(bytes(_HALF), "ed25519:test")
    messages = [bytes([lane]) * 50 * lane for lane in range(LANES)]
    signatures = [key.sign(message) for message in messages]
    others = [
        [*messages[:lane], messages[lane] + b"x", *messages[lane + 1 :]] for lane in range(LANES)
    ]
    return [*confirms(key.verify_key, messages, signatures)] == [True] and not any(
        any(confirms(key.verify_key, some, signatures)) for some in others
    )
