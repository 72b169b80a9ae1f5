"""Auth rules 5.5 to 5.7 (v8 to v11: 4.5 to 4.7): leaving, kicking, banning, knocking."""

import pytest

from homeserver.auth.rules import Rule
from homeserver.auth.verdict import ACCEPTED, Rejected
from tests.support.judging import chat, judge
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA
from tests.support.versions import versions


@versions()
class TestLeave:
    """Auth rule 5.5.1."""

    def test_who_is_joined_leaves(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.leave(BOB)) == ACCEPTED

    def test_who_is_invited_declines(self, version):
        room = chat(version)
        room.invite(ALICE, BOB)
        assert judge(room, room.leave(BOB)) == ACCEPTED

    def test_who_is_not_in_the_room_does_not_leave(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.leave(CHARLIE)) == Rejected(Rule.LEAVE_NOT_IN_ROOM)
        room.leave(BOB)
        assert judge(room, room.leave(BOB)) == Rejected(Rule.LEAVE_NOT_IN_ROOM)

    def test_who_is_banned_does_not_leave(self, version):
        room = chat(version)
        room.ban(ALICE, BOB)
        assert judge(room, room.leave(BOB)) == Rejected(Rule.LEAVE_NOT_IN_ROOM)


@versions(7)
def test_5_5_1_who_knocks_takes_it_back(version):
    room = chat(version, join_rule="knock")
    room.knock(BOB)
    assert judge(room, room.leave(BOB)) == ACCEPTED


@versions()
class TestKick:
    """Auth rules 5.5.2 to 5.5.5."""

    def test_5_5_2_who_is_not_joined_does_not_kick(self, version):
        room = chat(version, members=(CHARLIE,), users={BOB: 90})
        assert judge(room, room.kick(BOB, CHARLIE)) == Rejected(Rule.KICK_SENDER_NOT_JOINED)

    def test_5_5_3_who_may_kick_but_not_ban_does_not_lift_a_ban(self, version):
        room = chat(version, members=(BOB,), users={BOB: 50}, levels={"ban": 51, "kick": 50})
        room.ban(ALICE, CHARLIE)
        assert judge(room, room.kick(BOB, CHARLIE)) == Rejected(Rule.UNBAN_LEVEL)

    def test_5_5_3_who_may_ban_but_not_kick_does_not_lift_a_ban(self, version):
        room = chat(version, members=(BOB,), users={BOB: 50}, levels={"ban": 50, "kick": 51})
        room.ban(ALICE, CHARLIE)
        assert judge(room, room.kick(BOB, CHARLIE)) == Rejected(Rule.KICK_LEVEL)

    def test_5_5_3_who_may_kick_and_ban_lifts_a_ban(self, version):
        room = chat(version, members=(BOB,), users={BOB: 50})
        room.ban(ALICE, CHARLIE)
        assert judge(room, room.kick(BOB, CHARLIE)) == ACCEPTED

    def test_5_5_4_who_has_the_kick_level_kicks_whom_they_outrank(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50, CHARLIE: 49})
        assert judge(room, room.kick(BOB, CHARLIE)) == ACCEPTED

    def test_5_5_4_an_invite_is_withdrawn_like_a_kick(self, version):
        room = chat(version, members=(BOB,), users={BOB: 50})
        room.invite(ALICE, CHARLIE)
        assert judge(room, room.kick(BOB, CHARLIE)) == ACCEPTED

    def test_5_5_4_even_who_never_was_in_the_room_is_kicked(self, version):
        room = chat(version)
        assert judge(room, room.kick(ALICE, DORA)) == ACCEPTED

    def test_5_5_5_a_kick_below_the_kick_level_is_rejected(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 49})
        assert judge(room, room.kick(BOB, CHARLIE)) == Rejected(Rule.KICK_LEVEL)

    @pytest.mark.parametrize("level", [50, 51])
    def test_5_5_5_nobody_kicks_equals_or_betters(self, version, level):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50, CHARLIE: level})
        assert judge(room, room.kick(BOB, CHARLIE)) == Rejected(Rule.KICK_LEVEL)


@versions()
class TestBan:
    """Auth rule 5.6."""

    def test_5_6_1_who_is_not_joined_does_not_ban(self, version):
        room = chat(version, members=(CHARLIE,), users={BOB: 90})
        assert judge(room, room.ban(BOB, CHARLIE)) == Rejected(Rule.BAN_SENDER_NOT_JOINED)

    def test_5_6_2_who_has_the_ban_level_bans_whom_they_outrank(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50, CHARLIE: 49})
        assert judge(room, room.ban(BOB, CHARLIE)) == ACCEPTED
        assert judge(room, room.ban(BOB, DORA)) == ACCEPTED

    def test_5_6_3_a_ban_below_the_ban_level_is_rejected(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 49})
        assert judge(room, room.ban(BOB, CHARLIE)) == Rejected(Rule.BAN_LEVEL)

    @pytest.mark.parametrize("level", [50, 51])
    def test_5_6_3_nobody_bans_equals_or_betters(self, version, level):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50, CHARLIE: level})
        assert judge(room, room.ban(BOB, CHARLIE)) == Rejected(Rule.BAN_LEVEL)

    def test_5_6_3_nobody_bans_themselves(self, version):
        room = chat(version)
        assert judge(room, room.ban(ALICE, ALICE)) == Rejected(Rule.BAN_LEVEL)


@versions(12)
class TestCreatorsAmongEachOther:
    """Room v12: the power level of room creators is infinitely high."""

    def test_no_level_is_enough_to_kick_or_ban_a_creator(self, version):
        room = chat(
            version,
            members=(BOB, CHARLIE),
            users={BOB: 2**53 - 1},
            create={"additional_creators": [CHARLIE]},
        )
        for creator in (ALICE, CHARLIE):
            assert judge(room, room.fork().kick(BOB, creator)) == Rejected(Rule.KICK_LEVEL)
            assert judge(room, room.fork().ban(BOB, creator)) == Rejected(Rule.BAN_LEVEL)

    def test_creators_do_not_kick_or_ban_each_other(self, version):
        room = chat(version, members=(CHARLIE,), create={"additional_creators": [CHARLIE]})
        assert judge(room, room.fork().kick(ALICE, CHARLIE)) == Rejected(Rule.KICK_LEVEL)
        assert judge(room, room.fork().ban(CHARLIE, ALICE)) == Rejected(Rule.BAN_LEVEL)

    def test_a_creator_has_every_level(self, version):
        levels = {"kick": 2**53 - 1, "ban": 2**53 - 1, "invite": 2**53 - 1}
        room = chat(version, members=(BOB,), users={BOB: 2**53 - 1}, levels=levels)
        assert judge(room, room.fork().kick(ALICE, BOB)) == ACCEPTED
        assert judge(room, room.fork().ban(ALICE, BOB)) == ACCEPTED
        assert judge(room, room.fork().invite(ALICE, CHARLIE)) == ACCEPTED


class KnockJoinRules:
    """Auth rule 5.7, whatever the join rule is called."""

    join_rule = ""

    def room(self, version):
        return chat(version, members=(BOB,), join_rule=self.join_rule)

    def test_5_7_2_nobody_knocks_for_somebody_else(self, version):
        room = self.room(version)
        knock = room.membership(ALICE, CHARLIE, "knock")
        assert judge(room, knock) == Rejected(Rule.KNOCK_OF_SOMEBODY_ELSE)

    def test_5_7_3_who_is_outside_knocks_also_twice(self, version):
        room = self.room(version)
        room.leave(BOB)
        for user in (BOB, CHARLIE, CHARLIE):
            assert judge(room, room.knock(user)) == ACCEPTED

    def test_5_7_4_who_is_joined_invited_or_banned_does_not_knock(self, version):
        room = self.room(version)
        room.invite(ALICE, CHARLIE)
        room.ban(ALICE, DORA)
        for user in (BOB, CHARLIE, DORA):
            assert judge(room, room.fork().knock(user)) == Rejected(Rule.KNOCK_IN_ROOM_OR_BANNED)


@versions(7)
class TestKnock(KnockJoinRules):
    """Auth rule 5.7 under `knock`."""

    join_rule = "knock"


@versions(10)
class TestKnockRestricted(KnockJoinRules):
    """Auth rule 5.7 under `knock_restricted`."""

    join_rule = "knock_restricted"


class TestNoKnocking:
    @versions(7)
    @pytest.mark.parametrize("join_rule", ["public", "invite", "restricted", "private", 5])
    def test_5_7_1_nobody_knocks_under_another_join_rule(self, version, join_rule):
        room = chat(version, join_rule=join_rule)
        assert judge(room, room.knock(BOB)) == Rejected(Rule.KNOCK_JOIN_RULE)

    @versions(7, 9)
    def test_5_7_1_knock_restricted_is_no_join_rule_before(self, version):
        room = chat(version, join_rule="knock_restricted")
        assert judge(room, room.knock(BOB)) == Rejected(Rule.KNOCK_JOIN_RULE)

    @versions(1, 6)
    def test_5_8_knock_is_no_membership_before(self, version):
        room = chat(version, join_rule="knock")
        assert judge(room, room.knock(BOB)) == Rejected(Rule.MEMBERSHIP_UNKNOWN)
