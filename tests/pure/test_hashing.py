"""Server-server API v1.19 "Signing Events": content hash, reference hash, event IDs."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.events import base64
from homeserver.events.format import pdu_of
from homeserver.events.hashing import (
    content_hash,
    content_hash_matches,
    event_id_of,
    reference_hash,
)
from homeserver.events.room_version import V1, V3, V4, V12
from tests.support.json_values import json_values
from tests.support.room_factory import ALICE, RoomFactory
from tests.support.spec_vectors import VECTORS
from tests.support.versions import versions


def a_message(version):
    return pdu_of(RoomFactory.public_chat(version).message(ALICE, "hi"))


class TestContentHash:
    @pytest.mark.parametrize("vector", VECTORS["event_signing"])
    def test_the_examples_of_the_specification_hold(self, vector):
        expected = vector["signed"]["hashes"]["sha256"]
        assert base64.encode(content_hash(vector["input"])) == expected
        assert content_hash_matches(vector["signed"])

    @versions()
    def test_it_does_not_cover_what_may_change_in_transit(self, version):
        pdu = a_message(version)
        changed = {**pdu, "unsigned": {"age": 1}, "signatures": {}, "hashes": {}}
        assert content_hash(changed) == content_hash(pdu)

    @given(content=json_values.filter(lambda value: value != {"body": "hi", "msgtype": "m.text"}))
    @settings(max_examples=30)
    def test_it_covers_the_content(self, content):
        pdu = {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "hi"}}
        assert content_hash({**pdu, "content": content}) != content_hash(pdu)

    @pytest.mark.parametrize("claim", ["", "!", "AAAA", "é"])
    def test_another_hash_or_none_does_not_match(self, claim):
        assert not content_hash_matches({**a_message(V12), "hashes": {"sha256": claim}})


class TestReferenceHash:
    @versions()
    def test_it_does_not_cover_signatures_and_content_of_messages(self, version):
        pdu = a_message(version)
        changed = {**pdu, "unsigned": {}, "signatures": {}, "content": {}}
        assert reference_hash(changed, version) == reference_hash(pdu, version)

    @versions()
    @pytest.mark.parametrize("field", ["sender", "room_id", "depth", "origin_server_ts", "hashes"])
    def test_it_covers_the_essential_fields(self, version, field):
        pdu = a_message(version)
        assert reference_hash({**pdu, field: 0}, version) != reference_hash(pdu, version)


class TestEventID:
    def test_versions_1_and_2_carry_it(self):
        assert event_id_of({**a_message(V1), "event_id": "$mine:here"}, V1) == "$mine:here"

    def test_version_3_writes_the_hash_in_the_standard_alphabet(self):
        pdus = ({**a_message(V3), "depth": depth} for depth in range(30))
        ids = [event_id_of(pdu, V3) for pdu in pdus]
        assert all(re.fullmatch(r"\$[A-Za-z0-9+/]{43}", event_id) for event_id in ids)
        assert any("/" in event_id or "+" in event_id for event_id in ids)

    @versions(first=4)
    def test_since_version_4_it_is_safe_in_urls(self, version):
        pdus = ({**a_message(version), "depth": depth} for depth in range(30))
        ids = [event_id_of(pdu, version) for pdu in pdus]
        assert all(re.fullmatch(r"\$[A-Za-z0-9_-]{43}", event_id) for event_id in ids)

    def test_versions_3_and_4_differ_in_the_alphabet_only(self):
        pdu = a_message(V4)
        as_v3, as_v4 = event_id_of(pdu, V3), event_id_of(pdu, V4)
        assert as_v3.translate(str.maketrans("+/", "-_")) == as_v4

    @given(st.integers(0, 2**53 - 1))
    @settings(max_examples=20)
    def test_the_room_of_version_12_is_named_after_its_create_event(self, nonce):
        room = RoomFactory.created(V12, content={"nonce": nonce})
        assert room.room_id == "!" + room.create.event_id[1:]
