"""What is looked at when a device uploads keys.

Source: C-S API v1.19 "One-time and fallback keys".
"""

from typing import Any

import pytest

from e2e import uploaded_keys
from e2e.compact_keys import expanded
from e2e.uploaded_keys import Owner, check_fallback_keys, check_one_time_keys
from homeserver.errors import FoyerError, InvalidInput, InvalidSignature, TooLarge
from homeserver.events import base64, canonical_json
from homeserver.identifiers import UserID
from tests.support.encryption import SIGNED, KeyMaker, curve25519

ALICE = Owner(UserID("@alice:example.org"), "PHONE")
PHONE = KeyMaker.of(ALICE.user_id, ALICE.device_id)
SIGNER = PHONE.key.verify_key


def signed(text: str, **more: Any) -> dict[str, Any]:
    return PHONE.signs({"key": text, **more})


def named(*keys: Any) -> dict[str, Any]:
    return {f"{SIGNED}:{number}": key for number, key in enumerate(keys)}


def usual(count: int) -> dict[str, Any]:
    return named(*(signed(curve25519()) for _ in range(count)))


def kept(keys: dict[str, Any]) -> dict[str, bytes]:
    """As they are handed out, by ID."""
    (lines,) = check_one_time_keys(keys, ALICE, SIGNER).values()
    return {
        key_id: expanded(line.encode(), ALICE.user_id, ALICE.device_id)
        for key_id, line in lines.items()
    }


class TestForm:
    """Whether one key is unusual makes no difference to the others, nor what is accepted."""

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 101])
    def test_keys_are_kept_as_canonical_json(self, count):
        keys = usual(count)
        expected = {
            name.partition(":")[2]: canonical_json.encode(key) for name, key in keys.items()
        }
        assert kept(keys) == expected
        mixed = kept({**keys, f"{SIGNED}:x": unusual()})
        assert {**mixed, **expected} == mixed

    @pytest.mark.parametrize(
        "text",
        [
            base64.encode_urlsafe(b"\xff" * 32),
            base64.encode(b"\xff" * 32) + "=",
            base64.encode_urlsafe(b"\xff" * 32) + "=",
        ],
    )
    def test_base64_may_be_of_either_kind(self, text):
        keys = {**usual(20), f"{SIGNED}:x": signed(text)}
        assert len(check_one_time_keys(keys, ALICE, SIGNER)[SIGNED]) == 21

    @pytest.mark.parametrize(
        "text",
        [
            "",
            curve25519()[:-1],
            curve25519()[:-1] + "=",
            curve25519()[:-1] + "ä",
            curve25519()[:-1] + " ",
            curve25519() + "A",
            "=" * 43,
            [*curve25519()],
            7,
            None,
        ],
    )
    @pytest.mark.parametrize("place", [0, 10, 20])
    def test_what_is_no_key_is_refused(self, text, place):
        keys = [*usual(21).values()]
        keys[place] = signed(text)
        with pytest.raises(InvalidInput, match="32 bytes"):
            check_one_time_keys(named(*keys), ALICE, SIGNER)

    @pytest.mark.parametrize(
        "signatures",
        [
            None,
            [],
            "text",
            {},
            {ALICE.user_id: {}},
            {ALICE.user_id: []},
            {ALICE.user_id: "text"},
            {ALICE.user_id: {"ed25519:OTHER": "A" * 86}},
            {ALICE.user_id: {ALICE.key_id: "A" * 85}},
            {ALICE.user_id: {ALICE.key_id: ["A"] * 86}},
            {"@bob:example.org": {ALICE.key_id: "A" * 86}},
        ],
    )
    @pytest.mark.parametrize("place", [0, 10, 20])
    def test_what_cannot_be_the_device_s_signature_is_refused(self, signatures, place):
        keys = [*usual(21).values()]
        keys[place] = {**keys[place], "signatures": signatures}
        with pytest.raises(InvalidSignature):
            check_one_time_keys(named(*keys), ALICE, SIGNER)

    @pytest.mark.parametrize(
        ("more", "error"),
        [
            ({"n": 1.5}, InvalidInput),
            ({"n": 2**53}, InvalidInput),
            ({"text": "a\0b"}, InvalidInput),
            ({"text": "x" * uploaded_keys.MAX_ONE_TIME_KEY_BYTES}, TooLarge),
        ],
    )
    def test_what_a_key_says_more_is_canonical_json_of_some_bytes(
        self, more: dict[str, Any], error: type[FoyerError]
    ):
        keys = [*usual(20).values()]
        keys[15] = {**keys[15], **more}
        with pytest.raises(error):
            check_one_time_keys(named(*keys), ALICE, SIGNER)

    def test_without_a_signer_nothing_signed_is_taken(self):
        with pytest.raises(InvalidSignature, match="Upload the keys of the device first"):
            check_one_time_keys(usual(3), ALICE, None)


def unusual() -> dict[str, Any]:
    return signed(curve25519(), note="more")


class TestSignatures:
    """Each is the device's own, of whatever form the keys are."""

    @pytest.mark.parametrize("make", [lambda: signed(curve25519()), unusual])
    @pytest.mark.parametrize("count", [1, 7, 8, 9, 100])
    def test_the_first_wrong_one_is_named(self, make, count):
        keys = named(*(make() for _ in range(count)))
        for place in {0, count // 2, count - 1}:
            wrong = {**keys, f"{SIGNED}:{place}": {**make(), "key": curve25519()}}
            with pytest.raises(
                InvalidSignature, match=f"the key {SIGNED}:{place} by {ALICE.key_id}"
            ):
                check_one_time_keys(wrong, ALICE, SIGNER)

    def test_none_is_by_another_device(self):
        other = KeyMaker.of(ALICE.user_id, ALICE.device_id).key.verify_key
        with pytest.raises(InvalidSignature):
            check_one_time_keys(usual(20), ALICE, other)

    def test_one_may_be_used_by_one_key_only(self):
        keys = usual(20)
        first, last = f"{SIGNED}:0", f"{SIGNED}:19"
        keys[last] = {**keys[last], "signatures": keys[first]["signatures"]}
        with pytest.raises(InvalidSignature, match=last):
            check_one_time_keys(keys, ALICE, SIGNER)

    def test_those_of_fallback_keys_count_too(self):
        keys = named(unusual())
        assert len(check_fallback_keys(keys, ALICE, SIGNER)) == 1
        keys[f"{SIGNED}:0"]["note"] = "another"
        with pytest.raises(InvalidSignature, match=f"the key {SIGNED}:0"):
            check_fallback_keys(keys, ALICE, SIGNER)
