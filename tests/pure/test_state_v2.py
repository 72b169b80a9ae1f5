"""State resolution of room versions 2 to 11, and 2.1 where it gives the same.

Small plays: the room forks, both sides act, and the outcome is known.
"""

from dataclasses import replace

import pytest

from homeserver.events.room_version import V2, V6, V11, V12, StateResolution
from tests.support.forked_room import ALICE, BOB, CHARLIE, DORA, EVE, ForkedRoom

# The last one shows that the algorithm does not hang on what else version 12 changed.
V11_WITH_2_1 = replace(V11, state_resolution=StateResolution.V2_1)

TOPIC, POWER = ("m.room.topic", ""), ("m.room.power_levels", "")
JOIN_RULES = ("m.room.join_rules", "")


@pytest.fixture(
    params=[V2, V6, V11, V12, V11_WITH_2_1],
    ids=lambda version: f"v{version.name}-{version.state_resolution.value}",
)
def version(request):
    return request.param


@pytest.fixture
def room(version):
    """Alice created it, Bob and Charlie are moderators; everybody may join."""
    return ForkedRoom.public_chat(version, users={BOB: 50, CHARLIE: 50})


@pytest.fixture
def forks(room):
    return room.start.fork(), room.start.fork()


def member(user):
    return ("m.room.member", user)


class TestTwoTopics:
    """Neither is a power event, so both stand on the same power levels: time decides."""

    def test_the_later_one_wins(self, room, forks):
        left, right = forks
        later = left.topic(ALICE, "later", ts=2000)
        right.topic(BOB, "earlier", ts=1000)
        assert room.resolve(left, right)[TOPIC] == later.event_id

    def test_at_the_same_time_the_greater_event_id_wins(self, room, forks):
        topics = [branch.topic(BOB, "new", ts=1000).event_id for branch in forks]
        assert room.resolve(*forks)[TOPIC] == max(topics)

    def test_a_topic_that_only_one_side_has_is_kept(self, room, forks):
        left, right = forks
        topic = left.topic(BOB, "new")
        right.join(DORA)
        assert room.resolve(left, right) == {**right.state_map, TOPIC: topic.event_id}


class TestBans:
    @pytest.mark.parametrize("ban_ts", [1000, 9000])
    def test_a_ban_wins_over_a_join(self, room, forks, ban_ts):
        left, right = forks
        ban = left.ban(BOB, EVE, ts=ban_ts)
        right.join(EVE, ts=5000)
        assert room.resolve(left, right)[member(EVE)] == ban.event_id

    @pytest.mark.parametrize("ban_ts", [1000, 9000])
    def test_what_a_banned_user_sent_meanwhile_is_undone(self, room, ban_ts):
        older = room.start.topic(BOB, "older")
        left, right = room.start.fork(), room.start.fork()
        ban = left.ban(ALICE, CHARLIE, ts=ban_ts)
        right.topic(CHARLIE, "mine", ts=5000)
        resolved = room.resolve(left, right)
        assert resolved[member(CHARLIE)] == ban.event_id
        assert resolved[TOPIC] == older.event_id

    def test_a_banned_moderators_own_ban_is_undone(self, room, forks):
        left, right = forks
        ban = left.ban(ALICE, CHARLIE, ts=9000)
        right.ban(CHARLIE, DORA, ts=1000)
        resolved = room.resolve(left, right)
        assert resolved[member(CHARLIE)] == ban.event_id
        assert member(DORA) not in resolved

    def test_a_kicked_user_who_changed_the_name_stays_in_a_public_room(self, room, forks):
        left, right = forks
        left.kick(ALICE, CHARLIE, ts=9000)
        renamed = right.join(CHARLIE, ts=1000, displayname="Charles")
        assert room.resolve(left, right)[member(CHARLIE)] == renamed.event_id

    def test_and_stays_out_of_a_closed_one(self, version):
        room = ForkedRoom.public_chat(version, join_rule="invite")
        left, right = room.start.fork(), room.start.fork()
        kick = left.kick(ALICE, CHARLIE, ts=1000)
        right.join(CHARLIE, ts=9000, displayname="Charles")
        assert room.resolve(left, right)[member(CHARLIE)] == kick.event_id


class TestJoinRules:
    def test_closing_the_room_keeps_out_who_joined_meanwhile(self, room, forks):
        left, right = forks
        closed = left.join_rule(ALICE, "invite", ts=9000)
        right.join(EVE, ts=1000)
        resolved = room.resolve(left, right)
        assert resolved[JOIN_RULES] == closed.event_id
        assert member(EVE) not in resolved

    def test_who_was_invited_meanwhile_gets_in(self, room, forks):
        left, right = forks
        left.join_rule(ALICE, "invite", ts=9000)
        right.invite(BOB, EVE, ts=1000)
        joined = right.join(EVE, ts=2000)
        assert room.resolve(left, right)[member(EVE)] == joined.event_id

    def test_the_more_powerful_senders_rule_is_judged_first_and_replaced(self, room, forks):
        left, right = forks
        left.join_rule(ALICE, "invite", ts=9000)
        weaker = right.join_rule(BOB, "public", ts=1000)
        assert room.resolve(left, right)[JOIN_RULES] == weaker.event_id


class TestPowerStruggles:
    @pytest.mark.parametrize("demotion_ts", [1000, 9000])
    def test_the_demotion_comes_before_what_the_demoted_did(self, room, forks, demotion_ts):
        left, right = forks
        demotion = left.power(ALICE, {CHARLIE: 50}, ts=demotion_ts)
        right.power(BOB, {BOB: 50, CHARLIE: 50, DORA: 50}, ts=5000)
        right.topic(BOB, "mine now", ts=5001)
        right.ban(BOB, EVE, ts=5002)
        resolved = room.resolve(left, right)
        assert resolved[POWER] == demotion.event_id
        assert TOPIC not in resolved
        assert member(EVE) not in resolved

    def test_of_two_changes_by_equals_the_later_stands(self, room, forks):
        left, right = forks
        later = left.power(CHARLIE, {BOB: 50, CHARLIE: 50, DORA: 10}, ts=2000)
        right.power(BOB, {BOB: 50, CHARLIE: 50, EVE: 10}, ts=1000)
        assert room.resolve(left, right)[POWER] == later.event_id

    def test_who_gives_up_power_first_cannot_be_followed_by_own_changes(self, room, forks):
        left, right = forks
        resignation = left.power(BOB, {CHARLIE: 50}, ts=1000)
        right.power(BOB, {BOB: 50, CHARLIE: 50, EVE: 10}, ts=2000)
        assert room.resolve(left, right)[POWER] == resignation.event_id

    def test_an_event_that_neither_side_ended_with_may_win(self, room, forks):
        left, right = forks
        demotion = left.power(ALICE, {CHARLIE: 50}, ts=1000)
        left.power(CHARLIE, {CHARLIE: 50, EVE: 10}, ts=2000)
        ban = right.ban(ALICE, CHARLIE, ts=1001)
        right.power(BOB, {BOB: 50, CHARLIE: 50, EVE: 20}, ts=2000)
        resolved = room.resolve(left, right)
        assert resolved[member(CHARLIE)] == ban.event_id
        assert resolved[POWER] == demotion.event_id

    def test_who_was_promoted_on_one_side_may_act_there(self, room, forks):
        left, right = forks
        promotion = left.power(ALICE, {BOB: 50, CHARLIE: 50, DORA: 50}, ts=2000)
        left.join(DORA, ts=2001)
        topic = left.topic(DORA, "promoted", ts=2002)
        right.topic(BOB, "other", ts=1000)
        resolved = room.resolve(left, right)
        assert resolved[POWER] == promotion.event_id
        assert resolved[TOPIC] == topic.event_id


class TestMainline:
    """Three power levels events: what stands on older ones is judged before."""

    @pytest.fixture
    def levels(self, room):
        """A branch at each of three power levels events, oldest first."""
        oldest = room.start.fork()
        room.start.power(ALICE, {BOB: 60, CHARLIE: 50})
        middle = room.start.fork()
        room.start.power(ALICE, {BOB: 70, CHARLIE: 50})
        return oldest, middle, room.start.fork()

    def test_the_topic_on_the_newest_power_levels_wins_whatever_the_clocks_say(self, room, levels):
        topics = [
            branch.topic(BOB, "new", ts=9000 - 1000 * index) for index, branch in enumerate(levels)
        ]
        resolved = room.resolve(*levels)
        assert resolved[TOPIC] == topics[-1].event_id
        assert resolved[POWER] == room.start.state[POWER].event_id

    def test_without_it_the_next_newest(self, room, levels):
        oldest, middle, newest = levels
        oldest.topic(BOB, "old", ts=9000)
        topic = middle.topic(BOB, "middle", ts=1000)
        assert room.resolve(oldest, middle, newest)[TOPIC] == topic.event_id


class TestThreeBranches:
    def test_each_brings_what_the_others_do_not_forbid(self, room):
        first, second, third = (room.start.fork() for _ in range(3))
        ban = first.ban(ALICE, CHARLIE, ts=9000)
        second.topic(CHARLIE, "banned elsewhere", ts=8000)
        topic = third.topic(BOB, "stays", ts=1000)
        joined = third.join(DORA, ts=2000)
        assert room.resolve(first, second, third) == {
            **room.start.state_map,
            member(CHARLIE): ban.event_id,
            TOPIC: topic.event_id,
            member(DORA): joined.event_id,
        }

    def test_who_is_banned_by_one_and_demoted_by_another_is_both(self, room):
        first, second, third = (room.start.fork() for _ in range(3))
        ban = first.ban(ALICE, CHARLIE)
        demotion = second.power(ALICE, {BOB: 50})
        third.power(CHARLIE, {BOB: 50, CHARLIE: 50, EVE: 50})
        resolved = room.resolve(first, second, third)
        assert resolved[member(CHARLIE)] == ban.event_id
        assert resolved[POWER] == demotion.event_id


class TestGoingOnAfterAMerge:
    def test_the_merged_state_lets_the_next_fork_start(self, room, forks):
        left, right = forks
        left.power(ALICE, {BOB: 50})
        right.topic(BOB, "kept")
        merged = room.merge(left, right)
        again, other = merged.fork(), merged.fork()
        ban = again.ban(BOB, CHARLIE)
        other.join(CHARLIE, displayname="Charles")
        assert room.resolve(again, other)[member(CHARLIE)] == ban.event_id


class TestRejectedEvents:
    def test_a_rejected_event_does_not_win(self, room, forks):
        left, right = forks
        kept = left.topic(BOB, "kept", ts=1000)
        rejected = right.topic(BOB, "rejected", ts=2000)
        assert room.resolve(left, right, rejected=[rejected])[TOPIC] == kept.event_id

    def test_a_rejected_auth_event_authorises_nothing(self, room, forks):
        """Dora's topic stands on nothing but her join, of which the state has no trace."""
        left, right = forks
        left.power(ALICE, {BOB: 50, CHARLIE: 50, DORA: 50})
        joined = left.join(DORA)
        topic = left.topic(DORA, "from nobody")
        del left.state[member(DORA)]
        assert room.resolve(left, right)[TOPIC] == topic.event_id
        assert TOPIC not in room.resolve(left, right, rejected=[joined])
