"""Server-server API, "Auth events selection"."""

import pytest

from homeserver.auth.selection import auth_types, needed_types
from tests.support.room_factory import ALICE, BOB, CHARLIE
from tests.support.versions import versions

CREATE = ("m.room.create", "")
POWER_LEVELS = ("m.room.power_levels", "")
JOIN_RULES = ("m.room.join_rules", "")


def member(user):
    return ("m.room.member", user)


def selected(version, event_type, state_key=None, content=None, sender=ALICE):
    """Without the create event, and checked to have no duplicates."""
    types = auth_types(event_type, sender, state_key, content or {}, version)
    assert len(set(types)) == len(types)
    return set(types) - {CREATE}


def selected_for_member(version, target, membership, sender=ALICE, **content):
    return selected(version, "m.room.member", target, {"membership": membership, **content}, sender)


@versions()
class TestSelection:
    def test_a_create_event_has_no_auth_events(self, version):
        assert auth_types("m.room.create", ALICE, "", {}, version) == []
        assert needed_types("m.room.create", ALICE, "", {}, version) == []

    def test_any_event_has_the_power_levels_and_the_sender_s_membership(self, version):
        basis = {POWER_LEVELS, member(ALICE)}
        assert selected(version, "m.room.message") == basis
        assert selected(version, "m.room.topic", "") == basis
        assert selected(version, "m.room.third_party_invite", "token") == basis

    def test_the_content_matters_only_for_memberships(self, version):
        content = {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}}
        assert selected(version, "m.room.message", BOB, content) == {POWER_LEVELS, member(ALICE)}

    def test_a_membership_has_the_target_s_membership(self, version):
        basis = {POWER_LEVELS, member(ALICE), member(BOB)}
        assert selected_for_member(version, BOB, "leave") == basis
        assert selected_for_member(version, BOB, "ban") == basis

    @pytest.mark.parametrize("membership", ["join", "invite", "knock"])
    def test_who_comes_in_is_under_the_join_rules(self, version, membership):
        types = selected_for_member(version, BOB, membership)
        assert types == {POWER_LEVELS, member(ALICE), member(BOB), JOIN_RULES}

    def test_sender_and_target_may_be_the_same(self, version):
        types = selected_for_member(version, ALICE, "join")
        assert types == {POWER_LEVELS, member(ALICE), JOIN_RULES}

    def test_a_third_party_invite_has_the_event_of_its_token(self, version):
        invite = {"signed": {"token": "abc"}}
        types = selected_for_member(version, BOB, "invite", third_party_invite=invite)
        assert ("m.room.third_party_invite", "abc") in types
        types = selected_for_member(version, BOB, "leave", third_party_invite=invite)
        assert ("m.room.third_party_invite", "abc") not in types

    @pytest.mark.parametrize(
        "odd", [None, 5, "x", [], {}, {"signed": 5}, {"signed": {"token": []}}]
    )
    def test_content_of_any_form_is_read(self, version, odd):
        usual = {POWER_LEVELS, member(ALICE), member(BOB), JOIN_RULES}
        assert selected_for_member(version, BOB, "invite", third_party_invite=odd) == usual
        selected_for_member(version, BOB, "join", join_authorised_via_users_server=odd)
        assert selected_for_member(version, BOB, odd) == usual - {JOIN_RULES}

    def test_a_membership_of_nobody_is_selected_for_nobody(self, version):
        types = selected(version, "m.room.member", None, {"membership": "join"})
        assert types == {POWER_LEVELS, member(ALICE), JOIN_RULES}


class TestAuthorisingUser:
    """`join_authorised_via_users_server`, in room versions with restricted joins."""

    @versions(8)
    def test_a_join_has_the_authorising_user_s_membership(self, version):
        types = selected_for_member(
            version, BOB, "join", sender=BOB, join_authorised_via_users_server=CHARLIE
        )
        assert types == {POWER_LEVELS, member(BOB), member(CHARLIE), JOIN_RULES}

    @versions(8)
    def test_the_authorising_user_is_selected_once(self, version):
        types = selected_for_member(version, BOB, "join", join_authorised_via_users_server=BOB)
        assert types == {POWER_LEVELS, member(ALICE), member(BOB), JOIN_RULES}

    @versions(8)
    def test_only_joins_are_authorised(self, version):
        for membership in ("invite", "leave", "ban", "knock"):
            types = selected_for_member(
                version, BOB, membership, join_authorised_via_users_server=CHARLIE
            )
            assert member(CHARLIE) not in types

    @versions(1, 7)
    def test_there_is_no_authorising_user_before(self, version):
        types = selected_for_member(version, BOB, "join", join_authorised_via_users_server=CHARLIE)
        assert member(CHARLIE) not in types


class TestCreate:
    @versions(1, 11)
    def test_the_create_event_is_selected(self, version):
        assert CREATE in auth_types("m.room.message", ALICE, None, {}, version)

    @versions(12)
    def test_the_create_event_is_not_selected_because_the_room_id_implies_it(self, version):
        assert CREATE not in auth_types("m.room.message", ALICE, None, {}, version)

    @versions()
    def test_the_create_event_is_always_needed_once(self, version):
        assert needed_types("m.room.message", ALICE, None, {}, version).count(CREATE) == 1
