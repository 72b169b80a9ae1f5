"""Server-server API v1.19 "Adding hashes and signatures to outgoing events"."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.errors import InvalidInput, TooLarge
from homeserver.events.build import Draft, complete
from homeserver.events.format import MAX_EVENT_BYTES, parse, pdu_of
from homeserver.events.hashing import content_hash_matches, reference_hash
from homeserver.events.room_version import V1, V5, V6, V10, V11, V12
from homeserver.events.signing import event_signature_valid
from tests.support.json_values import contents
from tests.support.room_factory import ALICE, BOB, HERE, KEYS, RoomFactory
from tests.support.versions import ALL, versions

KEY = KEYS[HERE]

keys = st.text(max_size=60).filter(lambda text: "\0" not in text)


def a_draft(**changes):
    fields = {
        "room_id": "!room:one.example",
        "sender": ALICE,
        "type": "m.room.message",
        "content": {"body": "hi"},
    }
    return Draft(**{**fields, **changes})


def completed(draft, version, **changes):
    fields = {
        "prev_events": ["$previous"],
        "auth_events": [],
        "depth": 7,
        "origin_server_ts": 1_700_000_000_000,
        "server_name": HERE,
        "key": KEY,
        "new_event_id": lambda: "$chosen:one.example",
        "reference_hashes": {"$previous": b"\0" * 32},
    }
    return complete(draft, version=version, **{**fields, **changes})


class TestComplete:
    @settings(max_examples=200)
    @given(
        version=st.sampled_from(ALL),
        event_type=keys.filter(lambda text: text != "m.room.create"),
        content=contents,
        state_key=st.none() | keys,
    )
    def test_every_event_is_hashed_signed_and_readable(
        self, version, event_type, content, state_key
    ):
        event = completed(a_draft(type=event_type, content=content, state_key=state_key), version)
        again = parse(event.raw, version)
        assert again.raw == event.raw
        assert all(getattr(again, name) == getattr(event, name) for name in event.__slots__)
        pdu = pdu_of(event)
        assert content_hash_matches(pdu)
        assert event_signature_valid(pdu, HERE, KEY.key_id, KEY.verify_key, version)

    @versions()
    def test_an_event_says_what_the_draft_says(self, version):
        event = completed(a_draft(type="m.room.topic", state_key=""), version)
        assert (event.room_id, event.sender) == ("!room:one.example", ALICE)
        assert (event.type, event.state_key, event.content) == ("m.room.topic", "", {"body": "hi"})
        assert (event.prev_events, event.auth_events) == (("$previous",), ())
        assert (event.depth, event.origin_server_ts) == (7, 1_700_000_000_000)

    @versions()
    def test_a_message_has_no_state_key(self, version):
        event = completed(a_draft(), version)
        assert not event.is_state
        assert "state_key" not in pdu_of(event)

    @versions()
    def test_depth_stops_at_its_limit(self, version):
        event = completed(a_draft(), version, depth=version.max_depth + 1)
        assert event.depth == version.max_depth

    def test_the_draft_stays_as_it_was(self):
        draft = a_draft(type="m.room.redaction", redacts="$x")
        completed(draft, V12)
        assert draft.content == {"body": "hi"}


class TestPerRoomVersion:
    @versions(last=2)
    def test_versions_1_and_2_choose_an_id_and_hash_what_they_name(self, version):
        room = RoomFactory.public_chat(version)
        previous = room.last
        event = room.message(ALICE, "hi")
        assert event.event_id == pdu_of(event)["event_id"]
        [[name, hashes]] = pdu_of(event)["prev_events"]
        assert name == previous.event_id
        assert len(hashes["sha256"]) == 43
        assert len(reference_hash(pdu_of(previous), version)) == 32

    @versions(first=3)
    def test_later_versions_carry_no_id(self, version):
        event = completed(a_draft(), version, new_event_id=None, reference_hashes={})
        assert "event_id" not in pdu_of(event)
        assert pdu_of(event)["prev_events"] == ["$previous"]

    @pytest.mark.parametrize("version", [V1, V10], ids=["v1", "v10"])
    def test_until_version_10_redacts_stands_at_the_top(self, version):
        event = completed(a_draft(type="m.room.redaction", redacts="$x"), version)
        assert event.redacts == pdu_of(event)["redacts"] == "$x"
        assert "redacts" not in event.content

    @pytest.mark.parametrize("version", [V11, V12], ids=["v11", "v12"])
    def test_since_version_11_redacts_stands_in_the_content(self, version):
        event = completed(a_draft(type="m.room.redaction", redacts="$x"), version)
        assert event.redacts == event.content["redacts"] == "$x"
        assert "redacts" not in pdu_of(event)

    def test_in_version_12_the_create_event_names_the_room(self):
        draft = a_draft(type="m.room.create", state_key="", room_id=None)
        event = completed(draft, V12, prev_events=[])
        assert event.room_id == "!" + event.event_id[1:]
        assert "room_id" not in pdu_of(event)


class TestRefusals:
    @pytest.mark.parametrize("number", [1.5, 2**53])
    def test_since_version_6_numbers_are_those_of_canonical_json(self, number):
        draft = a_draft(content={"body": number})
        assert completed(draft, V5).content == {"body": number}
        with pytest.raises(InvalidInput) as caught:
            completed(draft, V6)
        assert caught.value.field == "content.body"

    @versions()
    def test_text_must_be_unicode(self, version):
        for draft in (a_draft(content={"body": "\ud800"}), a_draft(content={"\ud800": ""})):
            with pytest.raises(InvalidInput):
                completed(draft, version)

    @versions()
    def test_an_event_must_not_be_too_large(self, version):
        empty = completed(a_draft(content={"body": ""}), version)
        room_left = MAX_EVENT_BYTES - len(empty.raw)
        assert completed(a_draft(content={"body": "x" * room_left}), version)
        with pytest.raises(TooLarge):
            completed(a_draft(content={"body": "x" * (room_left + 1)}), version)

    @pytest.mark.parametrize("field", ["type", "state_key", "sender", "room_id"])
    def test_a_key_must_not_be_too_large(self, field):
        with pytest.raises(TooLarge):
            completed(a_draft(**{field: "é" * 128}), V12)

    @pytest.mark.parametrize("field", ["type", "state_key", "sender", "room_id"])
    @pytest.mark.parametrize("text", ["a\0", "\ud800"], ids=ascii)
    def test_a_key_must_be_one_that_can_be_kept(self, field, text):
        with pytest.raises(InvalidInput):
            completed(a_draft(**{field: text}), V12)


class TestRoomFactory:
    """The rooms of all other tests are as honest servers make them."""

    @versions()
    def test_forks_share_events_and_have_their_own_state(self, version):
        room = RoomFactory.public_chat(version, members=[BOB])
        fork = room.fork()
        here, there = room.topic(ALICE, "here"), fork.topic(ALICE, "there")
        assert here.prev_events == there.prev_events
        assert room.state["m.room.topic", ""] == here
        assert fork.state["m.room.topic", ""] == there
        assert room.events is fork.events
        room.merge(fork, state=fork.state_ids)
        joined = room.message(BOB, "both")
        assert set(joined.prev_events) == {here.event_id, there.event_id}
        assert room.state_before(joined)["m.room.topic", ""] == there
        assert joined.depth == here.depth + 1
