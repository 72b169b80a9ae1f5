"""Room versions v1.19, section "Event format" of each; C-S API "Size limits"."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.errors import FoyerError, InvalidInput, TooLarge
from homeserver.events import canonical_json
from homeserver.events.format import MAX_EVENT_BYTES, load, parse, pdu_of
from homeserver.events.room_version import V1, V3, V5, V6, V10, V11, V12
from tests.support.json_values import json_values
from tests.support.room_factory import ALICE, BOB, CHARLIE, RoomFactory
from tests.support.versions import ALL, versions

IDENTIFIER_OF_256_BYTES = "é" * 122 + ":one.example"


def a_message(version):
    return pdu_of(RoomFactory.public_chat(version).message(ALICE, "hi"))


def a_redaction(version):
    room = RoomFactory.public_chat(version)
    return pdu_of(room.redaction(ALICE, room.last))


def fields_of(event):
    """Everything in an event: equality of events looks at the ID only."""
    return {name: getattr(event, name) for name in event.__slots__}


MESSAGES = {version.name: a_message(version) for version in ALL}

REQUIRED = [
    "type",
    "sender",
    "content",
    "depth",
    "origin_server_ts",
    "hashes",
    "signatures",
    "prev_events",
    "auth_events",
]
WRONG = {
    "type": [None, 1, [], {}],
    "sender": [None, 1, "alice", "@alice", "@a:", "@a\0:b", "!a:b", "@a:b c"],
    "room_id": [None, 1, "", "!", "room", "@a:b"],
    "content": [None, 1, "x", []],
    "state_key": [None, 1, [], {}],
    "depth": [None, "1", 1.5, True, -1, [], 2**63],
    "origin_server_ts": [None, "1", 1.5, True, 2**63, -(2**63) - 1],
    "hashes": [None, "x", [], {}, {"sha256": 1}, {"sha512": "x"}],
    "signatures": [None, "x", [], {"a": 1}, {"a": {"b": 1}}, {"a": []}],
    "unsigned": [None, 1, []],
    "prev_events": [None, "x", {}, [1], ["x"], [None], [["$a", {}, 1]], [[]]],
    "auth_events": [None, "x", {}, [1], ["x"], [None], [["$a", {}, 1]], [["$a"]]],
}


class TestEventsThatWeBuilt:
    @versions()
    def test_what_is_built_parses_and_loads_to_the_same_event(self, version):
        room = RoomFactory.public_chat(version, members=[BOB, CHARLIE], join_rule="invite")
        room.redaction(ALICE, room.message(BOB, "hi"))
        for event in room.events.values():
            expected = fields_of(event)
            assert fields_of(parse(event.raw, version)) == expected
            assert fields_of(parse(pdu_of(event), version)) == expected
            assert fields_of(load(event.raw, event.event_id, version, event.room_id)) == expected

    @versions()
    def test_the_bytes_that_we_keep_are_canonical_and_without_unsigned(self, version):
        pdu = {**MESSAGES[version.name], "unsigned": {"age": 3}, "extra": {"b": 1, "a": 2}}
        event = parse(json.dumps(pdu, indent=2).encode(), version)
        del pdu["unsigned"]
        assert event.raw == canonical_json.encode(pdu)
        assert pdu_of(event) == pdu


class TestFields:
    @versions()
    @pytest.mark.parametrize("field", REQUIRED)
    def test_a_missing_field_is_named(self, version, field):
        pdu = dict(MESSAGES[version.name])
        del pdu[field]
        with pytest.raises(InvalidInput) as caught:
            parse(pdu, version)
        assert caught.value.field == field

    @versions()
    @pytest.mark.parametrize(
        ("field", "value"), [(field, value) for field in WRONG for value in WRONG[field]], ids=repr
    )
    def test_a_field_of_the_wrong_type_is_named(self, version, field, value):
        with pytest.raises(InvalidInput) as caught:
            parse({**MESSAGES[version.name], field: value}, version)
        assert caught.value.field.split(".")[0] == field

    @pytest.mark.parametrize("value", [None, 1, "x", []], ids=repr)
    def test_an_event_is_an_object(self, value):
        with pytest.raises(InvalidInput):
            parse(canonical_json.encode(value), V12)

    @versions()
    def test_nested_fields_are_named_by_their_path(self, version):
        pdu = {**MESSAGES[version.name], "signatures": {"one.example": {"ed25519:1": 5}}}
        with pytest.raises(InvalidInput) as caught:
            parse(pdu, version)
        assert caught.value.field == "signatures.one.example.ed25519:1"

    @versions()
    def test_historical_user_ids_may_send(self, version):
        for sender in ("@:one.example", "@Ünï/:one.example", "@a b:[::1]:8448"):
            assert parse({**MESSAGES[version.name], "sender": sender}, version).sender == sender

    @versions()
    def test_keys_without_a_place_in_an_index_are_refused(self, version):
        for field in ("type", "state_key", "room_id"):
            with pytest.raises(InvalidInput):
                parse({**MESSAGES[version.name], field: "!a\0"}, version)


class TestNamesOfOtherEvents:
    @versions(last=2)
    def test_versions_1_and_2_name_them_in_pairs(self, version):
        pair = ["$a:b", {"sha256": "x"}]
        event = parse({**MESSAGES[version.name], "prev_events": [pair]}, version)
        assert event.prev_events == ("$a:b",)
        for wrong in ("$a:b", ["$a:b", "x"], [1, {}]):
            with pytest.raises(InvalidInput) as caught:
                parse({**MESSAGES[version.name], "prev_events": [pair, wrong]}, version)
            assert caught.value.field == "prev_events.1"

    @versions(first=3)
    def test_later_versions_name_them_plainly(self, version):
        event = parse({**MESSAGES[version.name], "prev_events": ["$a", "$b"]}, version)
        assert event.prev_events == ("$a", "$b")
        with pytest.raises(InvalidInput):
            parse({**MESSAGES[version.name], "prev_events": [["$a", {}]]}, version)

    @versions()
    @pytest.mark.parametrize(("field", "limit"), [("prev_events", 20), ("auth_events", 10)])
    def test_there_may_not_be_too_many(self, version, field, limit):
        name = ["$a:b", {"sha256": "x"}] if version.events_carry_id else "$a"
        parse({**MESSAGES[version.name], field: [name] * limit}, version)
        with pytest.raises(InvalidInput):
            parse({**MESSAGES[version.name], field: [name] * (limit + 1)}, version)


class TestEventIDs:
    @versions(last=2)
    @pytest.mark.parametrize("event_id", [None, 1, "", "x:one.example", "$opaque"])
    def test_versions_1_and_2_need_one_with_a_server(self, version, event_id):
        with pytest.raises(InvalidInput) as caught:
            parse({**MESSAGES[version.name], "event_id": event_id}, version)
        assert caught.value.field == "event_id"

    @versions(first=3)
    def test_later_versions_do_not_look_at_it(self, version):
        pdu = {**MESSAGES[version.name], "event_id": "$chosen:one.example"}
        assert parse(pdu, version).event_id != "$chosen:one.example"


class TestRedacts:
    @versions(last=10)
    def test_until_version_10_it_stands_at_the_top(self, version):
        pdu = a_redaction(version)
        assert parse(pdu, version).redacts == pdu["redacts"]
        assert parse({**pdu, "content": {"redacts": "$x"}}, version).redacts == pdu["redacts"]
        with pytest.raises(InvalidInput):
            parse({**pdu, "redacts": 1}, version)

    @versions(first=11)
    def test_since_version_11_it_stands_in_the_content(self, version):
        pdu = a_redaction(version)
        assert parse(pdu, version).redacts == pdu["content"]["redacts"]
        assert parse({**pdu, "content": {}, "redacts": "$x"}, version).redacts is None

    @pytest.mark.parametrize("redacts", [None, 1, "x", "$" + "x" * 300, "$\0"], ids=str)
    def test_what_is_no_event_id_redacts_nothing(self, redacts):
        assert parse({**a_redaction(V12), "content": {"redacts": redacts}}, V12).redacts is None

    @pytest.mark.parametrize("version", [V10, V11], ids=["v10", "v11"])
    def test_other_events_redact_nothing(self, version):
        pdu = {**MESSAGES[version.name], "redacts": "$x", "content": {"redacts": "$x"}}
        assert parse(pdu, version).redacts is None


class TestRoomVersion12:
    def test_the_create_event_is_the_room(self):
        room = RoomFactory.created(V12)
        pdu = pdu_of(room.create)
        assert "room_id" not in pdu
        assert parse(pdu, V12).room_id == "!" + room.create.event_id[1:]
        with pytest.raises(InvalidInput) as caught:
            parse({**pdu, "room_id": room.room_id}, V12)
        assert caught.value.field == "room_id"

    def test_the_create_event_has_an_empty_state_key(self):
        with pytest.raises(InvalidInput) as caught:
            parse({**pdu_of(RoomFactory.created(V12).create), "state_key": "x"}, V12)
        assert caught.value.field == "state_key"

    def test_every_other_event_names_its_room(self):
        pdu = dict(MESSAGES["12"])
        del pdu["room_id"]
        with pytest.raises(InvalidInput) as caught:
            parse(pdu, V12)
        assert caught.value.field == "room_id"

    @versions(last=11)
    def test_before_that_the_create_event_names_it_too(self, version):
        pdu = pdu_of(RoomFactory.created(version).create)
        del pdu["room_id"]
        with pytest.raises(InvalidInput):
            parse(pdu, version)


class TestCanonicalJSON:
    """Room version 6 "Canonical JSON"."""

    @versions(first=6)
    @pytest.mark.parametrize("number", [1.5, 2**53, -(2**53), 2**70])
    def test_since_version_6_it_is_enforced(self, version, number):
        content = canonical_json.encode({**MESSAGES[version.name], "content": {"a": [number]}})
        with pytest.raises(InvalidInput) as caught:
            parse(content, version)
        assert caught.value.field == "content.a.0"

    @versions(last=5)
    @pytest.mark.parametrize("number", [1.5, 50.0, 2**53, -(2**53), 2**70])
    def test_before_that_other_numbers_work(self, version, number):
        raw = canonical_json.encode({**MESSAGES[version.name], "content": {"a": [number]}})
        event = parse(raw, version)
        assert event.raw == raw
        assert load(raw, event.event_id, version, event.room_id).content == {"a": [number]}

    def test_nobody_looks_at_unsigned(self):
        assert parse({**MESSAGES["12"], "unsigned": {"a": 1.5}}, V12).raw

    def test_version_6_lowers_the_limit_of_depth(self):
        assert parse({**MESSAGES["5"], "depth": 2**63 - 1}, V5).depth == 2**63 - 1
        assert parse({**MESSAGES["6"], "depth": 2**53 - 1}, V6).depth == 2**53 - 1
        with pytest.raises(InvalidInput):
            parse({**MESSAGES["6"], "depth": 2**53}, V6)


class TestSizeLimits:
    """C-S API "Size limits"."""

    @versions()
    def test_a_whole_event_has_65536_bytes_at_most(self, version):
        pdu = {**MESSAGES[version.name], "content": {"body": ""}}
        room_left = MAX_EVENT_BYTES - len(canonical_json.encode(pdu))
        pdu["unsigned"] = {"age": 1}
        full = parse({**pdu, "content": {"body": "x" * room_left}}, version)
        assert len(full.raw) == MAX_EVENT_BYTES
        with pytest.raises(TooLarge):
            parse({**pdu, "content": {"body": "x" * (room_left + 1)}}, version)

    @pytest.mark.parametrize("field", ["type", "state_key"])
    def test_a_key_has_255_bytes_at_most(self, field):
        assert parse({**MESSAGES["12"], field: "é" * 127 + "x"}, V12)
        with pytest.raises(TooLarge):
            parse({**MESSAGES["12"], field: "é" * 128}, V12)

    @pytest.mark.parametrize(
        ("version", "field", "sigil"),
        [(V12, "sender", "@"), (V12, "room_id", "!"), (V1, "event_id", "$"), (V3, "room_id", "!")],
    )
    def test_an_identifier_has_255_bytes_at_most(self, version, field, sigil):
        pdu = MESSAGES[version.name]
        assert parse({**pdu, field: sigil + IDENTIFIER_OF_256_BYTES[2:]}, version)
        with pytest.raises(FoyerError):
            parse({**pdu, field: sigil + IDENTIFIER_OF_256_BYTES}, version)


class TestAnyJSON:
    """Whatever other servers send, only errors of ours come out."""

    @settings(max_examples=300)
    @given(version=st.sampled_from(ALL), value=json_values)
    def test_as_a_whole_event(self, version, value):
        assert_parses_or_is_refused(value, version)

    @settings(max_examples=500)
    @given(
        version=st.sampled_from(ALL),
        field=st.sampled_from([*WRONG, "event_id", "redacts", "extra"]),
        value=json_values | st.lists(st.tuples(st.text(), json_values).map(list)),
    )
    def test_as_a_field(self, version, field, value):
        assert_parses_or_is_refused({**MESSAGES[version.name], field: value}, version)

    @settings(max_examples=200)
    @given(
        version=st.sampled_from(ALL),
        changes=st.dictionaries(st.sampled_from([*WRONG, "event_id", "redacts"]), json_values),
        event_type=st.sampled_from(["m.room.create", "m.room.redaction", "m.room.member"]),
    )
    def test_as_several_fields_of_special_events(self, version, changes, event_type):
        pdu = {**MESSAGES[version.name], **changes, "type": event_type}
        assert_parses_or_is_refused(pdu, version)

    @given(version=st.sampled_from(ALL), text=st.text(st.characters(categories=["Cs", "L"])))
    def test_with_lone_surrogates(self, version, text):
        for field in ("type", "sender", "room_id", "state_key", "event_id", text):
            with pytest.raises(FoyerError):
                parse({**MESSAGES[version.name], field: text + "\ud800"}, version)

    @given(version=st.sampled_from(ALL), raw=st.binary() | st.text().map(str.encode))
    def test_as_bytes(self, version, raw):
        with pytest.raises(FoyerError):
            parse(raw, version)


def assert_parses_or_is_refused(value, version):
    try:
        event = parse(value, version)
    except FoyerError:
        return
    again = load(event.raw, event.event_id, version, event.room_id)
    assert fields_of(again) == fields_of(event)
    assert fields_of(parse(event.raw, version)) == fields_of(event)
