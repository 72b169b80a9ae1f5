"""Auth rules 4 and 6 to 11, but for memberships and power levels."""

from dataclasses import replace

import pytest

from homeserver.auth.rules import Rule
from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.identifiers import EventID, UserID
from tests.support.judging import chat, judge, odd
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import versions


@versions()
class TestFederation:
    """Auth rule 4 (until v11: 3): `m.federate`."""

    def test_a_room_that_is_not_federated_is_for_the_creator_s_server(self, version):
        room = chat(version, create={"m.federate": False})
        assert judge(room, room.join(BOB)) == ACCEPTED
        assert judge(room, room.join(CHARLIE)) == Rejected(Rule.ROOM_NOT_FEDERATED)

    def test_nobody_of_another_server_is_let_in_by_a_membership(self, version):
        room = chat(version, create={"m.federate": False}, members=(CHARLIE,))
        assert judge(room, room.message(CHARLIE, "hi")) == Rejected(Rule.ROOM_NOT_FEDERATED)

    def test_a_port_is_part_of_the_server(self, version):
        room = chat(version, create={"m.federate": False})
        neighbour = UserID("@bob:one.example:8448")
        join = odd(room, neighbour, "m.room.member", {"membership": "join"}, neighbour)
        assert judge(room, join) == Rejected(Rule.ROOM_NOT_FEDERATED)

    @pytest.mark.parametrize("federate", [True, None, 0, "", "false", [], {}])
    def test_any_other_value_leaves_the_room_open(self, version, federate):
        room = chat(version, create={"m.federate": federate})
        assert judge(room, room.join(CHARLIE)) == ACCEPTED


class TestAliases:
    """Auth rule 4 of room versions 1 to 5."""

    @versions(1, 5)
    def test_4_1_aliases_without_a_state_key_are_rejected(self, version):
        room = chat(version)
        event = room.send(ALICE, "m.room.aliases", {"aliases": []})
        assert judge(room, event) == Rejected(Rule.ALIASES_WITHOUT_STATE_KEY)

    @versions(1, 5)
    @pytest.mark.parametrize(
        "state_key", ["two.example", "one.example:8448", "", "@alice:one.example"]
    )
    def test_4_2_aliases_of_another_server_are_rejected(self, version, state_key):
        room = chat(version)
        event = room.send(ALICE, "m.room.aliases", {"aliases": []}, state_key)
        assert judge(room, event) == Rejected(Rule.ALIASES_OTHER_DOMAIN)

    @versions(1, 5)
    def test_4_3_aliases_of_the_sender_s_server_are_accepted_from_anybody(self, version):
        room = chat(version)
        event = room.send(CHARLIE, "m.room.aliases", {"aliases": []}, "two.example")
        assert judge(room, event) == ACCEPTED

    @versions(6)
    def test_aliases_are_like_any_other_state_since(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.send(ALICE, "m.room.aliases", {}, "two.example")) == ACCEPTED
        event = room.send(BOB, "m.room.aliases", {}, "one.example")
        assert judge(room, event) == Rejected(Rule.EVENT_LEVEL)
        event = room.send(CHARLIE, "m.room.aliases", {}, "two.example")
        assert judge(room, event) == Rejected(Rule.SENDER_NOT_JOINED)


@versions()
class TestSenderIsJoined:
    """Auth rule 6 (v6 to v11: 5)."""

    def test_who_is_joined_speaks(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.message(BOB, "hi")) == ACCEPTED

    def test_who_never_joined_does_not_speak(self, version):
        room = chat(version)
        assert judge(room, room.message(BOB, "hi")) == Rejected(Rule.SENDER_NOT_JOINED)

    def test_who_is_invited_has_left_or_is_banned_does_not_speak(self, version):
        room = chat(version, members=(BOB, CHARLIE))
        room.leave(BOB)
        room.ban(ALICE, CHARLIE)
        room.invite(ALICE, DORA)
        for user in (BOB, CHARLIE, DORA):
            assert judge(room, room.message(user, "hi")) == Rejected(Rule.SENDER_NOT_JOINED)

    def test_the_creator_too_must_join_first(self, version):
        room = RoomFactory.created(version)
        assert judge(room, room.topic(ALICE, "early")) == Rejected(Rule.SENDER_NOT_JOINED)


@versions()
class TestThirdPartyInviteEvent:
    """Auth rule 7 (v6 to v11: 6): m.room.third_party_invite."""

    def test_7_1_who_has_the_invite_level_invites_third_parties(self, version):
        room = chat(version, members=(BOB,), users={BOB: 30}, levels={"invite": 30})
        event = room.send(BOB, "m.room.third_party_invite", {}, "token")
        assert judge(room, event) == ACCEPTED

    def test_7_1_who_has_not_does_not(self, version):
        room = chat(version, members=(BOB,), users={BOB: 29}, levels={"invite": 30})
        event = room.send(BOB, "m.room.third_party_invite", {}, "token")
        assert judge(room, event) == Rejected(Rule.THIRD_PARTY_INVITE_LEVEL)

    def test_no_other_level_and_no_rule_about_the_state_key_counts(self, version):
        levels = {"events": {"m.room.third_party_invite": 100}}
        room = chat(version, members=(BOB,), levels=levels)
        event = room.send(BOB, "m.room.third_party_invite", {}, "@not:bob")
        assert judge(room, event) == ACCEPTED


@versions()
class TestRequiredLevel:
    """Auth rule 8 (v6 to v11: 7)."""

    def test_messages_need_events_default(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 5}, levels={"events_default": 5})
        assert judge(room, room.message(BOB, "hi")) == ACCEPTED
        assert judge(room, room.message(CHARLIE, "hi")) == Rejected(Rule.EVENT_LEVEL)

    def test_state_needs_state_default(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 5}, levels={"state_default": 5})
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED
        assert judge(room, room.topic(CHARLIE, "hi")) == Rejected(Rule.EVENT_LEVEL)

    def test_the_type_s_own_level_goes_first(self, version):
        levels = {"events": {"m.room.topic": 0, "m.room.message": 1}}
        room = chat(version, members=(BOB,), levels=levels)
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED
        assert judge(room, room.message(BOB, "hi")) == Rejected(Rule.EVENT_LEVEL)

    def test_by_default_anybody_speaks_and_moderators_set_state(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50, CHARLIE: 49})
        assert judge(room, room.message(CHARLIE, "hi")) == ACCEPTED
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED
        assert judge(room, room.topic(CHARLIE, "hi")) == Rejected(Rule.EVENT_LEVEL)

    def test_users_default_is_everybody_s_level(self, version):
        room = chat(version, members=(BOB,), levels={"users_default": 50})
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED

    def test_a_negative_level_may_be_too_low_to_speak(self, version):
        room = chat(version, members=(BOB,), users={BOB: -1})
        assert judge(room, room.message(BOB, "hi")) == Rejected(Rule.EVENT_LEVEL)

    def test_without_power_levels_the_creator_sets_state_and_others_speak(self, version):
        room = RoomFactory.created(version)
        room.join(ALICE)
        assert judge(room, room.topic(ALICE, "mine")) == ACCEPTED
        room.invite(ALICE, BOB)
        room.join(BOB)
        assert judge(room, room.message(BOB, "hi")) == ACCEPTED
        assert judge(room, room.topic(BOB, "mine")) == Rejected(Rule.EVENT_LEVEL)


@versions(12)
def test_creators_have_every_required_level(version):
    room = chat(
        version,
        members=(CHARLIE,),
        levels={"events": {"m.room.topic": 2**53 - 1}},
        create={"additional_creators": [CHARLIE]},
    )
    assert judge(room, room.topic(ALICE, "hi")) == ACCEPTED
    assert judge(room, room.topic(CHARLIE, "hi")) == ACCEPTED


@versions(1, 11)
def test_additional_creators_have_no_power_before(version):
    room = chat(version, members=(CHARLIE,), create={"additional_creators": [CHARLIE]})
    assert judge(room, room.topic(CHARLIE, "hi")) == Rejected(Rule.EVENT_LEVEL)


class TestOldLevels:
    """Room v1 "Deprecated event content schemas"."""

    @versions(1, 9)
    def test_levels_may_be_strings(self, version):
        room = chat(version, members=(BOB,), levels={"users": {ALICE: "100", BOB: " +0050 "}})
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED

    @versions(1, 5)
    def test_levels_may_be_floats(self, version):
        room = chat(version, members=(BOB,), levels={"users": {ALICE: 100, BOB: 50.57}})
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED

    @versions(1, 9)
    def test_a_level_that_is_none_counts_as_absent(self, version):
        levels = {"state_default": {}, "events": {"m.room.name": "high"}, "invite": None}
        room = chat(version, members=(BOB,), users={BOB: 50}, levels=levels)
        assert judge(room, room.topic(BOB, "hi")) == ACCEPTED
        assert judge(room, room.send(BOB, "m.room.name", {}, "")) == ACCEPTED
        assert judge(room, room.invite(BOB, DORA)) == ACCEPTED


@versions()
class TestStateKeyOfAnotherUser:
    """Auth rule 9 (v6 to v11: 8)."""

    def test_a_state_key_with_an_at_sign_is_the_sender(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.send(ALICE, "org.example.mine", {}, ALICE)) == ACCEPTED

    @pytest.mark.parametrize("state_key", [BOB, "@", "@alice:one.example_device"])
    def test_any_other_state_key_with_an_at_sign_is_rejected(self, version, state_key):
        room = chat(version, members=(BOB,))
        event = room.send(ALICE, "org.example.mine", {}, state_key)
        assert judge(room, event) == Rejected(Rule.STATE_KEY_OF_ANOTHER_USER)

    @pytest.mark.parametrize("state_key", ["", "x", "bob:one.example", " @bob:one.example"])
    def test_state_keys_without_one_are_free(self, version, state_key):
        room = chat(version, members=(BOB,))
        assert judge(room, room.send(ALICE, "org.example.mine", {}, state_key)) == ACCEPTED


class TestRedaction:
    """Auth rule 11 of room versions 1 and 2."""

    @versions(1, 2)
    def test_11_1_who_has_the_redact_level_redacts_anything(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 50})
        message = room.message(CHARLIE, "oops")
        assert judge(room, room.redaction(BOB, message)) == ACCEPTED

    @versions(1, 2)
    def test_11_2_events_of_the_own_server_are_redacted_without_it(self, version):
        room = chat(version, members=(CHARLIE, DORA))
        message = room.message(CHARLIE, "oops")
        assert judge(room, room.redaction(DORA, message)) == ACCEPTED

    @versions(1, 2)
    def test_11_3_events_of_other_servers_are_not(self, version):
        room = chat(version, members=(BOB, CHARLIE))
        message = room.message(CHARLIE, "oops")
        assert judge(room, room.redaction(BOB, message)) == Rejected(Rule.REDACTION_LEVEL)

    @versions(1, 2)
    def test_11_3_a_redaction_of_nothing_needs_the_level(self, version):
        room = chat(version, members=(BOB,))
        redaction = odd(room, BOB, "m.room.redaction", {})
        assert judge(room, redaction) == Rejected(Rule.REDACTION_LEVEL)

    @versions(1, 2)
    def test_11_2_it_is_the_event_id_s_server_that_counts(self, version):
        room = chat(version, members=(BOB,))
        redaction = room.redaction(BOB, room.message(BOB, "oops"))
        elsewhere = replace(redaction, redacts=EventID("$x:two.example"))
        assert judge(room, elsewhere) == Rejected(Rule.REDACTION_LEVEL)

    @versions(3)
    def test_whether_a_redaction_takes_effect_is_no_auth_rule_since(self, version):
        room = chat(version, members=(BOB, CHARLIE))
        message = room.message(CHARLIE, "oops")
        assert judge(room, room.redaction(BOB, message)) == ACCEPTED

    @versions()
    def test_a_redaction_needs_the_level_of_its_type(self, version):
        room = chat(version, members=(BOB,), levels={"events": {"m.room.redaction": 1}})
        redaction = room.redaction(BOB, room.message(BOB, "oops"))
        assert judge(room, redaction) == Rejected(Rule.EVENT_LEVEL)
