"""What state events mean: event schemas v1.19, and the oddities of old room versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.content import (
    INFINITE,
    PowerLevels,
    creators_of,
    history_visibility_of,
    join_rule_of,
    membership_of,
    read_level,
)
from homeserver.events.room_version import V1, V5, V6, V9, V10, V12
from tests.support.json_values import json_values
from tests.support.room_factory import ALICE, BOB, CHARLIE, RoomFactory
from tests.support.versions import ALL, versions


def levels(version, content=None, *, create_content=None):
    """The power levels of a room of Alice's; without an event of them if content is None."""
    room = RoomFactory.created(version, content=create_content or {})
    event = None if content is None else room.power_levels(ALICE, content)
    return PowerLevels.of(event, room.create)


def state_event(event_type, content):
    return RoomFactory.created(V12).send(ALICE, event_type, content, "")


class TestWithoutPowerLevels:
    """m.room.power_levels: "If the room contains no m.room.power_levels event, …"."""

    @versions(last=11)
    def test_the_creator_has_level_100(self, version):
        assert levels(version).user(ALICE) == 100
        assert levels(version).user(BOB) == 0

    @versions()
    def test_the_defaults_hold(self, version):
        for room in (levels(version), levels(version, {})):
            assert (room.ban, room.kick, room.redact, room.invite) == (50, 50, 50, 0)
            assert room.required_for("m.room.topic", is_state=True) == 50
            assert room.required_for("m.room.message", is_state=False) == 0
            assert room.notification("room") == 50
            assert room.user(BOB) == 0

    @versions(last=11)
    def test_once_there_are_power_levels_creators_are_users_like_others(self, version):
        assert levels(version, {"users_default": 3}).user(ALICE) == 3


class TestPowerLevels:
    @versions()
    def test_everything_can_be_set(self, version):
        room = levels(
            version,
            {
                "users": {BOB: 30},
                "users_default": -1,
                "events": {"m.room.topic": 7, "m.room.message": 8},
                "events_default": 5,
                "state_default": 6,
                "ban": 1,
                "kick": 2,
                "redact": 3,
                "invite": 4,
                "notifications": {"room": 9},
            },
        )
        assert (room.user(BOB), room.user(CHARLIE)) == (30, -1)
        assert room.required_for("m.room.topic", is_state=True) == 7
        assert room.required_for("m.room.message", is_state=True) == 8
        assert room.required_for("m.room.name", is_state=True) == 6
        assert room.required_for("m.reaction", is_state=False) == 5
        assert (room.ban, room.kick, room.redact, room.invite) == (1, 2, 3, 4)
        assert room.notification("room") == 9

    @given(
        version=st.sampled_from(ALL),
        content=st.dictionaries(
            st.sampled_from(["users", "events", "ban", "users_default", "notifications"]),
            json_values | st.dictionaries(st.sampled_from([BOB, "x"]), json_values),
        ),
    )
    def test_whatever_they_hold_they_can_be_read(self, version, content):
        create = RoomFactory.created(version).create
        room = PowerLevels(
            content=content, version=version, creators=creators_of(create), explicit=True
        )
        asked = [
            room.user(BOB),
            room.required_for("x", is_state=True),
            room.ban,
            room.notification("x"),
        ]
        assert all(isinstance(level, int) for level in asked)


class TestReadLevel:
    """Room v1 "`m.room.power_levels` events accept values as strings" and "… as floats"."""

    @pytest.mark.parametrize(
        ("text", "level"),
        [
            ("100", 100),
            ("000100", 100),
            ("+100", 100),
            ("-100", -100),
            (" 100 ", 100),
            (" +00100\t", 100),
        ],
    )
    def test_until_version_9_a_string_may_be_a_level(self, text, level):
        assert read_level(text, V1) == read_level(text, V9) == level
        assert read_level(text, V10) is None

    @pytest.mark.parametrize(
        "text",
        ["", " ", "1.5", "1e3", "0x10", "1_000", "--1", "+ 1", "1 0", "٣", "ten", "9" * 5000],
    )
    def test_other_strings_are_none(self, text):
        assert read_level(text, V1) is None

    @pytest.mark.parametrize(
        ("number", "level"), [(50.57, 50), (-50.57, -50), (5.114698e4, 51146), (0.9, 0)]
    )
    def test_until_version_5_a_float_is_truncated(self, number, level):
        assert read_level(number, V1) == read_level(number, V5) == level
        assert read_level(number, V6) is None

    @versions()
    def test_integers_are_levels_and_nothing_else_is(self, version):
        assert read_level(-7, version) == -7
        for value in (None, True, False, [], {}, [1], float("inf"), float("nan")):
            assert read_level(value, version) is None


class TestCreators:
    @versions(last=10)
    def test_until_version_10_the_content_names_one(self, version):
        room = RoomFactory.created(
            version, content={"creator": BOB, "additional_creators": [ALICE]}
        )
        assert creators_of(room.create) == {BOB}
        assert PowerLevels.of(None, room.create).is_creator(BOB)

    @versions(last=10)
    def test_without_a_name_there_is_none(self, version):
        assert creators_of(RoomFactory.created(version, content={"creator": 1}).create) == set()

    @versions(first=11)
    def test_since_version_11_it_is_the_sender(self, version):
        room = RoomFactory.created(version, content={"creator": BOB})
        assert creators_of(room.create) == {ALICE}

    def test_since_version_12_there_may_be_more(self):
        room = RoomFactory.created(V12, content={"additional_creators": [BOB, 1, CHARLIE]})
        assert creators_of(room.create) == {ALICE, BOB, CHARLIE}

    def test_since_version_12_they_outrank_everybody(self):
        room = levels(
            V12, {"users": {CHARLIE: 2**53 - 1}}, create_content={"additional_creators": [BOB]}
        )
        assert room.user(ALICE) == room.user(BOB) == INFINITE > room.user(CHARLIE)
        assert levels(V12).user(ALICE) == INFINITE


class TestOtherState:
    def test_a_room_without_join_rules_is_for_the_invited(self):
        assert join_rule_of(None) == "invite"
        assert join_rule_of(state_event("m.room.join_rules", {})) == "invite"
        assert join_rule_of(state_event("m.room.join_rules", {"join_rule": "knock"})) == "knock"
        assert join_rule_of(state_event("m.room.join_rules", {"join_rule": 1})) == ""

    def test_who_has_no_membership_has_left(self):
        assert membership_of(None) == "leave"
        assert membership_of(state_event("m.room.member", {"membership": "join"})) == "join"
        assert membership_of(state_event("m.room.member", {"membership": None})) == "leave"

    def test_history_is_shared_unless_understood_otherwise(self):
        """C-S API "Room history visibility", server behaviour."""
        kind = "m.room.history_visibility"
        assert history_visibility_of(None) == "shared"
        for said, meant in (
            ("joined", "joined"),
            ("world_readable",) * 2,
            ("x", "shared"),
            (1, "shared"),
        ):
            assert history_visibility_of(state_event(kind, {"history_visibility": said})) == meant
