"""Appendices v1.19 "Signing JSON"; server-server API "Signing Events"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput
from homeserver.events import base64
from homeserver.events.format import pdu_of
from homeserver.events.hashing import content_hash
from homeserver.events.redaction import redact
from homeserver.events.room_version import V1, V12
from homeserver.events.signing import (
    SigningKey,
    VerifyKey,
    event_signature_valid,
    sign_event,
    sign_json,
    signature_valid,
)
from tests.support.json_values import contents
from tests.support.room_factory import ALICE, CHARLIE, HERE, KEYS, THERE, RoomFactory, sign_too
from tests.support.spec_vectors import KEY, SERVER, VECTORS
from tests.support.versions import versions


class TestKeys:
    def test_a_key_is_its_seed(self):
        again = SigningKey.from_seed(KEY.seed(), KEY.key_id)
        assert again.verify_key == KEY.verify_key == VerifyKey(KEY.verify_key.raw)
        assert again.sign(b"x") == KEY.sign(b"x")

    @pytest.mark.parametrize("length", [0, 31, 33, 64])
    def test_keys_have_32_bytes(self, length):
        with pytest.raises(InvalidInput):
            VerifyKey(bytes(length))
        with pytest.raises(InvalidInput):
            SigningKey.from_seed(bytes(length), "ed25519:1")

    def test_the_identifier_names_the_algorithm(self):
        with pytest.raises(InvalidInput):
            SigningKey.from_seed(bytes(32), "rsa:1")

    @given(key=st.binary(min_size=32, max_size=32), signature=st.binary(max_size=80))
    def test_garbage_verifies_nothing(self, key, signature):
        assert not VerifyKey(key).verify(signature, b"message")


class TestSigningJSON:
    @pytest.mark.parametrize("vector", VECTORS["json_signing"])
    def test_the_examples_of_the_specification_hold(self, vector):
        signed = sign_json(vector["input"], SERVER, KEY)
        assert signed == vector["signed"]
        assert signature_valid(signed, SERVER, KEY.key_id, KEY.verify_key)

    @given(contents)
    def test_a_signature_holds_whatever_is_added_under_unsigned(self, obj):
        signed = sign_json(obj, SERVER, KEY)
        assert signature_valid({**signed, "unsigned": 1}, SERVER, KEY.key_id, KEY.verify_key)

    @given(contents)
    def test_a_signature_covers_everything_else(self, obj):
        signed = sign_json({**obj, "n": 1}, SERVER, KEY)
        assert not signature_valid({**signed, "n": 2}, SERVER, KEY.key_id, KEY.verify_key)

    def test_signatures_of_others_stay(self):
        once = sign_json({"a": 1, "unsigned": {"age": 1}}, HERE, KEYS[HERE])
        twice = sign_json(once, THERE, KEYS[THERE])
        thrice = sign_json(twice, HERE, KEY)
        assert twice["unsigned"] == {"age": 1}
        for server, key in ((HERE, KEYS[HERE]), (THERE, KEYS[THERE]), (HERE, KEY)):
            assert signature_valid(thrice, server, key.key_id, key.verify_key)

    def test_the_object_that_is_signed_stays_as_it_was(self):
        obj = {"signatures": {HERE: {}}}
        sign_json(obj, HERE, KEY)
        assert obj == {"signatures": {HERE: {}}}


class TestCheckingForASignature:
    """Appendices "Checking for a Signature"."""

    @pytest.mark.parametrize(
        "signatures",
        [
            {},
            None,
            [],
            {SERVER: {}},
            {SERVER: "x"},
            {SERVER: {KEY.key_id: None}},
            {SERVER: {KEY.key_id: ["x"]}},
            {SERVER: {KEY.key_id: "not base64!"}},
            {SERVER: {KEY.key_id: "AAAA"}},
            {SERVER: {KEY.key_id: base64.encode(bytes(64))}},
        ],
        ids=repr,
    )
    def test_anything_but_a_signature_fails(self, signatures):
        obj = {"a": 1, "signatures": signatures}
        assert not signature_valid(obj, SERVER, KEY.key_id, KEY.verify_key)

    def test_the_signature_of_another_key_fails(self):
        signed = sign_json({}, SERVER, KEY)
        assert not signature_valid(signed, SERVER, KEY.key_id, KEYS[HERE].verify_key)
        assert not signature_valid(signed, SERVER, "ed25519:2", KEY.verify_key)
        assert not signature_valid(signed, HERE, KEY.key_id, KEY.verify_key)


class TestSigningEvents:
    @pytest.mark.parametrize("vector", VECTORS["event_signing"])
    def test_the_examples_of_the_specification_hold(self, vector):
        hashes = {"sha256": base64.encode(content_hash(vector["input"]))}
        signed = sign_event({**vector["input"], "hashes": hashes}, SERVER, KEY, V1)
        assert signed == vector["signed"]
        assert event_signature_valid(signed, SERVER, KEY.key_id, KEY.verify_key, V1)

    @versions()
    def test_a_redacted_copy_is_as_well_signed_as_the_event(self, version):
        room = RoomFactory.public_chat(version, members=[CHARLIE])
        key = KEYS[THERE]
        for event in (room.message(CHARLIE, "hi"), room.topic(CHARLIE, "x")):
            pdu = pdu_of(event)
            for copy in (pdu, redact(pdu, version)):
                assert event_signature_valid(copy, THERE, key.key_id, key.verify_key, version)

    def test_a_second_server_may_sign(self):
        room = RoomFactory.public_chat(V12, join_rule="restricted")
        event = room.join(CHARLIE, authorised_by=ALICE)
        for server in (HERE, THERE):
            key = KEYS[server]
            assert event_signature_valid(pdu_of(event), server, key.key_id, key.verify_key, V12)

    def test_one_more_signature_does_not_change_the_event_id(self):
        event = RoomFactory.public_chat(V12).message(ALICE, "hi")
        assert sign_too(event, THERE).event_id == event.event_id
