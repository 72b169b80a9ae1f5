"""Room versions v1.19, section "Redactions" of each version."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.events.format import parse, pdu_of
from homeserver.events.hashing import content_hash_matches
from homeserver.events.redaction import redact, redact_content, redact_event
from homeserver.events.room_version import V12
from homeserver.events.signing import event_signature_valid
from tests.support.json_values import contents
from tests.support.room_factory import ALICE, BOB, CHARLIE, HERE, KEYS, RoomFactory
from tests.support.versions import ALL, versions

ESSENTIAL = {
    "event_id",
    "type",
    "room_id",
    "sender",
    "state_key",
    "content",
    "hashes",
    "signatures",
    "depth",
    "prev_events",
    "auth_events",
    "origin_server_ts",
}
LEGACY = {"prev_state", "origin", "membership"}

LEVELS = {
    "ban",
    "events",
    "events_default",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
}

# (type, content keys that survive, first room version, last room version)
KEPT_CONTENT = [
    ("m.room.member", {"membership"}, 1, 8),
    ("m.room.member", {"membership", "join_authorised_via_users_server"}, 9, 12),
    ("m.room.create", {"creator"}, 1, 10),
    ("m.room.join_rules", {"join_rule"}, 1, 7),
    ("m.room.join_rules", {"join_rule", "allow"}, 8, 12),
    ("m.room.power_levels", LEVELS, 1, 10),
    ("m.room.power_levels", LEVELS | {"invite"}, 11, 12),
    ("m.room.aliases", {"aliases"}, 1, 5),
    ("m.room.aliases", set(), 6, 12),
    ("m.room.history_visibility", {"history_visibility"}, 1, 12),
    ("m.room.redaction", set(), 1, 10),
    ("m.room.redaction", {"redacts"}, 11, 12),
    ("m.room.message", set(), 1, 12),
    ("m.room.topic", set(), 1, 12),
    ("m.room.third_party_invite", set(), 1, 12),
]
EVERY_KEY = set().union(*(kept for _, kept, _, _ in KEPT_CONTENT)) | {
    "body",
    "notifications",
    "reason",
    "room_version",
    "additional_creators",
}


def full_pdu(event_type="m.room.message", content=None):
    pdu = dict.fromkeys(ESSENTIAL | LEGACY | {"unsigned", "redacts", "extra"}, 1)
    return {**pdu, "type": event_type, "content": content or {}}


class TestTopLevel:
    @versions(last=10)
    def test_until_version_10_legacy_fields_survive(self, version):
        assert set(redact(full_pdu(), version)) == ESSENTIAL | LEGACY

    @versions(first=11)
    def test_since_version_11_they_do_not(self, version):
        assert set(redact(full_pdu(), version)) == ESSENTIAL

    @versions()
    def test_what_is_absent_stays_absent(self, version):
        assert redact({"type": "x", "content": {"a": 1}}, version) == {"type": "x", "content": {}}

    def test_the_event_itself_stays_as_it_was(self):
        pdu = full_pdu(content={"body": "hi"})
        redact(pdu, V12)
        assert pdu == full_pdu(content={"body": "hi"})


class TestContent:
    @pytest.mark.parametrize(
        ("event_type", "kept", "version"),
        [
            (event_type, kept, version)
            for event_type, kept, first, last in KEPT_CONTENT
            for version in ALL[first - 1 : last]
        ],
        ids=lambda value: getattr(value, "name", None),
    )
    def test_only_the_listed_keys_survive(self, event_type, kept, version):
        content = dict.fromkeys(EVERY_KEY, 1)
        assert set(redact_content(event_type, content, version)) == kept

    @versions(first=11)
    def test_since_version_11_create_keeps_everything(self, version):
        content = dict.fromkeys(EVERY_KEY, 1)
        assert redact_content("m.room.create", content, version) == content

    @pytest.mark.parametrize(
        ("invite", "kept"),
        [
            ({"signed": {"token": "x"}, "display_name": "y"}, {"signed": {"token": "x"}}),
            ({"display_name": "y"}, {}),
        ],
    )
    @versions(first=11)
    def test_since_version_11_the_signature_of_an_invite_survives(self, version, invite, kept):
        content = {"membership": "invite", "third_party_invite": invite}
        assert redact_content("m.room.member", content, version) == {
            "membership": "invite",
            "third_party_invite": kept,
        }

    @versions()
    def test_a_malformed_invite_does_not_survive(self, version):
        content = {"membership": "invite", "third_party_invite": "signed"}
        assert redact_content("m.room.member", content, version) == {"membership": "invite"}

    @versions(last=10)
    def test_until_version_10_no_invite_survives(self, version):
        content = {"membership": "invite", "third_party_invite": {"signed": {}}}
        assert redact_content("m.room.member", content, version) == {"membership": "invite"}


class TestRedactedEvents:
    """What signing relies on: redaction changes neither the ID nor the signatures."""

    @settings(max_examples=200)
    @given(
        version=st.sampled_from(ALL),
        event_type=st.sampled_from(sorted({kept[0] for kept in KEPT_CONTENT} - {"m.room.create"})),
        content=contents | st.dictionaries(st.sampled_from(sorted(EVERY_KEY)), contents),
        state_key=st.none() | st.text(max_size=20).filter(lambda text: "\0" not in text),
    )
    def test_a_redacted_event_keeps_its_id_and_its_signature(
        self, version, event_type, content, state_key
    ):
        room = RoomFactory.created(version)
        event = room.send(ALICE, event_type, content, state_key)
        redacted = redact_event(event)
        key = KEYS[HERE]
        assert parse(redacted.raw, version) == event
        assert event_signature_valid(pdu_of(redacted), HERE, key.key_id, key.verify_key, version)
        assert redact_event(redacted).raw == redacted.raw
        assert redact(redact(pdu_of(event), version), version) == redact(pdu_of(event), version)

    @versions()
    def test_every_kind_of_event_of_a_room_can_be_redacted(self, version):
        room = RoomFactory.public_chat(version, members=[BOB, CHARLIE])
        room.redaction(ALICE, room.message(BOB, "hi"))
        for event in room.events.values():
            redacted = redact_event(event)
            again = parse(redacted.raw, version)
            assert (again.event_id, again.room_id) == (event.event_id, event.room_id)
            assert (again.content, again.raw) == (redacted.content, redacted.raw)
            assert again.redacts == redacted.redacts

    @versions()
    def test_a_redacted_message_does_not_match_its_content_hash(self, version):
        redacted = redact_event(RoomFactory.public_chat(version).message(ALICE, "hi"))
        assert redacted.content == {}
        assert not content_hash_matches(pdu_of(redacted))

    @versions(last=10)
    def test_until_version_10_a_redacted_redaction_redacts_nothing(self, version):
        room = RoomFactory.public_chat(version)
        assert redact_event(room.redaction(ALICE, room.last)).redacts is None

    @versions(first=11)
    def test_since_version_11_it_still_does(self, version):
        room = RoomFactory.public_chat(version)
        redacted_id = room.last.event_id
        assert redact_event(room.redaction(ALICE, redacted_id)).redacts == redacted_id
