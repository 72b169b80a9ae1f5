"""One-time keys as they are stored: a line each, from which the JSON comes back byte by byte."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.compact_keys import compacted, expanded, first_wrong_line
from homeserver.events import base64, canonical_json
from homeserver.identifiers import UserID
from tests.support.encryption import SIGNED, KeyMaker, curve25519

USER, DEVICE = UserID("@alice:example.org"), "PHONE"
PHONE = KeyMaker.of(USER, DEVICE)
SIGNER = PHONE.key.verify_key
NAMES = [f"{SIGNED}:{number}" for number in range(20)]


def signed(**key: Any) -> dict[str, Any]:
    return PHONE.signs({"key": curve25519(), **key})


def lines_of(keys: dict[str, Any]) -> list[str]:
    compact = compacted(keys, USER, DEVICE)
    assert compact is not None
    return [*compact.lines.values()]


owners = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


class TestForm:
    @given(user_id=owners, device_id=owners, count=st.integers(1, 5))
    def test_the_json_comes_back(self, user_id, device_id, count):
        maker = KeyMaker.of(user_id, device_id)
        keys = {name: maker.signs({"key": curve25519()}) for name in NAMES[:count]}
        compact = compacted(keys, UserID(user_id), device_id)
        assert compact is not None
        assert compact.algorithm == SIGNED
        assert [*compact.lines] == [str(number) for number in range(count)]
        for line, key in zip(compact.lines.values(), keys.values(), strict=True):
            assert expanded(line.encode(), user_id, device_id) == canonical_json.encode(key)

    @pytest.mark.parametrize("json", [b'"text"', b"{}", b'{"key":"a b"}', b'"A B"'])
    def test_json_stays_as_it_is(self, json):
        assert expanded(json, USER, DEVICE) == json

    def test_a_line_has_no_end_of_line_and_no_comma(self):
        for line in lines_of({name: signed() for name in NAMES}):
            assert len(line) == 43 + 1 + 86
            assert not {*line} & {*'\n,"{'}

    @pytest.mark.parametrize(
        "unusual",
        [
            signed(note="more"),
            signed(key=base64.encode(b"x" * 32) + "="),
            signed(key=base64.encode(b"x" * 31)),
            signed(key="A" * 42 + ","),
            signed(key="A" * 42 + "ä"),
            signed(key="A" * 42 + "\n"),
            signed(key=7),
            {"key": curve25519()},
            {"key": curve25519(), "signatures": {}},
            {"key": curve25519(), "signatures": {USER: {}}},
            {"key": curve25519(), "signatures": {USER: {PHONE.key.key_id: "A" * 85}}},
            {"key": curve25519(), "signatures": {USER: {PHONE.key.key_id: ["A"] * 86}}},
            {"key": curve25519(), "signatures": {USER: {"ed25519:OTHER": "A" * 86}}},
            {**signed(), "signatures": {**signed()["signatures"], "@bob:example.org": {}}},
            {"key": curve25519(), "signatures": "text"},
            "text",
            ["key", "signatures"],
            None,
            7,
        ],
    )
    def test_one_that_is_unusual_makes_all_json(self, unusual):
        keys = {name: signed() for name in NAMES}
        assert compacted(keys, USER, DEVICE) is not None
        for name in (NAMES[0], NAMES[10], NAMES[-1]):
            assert compacted({**keys, name: unusual}, USER, DEVICE) is None

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ":",
            SIGNED,
            f"{SIGNED}:",
            "other:1",
            f"{SIGNED}x:1",
            ":1",
            f"{SIGNED}:ä",
            f"{SIGNED}:\n",
            f"{SIGNED}:{'A' * 300}",
        ],
    )
    def test_so_does_another_name(self, name):
        keys = {each: signed() for each in NAMES}
        assert compacted({name: signed(), **keys}, USER, DEVICE) is None
        assert compacted({**keys, name: signed()}, USER, DEVICE) is None

    def test_none_are_none(self):
        assert compacted({}, USER, DEVICE) is None


class TestSignatures:
    @pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
    def test_the_first_wrong_one_is_told(self, count):
        keys = {name: signed() for name in NAMES[:count]}
        assert first_wrong_line(lines_of(keys), SIGNER) is None
        for place in range(count):
            wrong = {**keys, NAMES[place]: {**keys[NAMES[place]], "key": curve25519()}}
            assert first_wrong_line(lines_of(wrong), SIGNER) == place

    def test_none_is_by_another_device(self):
        other = KeyMaker.of(USER, DEVICE).key.verify_key
        assert first_wrong_line(lines_of({name: signed() for name in NAMES}), other) == 0

    def test_both_kinds_of_base64_are_the_same(self):
        key = signed(key=base64.encode_urlsafe(b"\xff" * 32))
        text = key["signatures"][USER][PHONE.key.key_id]
        urlsafe = base64.encode_urlsafe(base64.decode(text))
        key["signatures"] = {USER: {PHONE.key.key_id: urlsafe}}
        assert first_wrong_line(lines_of({NAMES[0]: key, NAMES[1]: signed()}), SIGNER) is None
