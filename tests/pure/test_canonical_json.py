"""Matrix v1.19 appendices, "Canonical JSON" and "Unpadded Base64"."""

import json
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json
from homeserver.events.canonical_json import MAX_DEPTH, MAX_INTEGER, check_strict, decode, encode
from tests.support.json_values import canonical_values, json_values
from tests.support.spec_vectors import VECTORS


def nested(levels):
    return json.loads("[" * levels + "]" * levels)


def shuffled(value):
    """The same value with the keys of all objects the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


class TestEncode:
    """ "Canonical JSON": grammar and examples."""

    @pytest.mark.parametrize("vector", VECTORS["canonical_json"], ids=lambda v: v["canonical"])
    def test_the_examples_of_the_specification_hold(self, vector):
        assert encode(decode(vector["input"].encode())) == vector["canonical"].encode()

    def test_control_characters_have_the_escapes_of_the_grammar(self):
        text = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028'
        assert encode(text).decode() == (
            '"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e'
            "\\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a"
            '\\u001b\\u001c\\u001d\\u001e\\u001f\\"\\\\/\x7f\u2028"'
        )

    def test_keys_are_ordered_by_code_point_beyond_the_basic_plane_too(self):
        assert list(decode(encode({"\U0001f600": 1, "\uffee": 2, "\ud7ff": 3, "z": 4}))) == [
            "z",
            "\ud7ff",
            "\uffee",
            "\U0001f600",
        ]

    @given(json_values)
    def test_the_order_of_keys_does_not_matter(self, value):
        assert encode(value) == encode(shuffled(value))

    @given(canonical_values)
    def test_what_is_encoded_decodes_to_the_same_value(self, value):
        check_strict(value)
        assert decode(encode(value)) == value
        assert canonical_json.decode_strict(canonical_json.encode_strict(value)) == value

    @given(canonical_values)
    def test_it_is_what_the_specification_writes_in_python(self, value):
        expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        assert encode(value) == expected.encode()

    @given(json_values)
    def test_encoding_is_stable_for_everything_that_is_json(self, value):
        once = encode(value)
        assert encode(decode(once)) == once

    @pytest.mark.parametrize(
        "value",
        [
            "\ud800",
            {"\ud800": 1},
            float("nan"),
            [float("inf")],
            {1: 2},
            b"x",
            [{1, 2}],
            [2**70, b""],
        ],
        ids=repr,
    )
    def test_what_is_not_json_is_refused(self, value):
        with pytest.raises(InvalidInput):
            check_strict(value)

    @pytest.mark.parametrize(
        "value", ["\ud800", [2**70, "\ud800"], {1: 2}, b"x", [2**70, b""]], ids=repr
    )
    def test_what_has_no_bytes_is_not_encoded(self, value):
        with pytest.raises(InvalidInput):
            encode(value)


class TestOldRoomVersions:
    """Room versions 1 to 5: "Servers MUST NOT strictly enforce the JSON format"."""

    @pytest.mark.parametrize(
        "number", [2**63, -(2**63) - 1, 2**64, 2**64 + 1, 10**60 + 7, -(10**60)]
    )
    def test_integers_of_any_size_stay_exact(self, number):
        text = json.dumps({"n": number, "list": [number], "s": "x"})
        assert decode(text.encode())["n"] == number
        assert decode(str(number).encode()) == number
        assert encode({"n": number}) == f'{{"n":{number}}}'.encode()

    @pytest.mark.parametrize("text", ["50.57", "50.0", "1.5e-07", "-0.25"])
    def test_floats_are_written_as_other_servers_hash_them(self, text):
        assert encode(decode(b"[%s]" % text.encode())) == b"[%s]" % text.encode()

    def test_what_looks_like_a_float_inside_text_stays_text(self):
        value = {"body": "see [1.5] and :1e10, or 12345678901234567890", "n": 1}
        assert decode(encode(value)) == value

    @pytest.mark.parametrize("raw", [b"1e400", b"[-1e999]", b"NaN", b"[Infinity]", b"1" * 5000])
    def test_numbers_beyond_a_double_are_refused(self, raw):
        with pytest.raises(InvalidInput):
            decode(raw)


class TestDecode:
    @pytest.mark.parametrize(
        "raw", [b"", b"{", b'{"a":}', b"'a'", b"\xff", b'"\\ud800"', b"[1,]", b"\xef\xbb\xbf{}"]
    )
    def test_what_is_not_json_is_refused(self, raw):
        with pytest.raises(InvalidInput):
            decode(raw)

    def test_of_duplicate_keys_the_last_one_counts(self):
        assert decode(b'{"a":1,"a":2}') == {"a": 2}
        assert decode(b'{"a":1.5,"a":2.5}') == {"a": 2.5}

    @given(st.binary())
    def test_any_bytes_are_json_or_refused(self, raw):
        try:
            decode(raw)
        except InvalidInput:
            return


class TestDepth:
    def test_the_deepest_value_goes_through_everything(self):
        deepest = nested(MAX_DEPTH)
        check_strict(deepest)
        assert decode(encode(deepest)) == deepest
        assert encode([deepest[0], 2**70])

    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300])
    def test_a_deeper_value_is_refused_by_everything(self, levels):
        deeper = nested(levels)
        with pytest.raises(InvalidInput):
            check_strict(deeper)
        with pytest.raises(InvalidInput):
            encode(deeper)
        with pytest.raises(InvalidInput):
            encode({"a": deeper, "n": 2**70})
        with pytest.raises(InvalidInput):
            decode(json.dumps(deeper).encode())

    @pytest.mark.parametrize(
        "raw", [b"[" * 100_000, b"[" * 5000 + b"]" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900]
    )
    def test_absurd_depth_does_not_reach_the_stack(self, raw):
        with pytest.raises(InvalidInput):
            decode(raw)

    def test_wide_is_not_deep(self):
        wide = [{"a": [n]} for n in range(1000)]
        assert decode(encode(wide)) == wide


class TestCheckStrict:
    """Room version 6 "Canonical JSON": strictly enforced since then."""

    @pytest.mark.parametrize("number", [0, MAX_INTEGER, -MAX_INTEGER])
    def test_integers_within_the_range_pass(self, number):
        check_strict([number, True, None, "é", {"a": {"b": []}}])

    @pytest.mark.parametrize("number", [MAX_INTEGER + 1, -MAX_INTEGER - 1, 1.0, -0.0, 1e10])
    def test_other_numbers_are_refused_by_name(self, number):
        with pytest.raises(InvalidInput) as caught:
            check_strict({"content": {"levels": [0, {"x": number}]}})
        assert caught.value.field == "content.levels.1.x"


class TestUnpaddedBase64:
    """Appendices "Unpadded Base64"."""

    @pytest.mark.parametrize("vector", VECTORS["unpadded_base64"], ids=lambda v: v["plain"])
    def test_the_examples_of_the_specification_hold(self, vector):
        assert base64.encode(vector["plain"].encode()) == vector["encoded"]
        assert base64.decode(vector["encoded"]) == vector["plain"].encode()

    @given(st.binary())
    def test_both_alphabets_and_padding_decode(self, data):
        assert base64.decode(base64.encode(data)) == data
        assert base64.decode(base64.encode_urlsafe(data)) == data
        assert base64.decode(base64.encode(data) + "=" * (-len(data) % 3)) == data

    @pytest.mark.parametrize("text", ["Zg", "Zg=", "Zg==", "Zg==="])
    def test_it_does_not_matter_how_much_padding_there_is(self, text):
        assert base64.decode(text) == b"f"

    def test_the_url_safe_alphabet_has_no_slash(self):
        assert (base64.encode(b"\xff\xef"), base64.encode_urlsafe(b"\xff\xef")) == ("/+8", "_-8")

    @pytest.mark.parametrize("text", ["a", "a b=", "é", "Zm9v!", "Zm=9v", "\ud800aa"])
    def test_what_is_not_base64_is_refused(self, text):
        with pytest.raises(InvalidInput):
            base64.decode(text)


class TestCompact:
    def test_bytes_that_stay_take_no_more_memory_than_their_size(self):
        value = {"body": "x" * 200}
        tracemalloc.start()
        kept = [canonical_json.compact(canonical_json.encode(value)) for _ in range(100)]
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept[0] == canonical_json.encode(value)
        assert taken < 100 * 2 * sys.getsizeof(kept[0])
