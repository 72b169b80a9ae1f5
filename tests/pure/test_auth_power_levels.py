"""Auth rule 10 (v6 to v11: 9): m.room.power_levels. Test names carry the numbers of v12."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.auth.rules import Rule
from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.identifiers import UserID
from tests.support.judging import chat, judge, odd
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import versions

SINGLE_LEVELS = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)

each_single_level = pytest.mark.parametrize("name", SINGLE_LEVELS)


def moderated(version, **levels) -> RoomFactory:
    """Bob has level 50, Charlie none, and both may send power levels by their type."""
    events = {"m.room.power_levels": 0, **levels.pop("events", {})}
    users = {BOB: 50, **levels.pop("users", {})}
    return chat(version, members=(BOB, CHARLIE), users=users, levels={"events": events, **levels})


def change(room: RoomFactory, sender: UserID, **changes: Any):
    """Verdict on power levels with some changes: maps are merged, and what is None is removed."""
    content = dict(room.state["m.room.power_levels", ""].content)
    for name, value in changes.items():
        if isinstance(value, Mapping):
            old = content.get(name)
            content[name] = without_none({**(old if isinstance(old, Mapping) else {}), **value})
        else:
            content[name] = value
    return judge(room, odd(room.fork(), sender, "m.room.power_levels", without_none(content), ""))


def without_none(entries):
    return {key: value for key, value in entries.items() if value is not None}


def first(version, content, **create):
    """Verdict on the first power levels of a room, by its creator."""
    room = RoomFactory.created(version, content=create)
    room.join(ALICE)
    return judge(room, odd(room, ALICE, "m.room.power_levels", content, ""))


NO_LEVELS: list[Any] = [None, True, "", "high", "1.5", "0x10", "1_000", "٣", [], [50], {}]


class TestForm:
    """Auth rules 10.1 to 10.3: types of values."""

    @versions(10)
    @each_single_level
    @pytest.mark.parametrize("value", [*NO_LEVELS, "50", 50.0])
    def test_10_1_a_level_that_is_no_integer_is_rejected(self, version, name, value):
        assert first(version, {name: value}) == Rejected(Rule.POWER_LEVELS_NOT_INTEGER)

    @versions(10)
    @pytest.mark.parametrize("name", ["events", "notifications"])
    @pytest.mark.parametrize(
        "value", [None, 5, "x", [], [["m.room.name", 50]], *({"x": level} for level in NO_LEVELS)]
    )
    def test_10_2_a_map_of_anything_else_is_rejected(self, version, name, value):
        assert first(version, {name: value}) == Rejected(Rule.POWER_LEVELS_MAP_NOT_INTEGERS)

    @versions(10)
    def test_10_2_strings_in_maps_are_rejected(self, version):
        verdict = first(version, {"events": {"m.room.name": "50"}})
        assert verdict == Rejected(Rule.POWER_LEVELS_MAP_NOT_INTEGERS)

    @versions(1, 9)
    @each_single_level
    @pytest.mark.parametrize("value", [*NO_LEVELS, "50"])
    def test_other_levels_of_a_first_event_are_not_looked_at_before(self, version, name, value):
        assert first(version, {name: value, "events": 5, "notifications": [value]}) == ACCEPTED

    @versions()
    @pytest.mark.parametrize(
        "users", [None, 5, "x", [], [BOB], *({BOB: level} for level in NO_LEVELS)]
    )
    def test_10_3_users_of_any_other_form_are_rejected(self, version, users):
        assert first(version, {"users": users}) == Rejected(Rule.POWER_LEVELS_USERS_INVALID)

    @versions()
    @pytest.mark.parametrize("user", ["", "bob", "@bob", "bob:one.example", "@bob:", "@b:no name"])
    def test_10_3_keys_that_are_no_user_ids_are_rejected(self, version, user):
        assert first(version, {"users": {user: 0}}) == Rejected(Rule.POWER_LEVELS_USERS_INVALID)

    @versions()
    def test_10_3_historical_user_ids_are_accepted(self, version):
        assert first(version, {"users": {"@Bob the Builder:one.example": 0}}) == ACCEPTED

    @versions()
    def test_10_3_users_may_be_left_out(self, version):
        assert first(version, {}) == ACCEPTED

    @versions(1, 9)
    def test_10_3_strings_of_integers_are_levels_before(self, version):
        assert first(version, {"users": {BOB: " -0050 "}}) == ACCEPTED

    @versions(10)
    def test_10_3_strings_are_no_levels_since(self, version):
        assert first(version, {"users": {BOB: "50"}}) == Rejected(Rule.POWER_LEVELS_USERS_INVALID)

    @versions(1, 5)
    def test_10_3_floats_are_levels_in_the_oldest_versions(self, version):
        assert first(version, {"users": {BOB: 50.57}}) == ACCEPTED

    @versions(1, 5)
    @pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
    def test_10_3_what_is_out_of_range_is_no_level(self, version, value):
        verdict = first(version, {"users": {BOB: value}})
        assert verdict == Rejected(Rule.POWER_LEVELS_USERS_INVALID)

    @versions(6)
    def test_10_3_floats_are_no_levels_since(self, version):
        assert first(version, {"users": {BOB: 50.0}}) == Rejected(Rule.POWER_LEVELS_USERS_INVALID)


class TestCreatorsInUsers:
    """Auth rule 10.4."""

    @versions(12)
    @pytest.mark.parametrize("creator", [ALICE, CHARLIE])
    @pytest.mark.parametrize("level", [100, 0, -1])
    def test_10_4_creators_in_users_are_rejected(self, version, creator, level):
        verdict = first(version, {"users": {creator: level}}, additional_creators=[CHARLIE])
        assert verdict == Rejected(Rule.POWER_LEVELS_LIST_CREATOR)

    @versions(12)
    def test_10_4_others_in_users_are_accepted(self, version):
        verdict = first(version, {"users": {BOB: 100}}, additional_creators=[CHARLIE])
        assert verdict == ACCEPTED

    @versions(1, 11)
    def test_creators_in_users_are_accepted_before(self, version):
        verdict = first(version, {"users": {ALICE: 100}}, additional_creators=[CHARLIE])
        assert verdict == ACCEPTED


@versions()
class TestFirstPowerLevels:
    """Auth rule 10.5."""

    def test_10_5_the_first_power_levels_may_be_any(self, version):
        content = {"users": {BOB: 1000}, "ban": 1000, "events": {"m.room.name": 1000}}
        assert first(version, content) == ACCEPTED

    def test_power_levels_need_the_level_of_their_type(self, version):
        room = chat(version, members=(BOB,), users={BOB: 49})
        assert judge(room, room.power_levels(BOB, {})) == Rejected(Rule.EVENT_LEVEL)


@versions()
@each_single_level
class TestSingleLevels:
    """Auth rule 10.6."""

    def test_10_6_up_to_the_own_level_everything_is_accepted(self, version, name):
        room = moderated(version, **{name: 0})
        assert change(room, BOB, **{name: 50}) == ACCEPTED
        assert change(room, BOB, **{name: -5}) == ACCEPTED
        assert change(room, BOB, **{name: None}) == ACCEPTED
        assert change(moderated(version), BOB, **{name: 50}) == ACCEPTED

    def test_10_6_what_does_not_change_is_nobody_s_business(self, version, name):
        room = moderated(version, **{name: 51})
        assert change(room, BOB, events={"x": 1}) == ACCEPTED

    def test_10_6_1_a_level_above_the_own_is_not_changed(self, version, name):
        room = moderated(version, **{name: 51})
        for level in (50, 52):
            verdict = change(room, BOB, **{name: level})
            assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_ABOVE_SENDER)

    def test_10_6_1_a_level_like_the_own_is_changed(self, version, name):
        assert change(moderated(version, **{name: 50}), BOB, **{name: 49}) == ACCEPTED

    def test_10_6_1_a_level_above_the_own_is_not_removed(self, version, name):
        room = moderated(version, **{name: 51})
        verdict = change(room, BOB, **{name: None})
        assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_ABOVE_SENDER)

    def test_10_6_2_no_level_is_set_above_the_own(self, version, name):
        verdict = change(moderated(version, **{name: 0}), BOB, **{name: 51})
        assert verdict == Rejected(Rule.POWER_LEVELS_SET_ABOVE_SENDER)

    def test_10_6_2_no_level_is_added_above_the_own(self, version, name):
        verdict = change(moderated(version), BOB, **{name: 51})
        assert verdict == Rejected(Rule.POWER_LEVELS_SET_ABOVE_SENDER)


class LevelMap:
    """Auth rules 10.7 and 10.8, for the map called `name`."""

    name = ""

    def test_up_to_the_own_level_everything_is_accepted(self, version):
        room = moderated(version, **{self.name: {"x": 50}})
        for levels in ({"x": 49}, {"x": None}, {"y": 50}, {"x": -1, "y": 0}):
            assert change(room, BOB, **{self.name: levels}) == ACCEPTED

    def test_10_7_1_an_entry_above_the_own_level_is_not_changed_or_removed(self, version):
        room = moderated(version, **{self.name: {"x": 51}})
        for levels in ({"x": 50}, {"x": None}, {"x": 52}):
            verdict = change(room, BOB, **{self.name: levels})
            assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_EVENT_ABOVE_SENDER)
        assert change(room, BOB, **{self.name: {"y": 1}}) == ACCEPTED

    def test_10_8_1_no_entry_is_set_or_added_above_the_own_level(self, version):
        room = moderated(version, **{self.name: {"x": 50}})
        for levels in ({"x": 51}, {"y": 51}):
            verdict = change(room, BOB, **{self.name: levels})
            assert verdict == Rejected(Rule.POWER_LEVELS_SET_EVENT_ABOVE_SENDER)


@versions()
class TestEventLevels(LevelMap):
    name = "events"


@versions(6)
class TestNotificationLevels(LevelMap):
    name = "notifications"


@versions(1, 5)
def test_notification_levels_are_anybody_s_before(version):
    room = moderated(version, notifications={"room": 100})
    assert change(room, BOB, notifications={"room": 0}) == ACCEPTED


@versions()
class TestUserLevels:
    """Auth rules 10.9 and 10.10."""

    def test_below_the_own_level_everything_is_accepted(self, version):
        room = moderated(version, users={CHARLIE: 49})
        for users in ({CHARLIE: 50}, {CHARLIE: None}, {CHARLIE: -1}, {DORA: 50}):
            assert change(room, BOB, users=users) == ACCEPTED

    @pytest.mark.parametrize("level", [50, 51])
    def test_10_9_1_equals_and_betters_are_not_changed_or_removed(self, version, level):
        room = moderated(version, users={CHARLIE: level})
        for users in ({CHARLIE: 0}, {CHARLIE: None}, {CHARLIE: level + 1}):
            verdict = change(room, BOB, users=users)
            assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_USER_NOT_BELOW_SENDER)

    def test_10_9_1_the_own_level_may_be_given_up(self, version):
        room = moderated(version)
        assert change(room, BOB, users={BOB: 49}) == ACCEPTED
        assert change(room, BOB, users={BOB: None}) == ACCEPTED

    def test_10_10_1_nobody_is_raised_above_the_own_level(self, version):
        room = moderated(version, users={CHARLIE: 10})
        for users in ({CHARLIE: 51}, {DORA: 51}, {BOB: 51}):
            verdict = change(room, BOB, users=users)
            assert verdict == Rejected(Rule.POWER_LEVELS_SET_USER_ABOVE_SENDER)

    def test_10_10_1_users_default_is_a_level_to_raise_from(self, version):
        room = moderated(version, users_default=10)
        assert change(room, CHARLIE, users={CHARLIE: 10}) == ACCEPTED
        verdict = change(room, CHARLIE, users={CHARLIE: 11})
        assert verdict == Rejected(Rule.POWER_LEVELS_SET_USER_ABOVE_SENDER)


@versions(12)
class TestCreatorsChangePowerLevels:
    """Room v12: the power level of room creators is infinitely high."""

    def test_a_creator_changes_every_level(self, version):
        top = 2**53 - 1
        room = moderated(version, users={CHARLIE: top}, ban=top, events={"x": top})
        verdict = change(room, ALICE, users={CHARLIE: 0, DORA: top}, ban=0, events={"x": None})
        assert verdict == ACCEPTED

    def test_nobody_lists_a_creator_later(self, version):
        verdict = change(moderated(version), BOB, users={ALICE: 0})
        assert verdict == Rejected(Rule.POWER_LEVELS_LIST_CREATOR)


class TestOldForms:
    """Levels that only older room versions let in."""

    @versions(1, 9)
    def test_another_way_to_write_a_level_is_no_change(self, version):
        room = moderated(version, ban=100, events={"x": 100}, users={CHARLIE: 100})
        changes = {"ban": "+100", "events": {"x": " 100 "}, "users": {CHARLIE: "0100"}}
        assert change(room, BOB, **changes) == ACCEPTED

    @versions(1, 9)
    def test_a_string_is_compared_as_the_integer_it_stands_for(self, version):
        room = moderated(version, ban="51")
        verdict = change(room, BOB, ban="9")
        assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_ABOVE_SENDER)
        verdict = change(room, BOB, kick="100")
        assert verdict == Rejected(Rule.POWER_LEVELS_SET_ABOVE_SENDER)

    @versions(1, 5)
    def test_a_float_is_compared_as_the_integer_below(self, version):
        room = moderated(version)
        assert change(room, BOB, kick=50.9) == ACCEPTED
        assert change(room, BOB, kick=51.0) == Rejected(Rule.POWER_LEVELS_SET_ABOVE_SENDER)

    @versions(1, 9)
    def test_nobody_sets_a_level_that_cannot_be_compared(self, version):
        room = moderated(version)
        assert change(room, BOB, kick=[1]) == Rejected(Rule.POWER_LEVELS_SET_ABOVE_SENDER)
        verdict = change(room, ALICE, events={"x": "high"})
        assert verdict == Rejected(Rule.POWER_LEVELS_SET_EVENT_ABOVE_SENDER)

    @versions(1, 9)
    def test_anybody_replaces_a_level_that_cannot_be_compared(self, version):
        room = moderated(version, kick=[1], events={"x": "high"}, notifications=5)
        assert change(room, BOB, kick=50, events={"x": None}, notifications={"room": 5}) == ACCEPTED

    @versions(1, 9)
    def test_a_map_that_is_none_has_no_entries(self, version):
        room = moderated(version, events={"x": 50})
        assert change(room, BOB, events=5) == ACCEPTED
        room = moderated(version, events={"x": 51})
        verdict = change(room, BOB, events=[])
        assert verdict == Rejected(Rule.POWER_LEVELS_CHANGE_EVENT_ABOVE_SENDER)
