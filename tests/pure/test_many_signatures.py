"""RFC 8032, section 5.1.7, as libsodium understands it, for many signatures at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha512
from itertools import count
from pathlib import Path
from random import Random
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_scalarmult_ed25519_base_noclamp,
)

from homeserver.events import many_signatures
from homeserver.events.many_signatures import LANES, LIBRARY, first_wrong
from homeserver.events.signing import SigningKey, VerifyKey

CPU = Path("/proc/cpuinfo")
PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
EIGHTH = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""A point of order 8."""
NOWHERE = Path("nowhere.so")

in_lanes = pytest.mark.skipif(
    not LIBRARY.is_file() or not CPU.is_file() or "avx512ifma" not in CPU.read_text(),
    reason="the library is not installed, or the processor has no AVX-512 IFMA",
)


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def small_order() -> list[bytes]:
    """All points whose order divides 8: the multiples of one."""
    points = [EIGHTH]
    while len(points) < 8:
        points.append(crypto_core_ed25519_add(points[-1], EIGHTH))
    return points


SMALL_ORDER = small_order()
NOT_CANONICAL = [little(y + sign) for y in range(PRIME, 2**255) for sign in (0, 2**255)]
UNUSUAL = [*SMALL_ORDER, little(1 + 2**255), little(PRIME - 1 + 2**255), *NOT_CANONICAL]


@dataclass(frozen=True)
class Check:
    """Whether the key's owner signed the message."""

    key: VerifyKey
    message: bytes
    signature: bytes

    def is_right(self) -> bool:
        return self.key.verify(self.signature, self.message)


class Signer:
    """Who signs so that the equation holds, whatever stands for R or is added to the key."""

    def __init__(self, seed: bytes = bytes(32)) -> None:
        self.key = SigningKey.from_seed(seed, "ed25519:1")
        clamped = bytearray(sha512(seed).digest()[:32])
        clamped[0] &= 248
        clamped[31] = clamped[31] & 63 | 64
        self.scalar = int.from_bytes(clamped, "little")

    def signs(self, message: bytes) -> Check:
        return Check(self.key.verify_key, message, self.key.sign(message))

    def signs_without_r(self, message: bytes, r: bytes) -> Check:
        """r: a way to write the neutral point, as if of the number 0."""
        return self._signs(self.key.verify_key.raw, 0, r, message)

    def signs_with_key_of_mixed_order(self, message: bytes, torsion: bytes) -> Check:
        public = crypto_core_ed25519_add(self.key.verify_key.raw, torsion)
        return self._signs(public, 5, crypto_scalarmult_ed25519_base_noclamp(little(5)), message)

    def _signs(self, public: bytes, number: int, r: bytes, message: bytes) -> Check:
        h = int.from_bytes(sha512(r + public + message).digest(), "little")
        s = little((number + h * self.scalar) % ORDER)
        return Check(VerifyKey(public), message, r + s)


ALICE, BOB = Signer(), Signer(b"b" * 32)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def with_key(check: Check, key: bytes) -> Check:
    return Check(VerifyKey(key), check.message, check.signature)


def with_signature(check: Check, signature: bytes) -> Check:
    return Check(check.key, check.message, signature)


def with_more(check: Check, orders: int) -> Check:
    """The same number S but for some orders of the base point."""
    s = int.from_bytes(check.signature[32:], "little") + orders * ORDER
    return with_signature(check, check.signature[:32] + little(s))


messages = st.one_of(st.binary(max_size=300), st.integers(0, 5_000).map(bytes))
right = st.builds(Signer.signs, st.just(ALICE), messages)
bits, points = st.integers(0, 511), st.sampled_from(UNUSUAL)
wrong = st.one_of(
    st.builds(
        lambda check, more: Check(check.key, check.message + more, check.signature),
        right,
        st.binary(min_size=1),
    ),
    st.builds(lambda check, bit: with_signature(check, flipped(check.signature, bit)), right, bits),
    st.builds(with_more, right, st.integers(1, 14)),
    st.builds(lambda check, r: with_signature(check, r + check.signature[32:]), right, points),
    st.builds(Signer.signs_without_r, st.just(ALICE), messages, points),
    st.builds(
        with_signature,
        right,
        st.one_of(st.binary(max_size=80), st.binary(min_size=64, max_size=64)),
    ),
)
"""By Alice's key."""
keys = st.one_of(
    points,
    st.binary(min_size=32, max_size=32),
    st.builds(lambda bit: flipped(ALICE.key.verify_key.raw, bit), st.integers(0, 255)),
)
"""Not Alice's."""
# Versions of libsodium see these differently.
mixed = st.builds(
    Signer.signs_with_key_of_mixed_order, st.just(ALICE), messages, st.sampled_from(SMALL_ORDER)
)


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """While the library is looked for there."""
    many_signatures._library.cache_clear()
    with mock.patch.object(many_signatures, "LIBRARY", path):
        yield
    many_signatures._library.cache_clear()


def first_of(checks: list[Check]) -> int | None:
    """The first wrong one of those by one key."""
    if not checks:
        return first_wrong(ALICE.key.verify_key, [], [])
    (key,) = {each.key for each in checks}
    messages, signatures = (
        [getattr(each, of) for each in checks] for of in ("message", "signature")
    )
    return first_wrong(key, messages, signatures)


def by_libsodium(checks: list[Check]) -> int | None:
    return next((place for place, each in enumerate(checks) if not each.is_right()), None)


@pytest.mark.parametrize("path", [LIBRARY, NOWHERE], ids=["library", "none"])
class TestFirstWrong:
    """That of libsodium, with the library and without."""

    @given(st.lists(st.one_of(right, right, right, right, wrong), max_size=40))
    def test_whatever_comes(self, path, checks):
        with loading(path):
            assert first_of(checks) == by_libsodium(checks)

    @given(st.lists(mixed, min_size=1, max_size=20))
    def test_a_key_of_mixed_order(self, path, checks):
        checks = [each for each in checks if each.key == checks[0].key]
        with loading(path):
            assert first_of(checks) == by_libsodium(checks)

    @given(key=keys, checks=st.lists(right, min_size=1, max_size=20))
    def test_another_key(self, path, key, checks):
        with loading(path):
            checks = [with_key(each, key) for each in checks]
            assert first_of(checks) == by_libsodium(checks)

    @pytest.mark.parametrize("number", range(41))
    def test_so_many_right_ones(self, path, number):
        with loading(path):
            assert first_of([ALICE.signs(bytes(length)) for length in range(number)]) is None

    @pytest.mark.parametrize("number", range(1, 2 * LANES + 2))
    def test_one_wrong_one_in_each_place(self, path, number):
        checks = [ALICE.signs(bytes(place)) for place in range(number)]
        with loading(path):
            for place in range(number):
                some = [*checks]
                some[place] = with_signature(some[place], BOB.signs(b"x").signature)
                assert first_of(some) == place

    @given(check=wrong, place=st.integers(0, LANES - 1))
    def test_a_wrong_one_among_right_ones(self, path, check, place):
        checks = [ALICE.signs(bytes(number)) for number in range(LANES)]
        checks[place] = check
        with loading(path):
            assert first_of(checks) == by_libsodium(checks)

    @pytest.mark.parametrize("length", [0, 1, 47, 48, 111, 112, 127, 128, 65_536, 65_537, 200_000])
    def test_messages_of_all_lengths(self, path, length):
        checks = [ALICE.signs(bytes(length)) for _ in range(LANES)]
        with loading(path):
            assert first_of(checks) is None

    def test_a_wrong_one_saves_the_rest(self, path):
        checks = [ALICE.signs(b"x") for _ in range(10 * LANES)]
        checks[0] = with_signature(checks[0], BOB.signs(b"x").signature)
        asked = []
        with loading(path), counting(asked.append):
            assert first_of(checks) == 0
        assert asked == checks[:1]


@contextmanager
def counting(note: Callable[[Check], None]) -> Iterator[None]:
    """Notes what libsodium is asked."""
    verify = VerifyKey.verify

    def noting(key: VerifyKey, signature: bytes, message: bytes) -> bool:
        note(Check(key, message, signature))
        return verify(key, signature, message)

    with mock.patch.object(VerifyKey, "verify", noting):
        yield


def are_confirmed(checks: list[Check]) -> bool:
    """Whether the library takes one to eight, without what libsodium would say."""
    filled = [*checks, *checks[-1:] * (LANES - len(checks))]
    with mock.patch.object(VerifyKey, "verify", return_value=False):
        return first_of(filled) is None


@in_lanes
class TestLanes:
    """What the library decides alone."""

    @given(st.lists(right, min_size=1, max_size=LANES))
    def test_right_signatures_are_confirmed(self, checks):
        assert are_confirmed(checks)

    @given(st.lists(right, max_size=40))
    def test_libsodium_is_only_asked_of_a_single_one(self, checks):
        asked = []
        with counting(asked.append):
            assert first_of(checks) is None
        assert asked == (checks if len(checks) == 1 else [])

    @given(check=wrong, place=st.integers(0, 39))
    def test_libsodium_is_asked_of_eight_at_most_up_to_a_wrong_one(self, check, place):
        checks = [ALICE.signs(bytes(number)) for number in range(40)]
        checks[place] = check
        asked = []
        with counting(asked.append):
            if first_of(checks) is None:
                return
        assert asked[-1] == check
        assert len(asked) <= LANES

    @pytest.mark.parametrize("place", range(LANES))
    @given(wrong=wrong)
    def test_nothing_wrong_is_confirmed(self, place, wrong):
        checks = [ALICE.signs(bytes(number)) for number in range(LANES)]
        checks[place] = wrong
        if not wrong.is_right():
            assert not are_confirmed(checks)

    @pytest.mark.parametrize("orders", range(1, 15))
    def test_s_is_below_the_order_of_the_base_point(self, orders):
        assert not are_confirmed([with_more(ALICE.signs(b"x"), orders)])

    @pytest.mark.parametrize("r", UNUSUAL, ids=bytes.hex)
    def test_r_is_no_unusual_point(self, r):
        assert not are_confirmed([ALICE.signs_without_r(b"x", r)])

    @pytest.mark.parametrize("key", UNUSUAL, ids=bytes.hex)
    def test_the_key_is_no_unusual_point(self, key):
        """With such a key anybody could sign: of some messages, h times the key is neutral."""
        r = crypto_scalarmult_ed25519_base_noclamp(little(5))
        for number in range(100):
            assert not are_confirmed([Check(VerifyKey(key), bytes(number), r + little(5))])

    def test_a_key_of_mixed_order_is_as_good_for_libsodium(self):
        """Where the equation holds without a factor of 8."""
        found = (
            ALICE.signs_with_key_of_mixed_order(b"%d" % number, SMALL_ORDER[0])
            for number in count()
        )
        check = next(each for each in found if are_confirmed([each]))
        assert check.is_right()

    def test_a_point_is_on_the_curve(self):
        random = Random(1)
        keys = [random.randbytes(32) for _ in range(200)]
        assert not any(are_confirmed([with_key(ALICE.signs(b"x"), key)]) for key in keys)


class TestNoLibrary:
    """Then libsodium does everything."""

    def test_it_may_be_missing(self):
        with loading(NOWHERE):
            assert not are_confirmed([ALICE.signs(b"x")] * LANES)

    def test_it_may_be_no_library(self, tmp_path):
        path = tmp_path / "text.so"
        path.write_text("text")
        with loading(path):
            assert not are_confirmed([ALICE.signs(b"x")] * LANES)

    def test_it_may_be_another_library(self):
        with loading(Path("libc.so.6")):
            assert not are_confirmed([ALICE.signs(b"x")] * LANES)

    @pytest.mark.parametrize("result", [0, 0xAAAAAAAA, 1, 0x80000000])
    def test_it_may_not_tell_right_from_wrong(self, result):
        """As on a processor that lacks the instructions, where it reports an error a lane."""
        with mock.patch.object(many_signatures, "CDLL") as library, loading(LIBRARY):
            library.return_value.mbx_ed25519_verify_mb8.return_value = result
            assert not are_confirmed([ALICE.signs(b"x")] * LANES)
