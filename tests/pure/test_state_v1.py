"""State resolution of room version 1: depth decides, then the hash of the event ID."""

from hashlib import sha1

import pytest

from homeserver.events.room_version import V1
from homeserver.state.errors import MissingEvents
from homeserver.state.resolve import resolve
from tests.support.forked_room import ALICE, BOB, CHARLIE, DORA, EVE, ForkedRoom

TOPIC, POWER = ("m.room.topic", ""), ("m.room.power_levels", "")


@pytest.fixture
def room():
    return ForkedRoom.public_chat(V1, users={BOB: 90, CHARLIE: 50})


@pytest.fixture
def forks(room):
    return room.start.fork(), room.start.fork()


def member(user):
    return ("m.room.member", user)


class TestConflict:
    def test_an_entry_that_only_one_branch_has_is_kept(self, room, forks):
        left, right = forks
        joined, topic = left.join(EVE), right.topic(BOB, "new")
        resolved = room.resolve(left, right)
        assert resolved[member(EVE)] == joined.event_id
        assert resolved[TOPIC] == topic.event_id


class TestOtherEvents:
    """The highest depth, then the lowest SHA-1 of the event ID, that passes."""

    def test_the_deepest_topic_wins(self, room, forks):
        left, right = forks
        deep = [left.topic(BOB, text) for text in ("first", "second")][-1]
        right.topic(ALICE, "shallow", ts=9_000_000)
        assert room.resolve(left, right)[TOPIC] == deep.event_id

    def test_at_the_same_depth_the_lowest_hash_wins(self, room):
        branches = [room.start.fork() for _ in range(3)]
        topics = [branch.topic(ALICE, "new").event_id for branch in branches]
        lowest = min(topics, key=lambda event_id: sha1(event_id.encode()).digest())
        assert room.resolve(*branches)[TOPIC] == lowest

    def test_what_the_resolved_power_levels_forbid_loses(self, room, forks):
        left, right = forks
        kept = left.topic(ALICE, "kept")
        left.power(ALICE, {BOB: 90})
        right.topic(CHARLIE, "lost")
        right.topic(CHARLIE, "lost too")
        right.topic(CHARLIE, "still lost")
        assert room.resolve(left, right)[TOPIC] == kept.event_id

    def test_where_none_passes_the_lowest_stays(self, room, forks):
        left, right = forks
        lowest = left.topic(CHARLIE, "lowest")
        left.ban(ALICE, CHARLIE)
        right.topic(CHARLIE, "higher")
        right.topic(CHARLIE, "highest")
        assert room.resolve(left, right)[TOPIC] == lowest.event_id


class TestPowerLevels:
    """Ascending depth; each step that the rules allow replaces the one before."""

    def test_the_deepest_wins_if_every_step_is_allowed(self, room, forks):
        left, right = forks
        left.power(ALICE, {BOB: 90, DORA: 50})
        right.topic(ALICE, "deeper")
        deepest = right.power(ALICE, {BOB: 90, EVE: 50})
        assert room.resolve(left, right)[POWER] == deepest.event_id

    def test_a_demoted_admins_change_loses(self, room, forks):
        left, right = forks
        demotion = left.power(ALICE, {BOB: 0})
        right.topic(BOB, "deeper")
        right.power(BOB, {BOB: 90, EVE: 50})
        assert room.resolve(left, right)[POWER] == demotion.event_id

    def test_the_first_forbidden_step_ends_the_walk(self, room):
        first, second, third = (room.start.fork() for _ in range(3))
        demotion = first.power(ALICE, {BOB: 0})
        second.topic(BOB, "deeper")
        second.power(BOB, {BOB: 90, EVE: 50})
        third.topic(BOB, "deeper")
        third.topic(BOB, "deeper still")
        third.power(ALICE, {BOB: 90, DORA: 50})
        assert room.resolve(first, second, third)[POWER] == demotion.event_id


class TestMembership:
    @pytest.fixture
    def room(self):
        room = ForkedRoom.public_chat(V1, users={BOB: 90})
        room.start.join(EVE)
        room.start.leave(EVE)
        return room

    @pytest.mark.parametrize("ban_is_deeper", [True, False])
    def test_a_ban_wins_over_a_join(self, room, forks, ban_is_deeper):
        left, right = forks
        (left if ban_is_deeper else right).topic(BOB, "deeper")
        ban = left.ban(ALICE, EVE)
        right.join(EVE)
        assert room.resolve(left, right)[member(EVE)] == ban.event_id

    def test_join_rules_are_settled_before_members(self, room, forks):
        left, right = forks
        outside = left.state[member(EVE)]
        left.topic(ALICE, "deeper")
        left.join_rule(ALICE, "invite")
        right.join_rule(ALICE, "public")
        right.join(EVE)
        assert room.resolve(left, right)[member(EVE)] == outside.event_id


class TestRejectedEvents:
    def test_a_rejected_event_does_not_win(self, room, forks):
        left, right = forks
        kept = left.topic(ALICE, "kept")
        right.topic(ALICE, "deeper")
        rejected = right.topic(ALICE, "rejected")
        assert room.resolve(left, right, rejected=[rejected])[TOPIC] == kept.event_id


class TestMissingEvents:
    def test_the_conflicting_events_and_what_decides_about_them_are_asked_for(self, room, forks):
        left, right = forks
        left.topic(ALICE, "one"), right.topic(BOB, "other")
        state_sets = [left.state_map, right.state_map]
        with pytest.raises(MissingEvents) as asked:
            resolve(V1, state_sets, {})
        topics = {left.state[TOPIC].event_id, right.state[TOPIC].event_id}
        assert asked.value.ids == topics
        with pytest.raises(MissingEvents) as asked:
            resolve(V1, state_sets, {event_id: room.events[event_id] for event_id in topics})
        deciding = [("m.room.create", ""), POWER, member(ALICE), member(BOB)]
        assert asked.value.ids == {room.start.state[key].event_id for key in deciding}
