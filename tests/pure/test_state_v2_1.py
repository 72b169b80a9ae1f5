"""State resolution 2.1 (room version 12): the resets of version 2 that it ends.

A state set is what a server believes; the odd ones here are such as a faulty server hands out, or
as earlier resolutions left behind.
"""

from dataclasses import replace

import pytest

from homeserver.events.room_version import V11, V12, StateResolution
from tests.support.forked_room import ALICE, BOB, CHARLIE, DORA, ForkedRoom

TOPIC, POWER = ("m.room.topic", ""), ("m.room.power_levels", "")
V11_WITH_2_1 = replace(V11, state_resolution=StateResolution.V2_1)

since_2_1 = pytest.mark.parametrize(
    "version", [V12, V11_WITH_2_1], ids=["v12", "v11 with state resolution 2.1"]
)


def forks_where_the_admin_has_left(version):
    """Alice changed the power levels and left: both sides know that she left, one side does not
    know what she changed."""
    room = ForkedRoom.public_chat(version, users={BOB: 50})
    left, right = room.start.fork(), room.start.fork()
    left.power(ALICE, {BOB: 60})
    right.append_known(left.leave(ALICE))
    return left, right


def forks_around_a_known_promotion(version):
    """Power levels A, then B (promotes Bob), then C (by Bob). One side has C, the other still A,
    although both know Dora's join, which was authorised by B."""
    room = ForkedRoom.public_chat(version, users={CHARLIE: 50})
    left, right = room.start.fork(), room.start.fork()
    left.power(ALICE, {BOB: 90, CHARLIE: 50})
    right.append_known(left.join(DORA))
    left.power(BOB, {BOB: 90, CHARLIE: 60})
    return left, right


class TestStartingFromTheEmptyState:
    """What is unconflicted must not decide about what happened before it."""

    def test_before_2_1_an_admins_leaving_undid_the_power_levels(self):
        left, right = forks_where_the_admin_has_left(V11)
        assert POWER not in left.room.resolve(left, right)

    @since_2_1
    def test_what_an_admin_did_before_leaving_stands(self, version):
        left, right = forks_where_the_admin_has_left(version)
        resolved = left.room.resolve(left, right)
        assert resolved == left.state_map

    @since_2_1
    def test_unconflicted_entries_are_in_the_result_whatever_was_judged(self, version):
        left, right = forks_where_the_admin_has_left(version)
        resolved = left.room.resolve(left, right)
        unconflicted = left.state_map.items() & right.state_map.items()
        assert unconflicted <= resolved.items()


class TestConflictedStateSubgraph:
    """What leads from one conflicted event to another is judged again with them."""

    def test_before_2_1_the_step_between_was_left_out_and_the_newer_event_lost(self):
        left, right = forks_around_a_known_promotion(V11)
        assert left.room.resolve(left, right)[POWER] == right.state_map[POWER]

    @since_2_1
    def test_the_newer_event_stands_on_the_step_between(self, version):
        left, right = forks_around_a_known_promotion(version)
        assert left.room.resolve(left, right)[POWER] == left.state_map[POWER]


class TestCreatorsPower:
    """Room v12: creators have infinite power level."""

    @pytest.mark.parametrize("ban_ts", [1000, 9000])
    def test_a_creator_prevails_over_the_highest_level(self, ban_ts):
        room = ForkedRoom.public_chat(V12, users={BOB: 2**53 - 1})
        left, right = room.start.fork(), room.start.fork()
        demotion = left.power(ALICE, {}, ts=ban_ts)
        right.power(BOB, {BOB: 2**53 - 1, CHARLIE: 100}, ts=5000)
        right.ban(BOB, CHARLIE, ts=5001)
        resolved = room.resolve(left, right)
        assert resolved[POWER] == demotion.event_id
        assert resolved["m.room.member", CHARLIE] == left.state_map["m.room.member", CHARLIE]

    def test_so_does_an_additional_creator(self):
        room = ForkedRoom(V12, additional_creators=[BOB])
        room.start.join(ALICE)
        room.start.power(ALICE, {CHARLIE: 100})
        room.start.join_rule(ALICE, "public")
        room.start.join(BOB), room.start.join(CHARLIE)
        left, right = room.start.fork(), room.start.fork()
        ban = left.ban(BOB, CHARLIE, ts=9000)
        right.topic(CHARLIE, "banned elsewhere", ts=1000)
        resolved = room.resolve(left, right)
        assert resolved == {**room.start.state_map, ban.key: ban.event_id}


class TestWithoutPowerLevelsInConflict:
    """The partial state then has none, so the mainline is empty and only time orders."""

    @pytest.mark.parametrize(("left_ts", "right_ts"), [(1000, 2000), (2000, 1000)])
    def test_the_later_topic_wins_whatever_power_levels_it_stands_on(self, left_ts, right_ts):
        room = ForkedRoom.public_chat(V12, users={BOB: 50})
        left, right = room.start.fork(), room.start.fork()
        old = right.topic(BOB, "on older power levels", ts=right_ts)
        right.append_known(left.power(ALICE, {BOB: 60}))
        new = left.topic(BOB, "on newer power levels", ts=left_ts)
        later = max((old, new), key=lambda topic: topic.origin_server_ts)
        assert room.resolve(left, right)[TOPIC] == later.event_id
