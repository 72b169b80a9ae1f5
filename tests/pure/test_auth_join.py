"""Auth rules 5.1 to 5.3 (v6 to v11: 4.1 to 4.3): membership events in general, and joins."""

from dataclasses import replace

import pytest

from homeserver.auth.rules import Rule
from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.identifiers import UserID
from tests.support.judging import chat, judge, odd
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import versions


@versions()
class TestMember:
    """Auth rules 5.1 and 5.8."""

    def test_5_1_a_membership_without_a_state_key_is_rejected(self, version):
        room = chat(version)
        event = room.send(BOB, "m.room.member", {"membership": "join"})
        assert judge(room, event) == Rejected(Rule.MEMBER_INCOMPLETE)

    def test_5_1_a_membership_without_membership_is_rejected(self, version):
        room = chat(version)
        event = room.send(BOB, "m.room.member", {"displayname": "Bob"}, BOB)
        assert judge(room, event) == Rejected(Rule.MEMBER_INCOMPLETE)

    @pytest.mark.parametrize("membership", ["member", "", "Join", None, 5, True, [], ["join"], {}])
    def test_5_8_an_unknown_membership_is_rejected(self, version, membership):
        room = chat(version)
        event = room.send(ALICE, "m.room.member", {"membership": membership}, ALICE)
        assert judge(room, event) == Rejected(Rule.MEMBERSHIP_UNKNOWN)


class TestAuthoriserSignature:
    """Auth rule 5.2, as far as it needs no keys."""

    @versions(8)
    @pytest.mark.parametrize("authoriser", [None, 5, [], {}, "", "alice", "@alice", "@alice:!"])
    @pytest.mark.parametrize("membership", ["join", "leave"])
    def test_nobody_can_have_signed_for_what_is_no_user_id(self, version, authoriser, membership):
        room = chat(version, members=(BOB,))
        content = {"membership": membership, "join_authorised_via_users_server": authoriser}
        event = odd(room, BOB, "m.room.member", content, BOB)
        assert judge(room, event) == Rejected(Rule.JOIN_AUTHORISER_SIGNATURE)

    @versions(8)
    def test_a_user_id_is_for_the_caller_to_check(self, version):
        room = chat(version)
        assert judge(room, room.join(BOB, authorised_by=ALICE)) == ACCEPTED

    @versions(1, 7)
    def test_the_key_means_nothing_before(self, version):
        room = chat(version)
        content = {"membership": "join", "join_authorised_via_users_server": None}
        assert judge(room, odd(room, BOB, "m.room.member", content, BOB)) == ACCEPTED


@versions()
class TestFirstJoin:
    """Auth rule 5.3.1."""

    def test_the_creator_joins_right_after_the_create_event(self, version):
        room = RoomFactory.created(version)
        assert judge(room, room.join(ALICE)) == ACCEPTED

    def test_nobody_else_joins_right_after_the_create_event(self, version):
        room = RoomFactory.created(version)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_NOT_INVITED)

    def test_the_creator_joins_no_later_without_an_invite(self, version):
        room = RoomFactory.created(version)
        room.message(ALICE, "early")
        assert judge(room, room.join(ALICE)) == Rejected(Rule.JOIN_NOT_INVITED)

    def test_other_previous_events_beside_create_count(self, version):
        room = RoomFactory.created(version)
        message = room.message(ALICE, "early")
        both = (room.create.event_id, message.event_id)
        join = room.send(ALICE, "m.room.member", {"membership": "join"}, ALICE, prev_events=both)
        assert judge(room, join) == Rejected(Rule.JOIN_NOT_INVITED)


class TestCreator:
    """Whom auth rule 5.3.1 means."""

    @versions(1, 10)
    def test_the_creator_is_whom_the_create_event_names(self, version):
        room = RoomFactory.created(version, content={"creator": CHARLIE})
        branch = room.fork()
        assert judge(room, room.join(CHARLIE)) == ACCEPTED
        assert judge(branch, branch.join(ALICE)) == Rejected(Rule.JOIN_NOT_INVITED)

    @versions(11)
    def test_the_creator_is_the_sender_of_the_create_event(self, version):
        room = RoomFactory.created(version, content={"creator": CHARLIE})
        branch = room.fork()
        assert judge(room, room.join(ALICE)) == ACCEPTED
        assert judge(branch, branch.join(CHARLIE)) == Rejected(Rule.JOIN_NOT_INVITED)

    @versions(12)
    def test_additional_creators_need_an_invite(self, version):
        room = RoomFactory.created(version, content={"additional_creators": [CHARLIE]})
        assert judge(room, room.join(CHARLIE)) == Rejected(Rule.JOIN_NOT_INVITED)

    @versions(1, 10)
    def test_a_creator_that_is_no_user_joins_nothing(self, version):
        room = RoomFactory.created(version, content={"creator": [ALICE]})
        assert judge(room, room.join(ALICE)) == Rejected(Rule.JOIN_NOT_INVITED)


@versions()
class TestJoin:
    """Auth rules 5.3.2, 5.3.3, 5.3.6 and 5.3.7."""

    def test_5_3_2_nobody_joins_for_somebody_else(self, version):
        room = chat(version)
        join = room.membership(ALICE, BOB, "join")
        assert judge(room, join) == Rejected(Rule.JOIN_OF_SOMEBODY_ELSE)

    def test_5_3_3_who_is_banned_does_not_join(self, version):
        room = chat(version)
        room.ban(ALICE, BOB)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_BANNED)

    def test_5_3_6_anybody_joins_a_public_room(self, version):
        room = chat(version)
        assert judge(room, room.join(BOB)) == ACCEPTED
        assert judge(room, room.join(BOB, displayname="Bob again")) == ACCEPTED
        room.kick(ALICE, BOB)
        assert judge(room, room.join(BOB)) == ACCEPTED

    @pytest.mark.parametrize("join_rule", ["private", "Public", "", None, 5, ["public"], {}])
    def test_5_3_7_no_join_under_any_other_join_rule(self, version, join_rule):
        room = chat(version, join_rule=join_rule)
        room.invite(ALICE, BOB)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_RULE_FORBIDS)


def assert_only_the_invited_join(room):
    assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_NOT_INVITED)
    room = chat(room.version, join_rule=room.state["m.room.join_rules", ""].content["join_rule"])
    room.invite(ALICE, BOB)
    assert judge(room, room.join(BOB)) == ACCEPTED
    assert judge(room, room.join(BOB, displayname="Bob again")) == ACCEPTED


class TestJoinByInvite:
    """Auth rule 5.3.4."""

    @versions()
    def test_under_invite_only_the_invited_and_the_joined_join(self, version):
        assert_only_the_invited_join(chat(version, join_rule="invite"))

    @versions(7)
    def test_under_knock_only_the_invited_and_the_joined_join(self, version):
        assert_only_the_invited_join(chat(version, join_rule="knock"))

    @versions(7)
    def test_a_knock_is_no_invite(self, version):
        room = chat(version, join_rule="knock")
        room.knock(BOB)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_NOT_INVITED)

    @versions(1, 6)
    def test_knock_is_no_join_rule_before(self, version):
        room = chat(version, join_rule="knock")
        room.invite(ALICE, BOB)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_RULE_FORBIDS)

    @versions()
    def test_a_room_without_join_rules_is_for_the_invited(self, version):
        room = RoomFactory.created(version)
        room.join(ALICE)
        branch = room.fork()
        assert judge(branch, branch.join(BOB)) == Rejected(Rule.JOIN_NOT_INVITED)
        room.invite(ALICE, BOB)
        assert judge(room, room.join(BOB)) == ACCEPTED


class RestrictedJoins:
    """Auth rule 5.3.5, whatever the join rule is called."""

    join_rule = ""

    def room(self, version, **settings):
        return chat(version, members=(BOB,), join_rule=self.join_rule, **settings)

    def test_5_3_5_1_the_invited_and_the_joined_join(self, version):
        room = self.room(version)
        room.invite(ALICE, CHARLIE)
        assert judge(room, room.join(CHARLIE)) == ACCEPTED
        assert judge(room, room.join(CHARLIE, displayname="Charlie again")) == ACCEPTED

    def test_5_3_5_2_a_join_without_an_authorising_user_is_rejected(self, version):
        room = self.room(version)
        assert judge(room, room.join(CHARLIE)) == Rejected(Rule.JOIN_AUTHORISER)

    def test_5_3_5_2_an_authorising_user_who_is_not_joined_is_rejected(self, version):
        room = self.room(version)
        join = room.join(CHARLIE, authorised_by=DORA)
        assert judge(room, join) == Rejected(Rule.JOIN_AUTHORISER)
        branch = self.room(version)
        branch.leave(BOB)
        join = branch.join(CHARLIE, authorised_by=BOB)
        assert judge(branch, join) == Rejected(Rule.JOIN_AUTHORISER)

    def test_5_3_5_2_an_authorising_user_who_may_not_invite_is_rejected(self, version):
        room = self.room(version, users={BOB: 49}, levels={"invite": 50})
        join = room.join(CHARLIE, authorised_by=BOB)
        assert judge(room, join) == Rejected(Rule.JOIN_AUTHORISER)

    def test_5_3_5_2_nobody_authorises_their_own_join(self, version):
        room = self.room(version)
        join = room.join(CHARLIE, authorised_by=CHARLIE)
        assert judge(room, join) == Rejected(Rule.JOIN_AUTHORISER)

    def test_5_3_5_3_a_join_by_a_member_who_may_invite_is_accepted(self, version):
        room = self.room(version, users={BOB: 50}, levels={"invite": 50})
        assert judge(room, room.join(CHARLIE, authorised_by=BOB)) == ACCEPTED
        assert judge(room, room.join(DORA, authorised_by=ALICE)) == ACCEPTED

    def test_who_is_banned_does_not_join_by_authorisation(self, version):
        room = self.room(version)
        room.ban(ALICE, CHARLIE)
        join = room.join(CHARLIE, authorised_by=ALICE)
        assert judge(room, join) == Rejected(Rule.JOIN_BANNED)


@versions(8)
class TestRestrictedJoin(RestrictedJoins):
    """Auth rule 5.3.5 under `restricted`."""

    join_rule = "restricted"


@versions(10)
class TestKnockRestrictedJoin(RestrictedJoins):
    """Auth rule 5.3.5 under `knock_restricted`."""

    join_rule = "knock_restricted"


class TestBeforeRestrictedJoins:
    @versions(1, 7)
    def test_restricted_is_no_join_rule(self, version):
        room = chat(version, join_rule="restricted")
        room.invite(ALICE, BOB)
        assert judge(room, room.join(BOB)) == Rejected(Rule.JOIN_RULE_FORBIDS)

    @versions(1, 9)
    def test_knock_restricted_is_no_join_rule(self, version):
        room = chat(version, join_rule="knock_restricted")
        room.invite(ALICE, BOB)
        join = replace(room.join(BOB), content={"membership": "join"})
        assert judge(room, join) == Rejected(Rule.JOIN_RULE_FORBIDS)


@versions(12)
def test_a_creator_without_an_entry_in_the_power_levels_authorises_joins(version):
    carol = UserID("@carol:two.example")
    room = chat(
        version,
        members=(carol,),
        join_rule="restricted",
        levels={"invite": 100},
        create={"additional_creators": [carol]},
    )
    assert judge(room, room.join(BOB, authorised_by=carol)) == ACCEPTED
