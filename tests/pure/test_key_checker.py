"""What the server asks the process that checks one-time keys, and what it answers."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.compact_keys import compacted
from e2e.key_checker import answer, decode_keys, decode_place, encode_keys, encode_lines
from e2e.uploaded_keys import OneTimeKeys, Owner, check_one_time_keys
from homeserver.errors import FoyerError, InvalidInput
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID
from tests.support.encryption import SIGNED, KeyMaker, curve25519

ALICE = Owner(UserID("@alice:example.org"), "PHONE")
PHONE = KeyMaker.of(ALICE.user_id, ALICE.device_id)
SIGNER = PHONE.key.verify_key
USUAL = [PHONE.signs({"key": curve25519()}) for _ in range(5)]

names = st.sampled_from(
    [f"{SIGNED}:A", f"{SIGNED}:B", f"{SIGNED}:ü", "x:A", "x:B", "x", ":", "x:" + "A" * 300]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def unusual(more: object) -> dict[str, Any]:
    """Signed, but for numbers that nobody can sign."""
    signature = PHONE.signs({"key": curve25519(), "more": ascii(more)})
    return {**signature, "more": more}


one_key = st.sampled_from(USUAL) | st.text() | anything | st.builds(unusual, anything)
keys = st.dictionaries(names, one_key, max_size=4)


def asked(given: dict[str, Any], signer: VerifyKey | None) -> OneTimeKeys:
    return decode_keys(answer(encode_keys(given, ALICE, signer)))


def outcome(ask: Callable[[], OneTimeKeys]) -> tuple[Any, ...]:
    try:
        return ("taken", {algorithm: [*some.items()] for algorithm, some in ask().items()})
    except FoyerError as error:
        return (type(error), str(error), getattr(error, "field", None))


@given(some=keys, signer=st.sampled_from([SIGNER, None]))
def test_the_process_says_what_the_function_says(some, signer):
    expected = outcome(lambda: check_one_time_keys(some, ALICE, signer))
    try:
        line = encode_keys(some, ALICE, signer)
    except InvalidInput:
        assert expected[0] != "taken"
        return
    assert b"\n" not in line
    assert outcome(lambda: decode_keys(answer(line))) == expected


@pytest.mark.parametrize("count", [1, 8, 20])
def test_it_tells_the_first_wrong_line(count):
    keys = {f"{SIGNED}:{number}": PHONE.signs({"key": curve25519()}) for number in range(count)}
    compact = compacted(keys, ALICE.user_id, ALICE.device_id)
    assert compact is not None
    lines = [*compact.lines.values()]
    assert decode_place(answer(encode_lines(lines, SIGNER))) is None
    for place in {0, count // 2, count - 1}:
        wrong = [*lines[:place], lines[place][::-1].replace(" ", "A", 1), *lines[place + 1 :]]
        wrong[place] = f"{wrong[place][:43]} {wrong[place][44:]}"
        assert decode_place(answer(encode_lines(wrong, SIGNER))) == place


def test_keys_stay_in_their_order():
    given = {f"{SIGNED}:{number}": USUAL[0] for number in (7, 3, 12, 1)}
    assert [*asked(given, SIGNER)[SIGNED]] == ["7", "3", "12", "1"]


@pytest.mark.parametrize("wrong", [2**70, "\ud800", float("inf")])
def test_what_cannot_be_asked_is_no_key(wrong):
    for key in (wrong, {"key": wrong}, unusual(wrong)):
        with pytest.raises(FoyerError):
            asked({"x:A": key}, SIGNER)


def test_nor_what_is_nested_too_deeply():
    deep: Any = "text"
    for _ in range(300):
        deep = {"key": deep}
    with pytest.raises(InvalidInput) as refused:
        asked({"x:A": deep}, SIGNER)
    assert refused.value.field == "one_time_keys"
