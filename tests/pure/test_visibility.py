"""C-S API v1.19, "Room History Visibility", "Server behaviour"."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.event import Event
from homeserver.events.room_version import DEFAULT_ROOM_VERSION
from homeserver.identifiers import EventID, RoomID, UserID
from homeserver.visibility import (
    INVITED,
    JOINED,
    SHARED,
    WORLD_READABLE,
    ReaderHistory,
    may_see,
    membership_set_by,
    visibility_set_by,
)

BOB = UserID("@bob:two.example")

MEMBERSHIPS = (None, "invite", "join", "knock", "leave", "ban")
PERMISSIVE_FIRST = (WORLD_READABLE, SHARED, INVITED, JOINED)

visibilities = st.sampled_from((*PERMISSIVE_FIRST, None, "", "org.example.unknown"))
memberships = st.sampled_from(MEMBERSHIPS)


def sees(visibility: str | None, membership: str | None, *, joined_later: bool = False) -> bool:
    """An event that changes neither."""
    return may_see(
        visibility_before=visibility,
        visibility_after=visibility,
        membership_before=membership,
        membership_after=membership,
        member_later=joined_later,
    )


class TestWorldReadable:
    """Rule 1."""

    @pytest.mark.parametrize("membership", MEMBERSHIPS)
    def test_everybody_sees_the_event(self, membership):
        assert sees(WORLD_READABLE, membership)


class TestJoinedMember:
    """Rule 2."""

    @pytest.mark.parametrize("visibility", [*PERMISSIVE_FIRST, None, "unknown"])
    def test_a_member_sees_what_happens_whatever_the_visibility(self, visibility):
        assert sees(visibility, "join")


class TestShared:
    """Rule 3."""

    @pytest.mark.parametrize("membership", MEMBERSHIPS)
    def test_who_joins_later_sees_what_was_before(self, membership):
        assert sees(SHARED, membership, joined_later=True)

    @pytest.mark.parametrize("membership", [None, "invite", "knock", "leave", "ban"])
    def test_who_never_joins_again_sees_nothing(self, membership):
        assert not sees(SHARED, membership)

    @pytest.mark.parametrize("visibility", [None, "", "org.example.unknown"])
    def test_no_value_and_unknown_values_count_as_shared(self, visibility):
        assert sees(visibility, "leave", joined_later=True)
        assert not sees(visibility, "invite")


class TestInvited:
    """Rule 4."""

    def test_an_invited_user_sees_what_happens_since_the_invitation(self):
        assert sees(INVITED, "invite")

    @pytest.mark.parametrize("membership", [None, "knock", "leave", "ban"])
    def test_joining_later_does_not_show_what_was_before_the_invitation(self, membership):
        assert not sees(INVITED, membership, joined_later=True)


class TestJoined:
    """Rule 5: everything else is denied."""

    @pytest.mark.parametrize("membership", [None, "invite", "knock", "leave", "ban"])
    def test_joining_later_does_not_show_what_was_before(self, membership):
        assert not sees(JOINED, membership, joined_later=True)


class TestVisibilityChange:
    """An event that is the change is seen if the visibility before or after would show it."""

    @pytest.mark.parametrize(
        ("before", "after"), [(WORLD_READABLE, JOINED), (JOINED, WORLD_READABLE)]
    )
    def test_a_stranger_sees_the_change_from_and_to_world_readable(self, before, after):
        assert may_see(
            visibility_before=before,
            visibility_after=after,
            membership_before=None,
            membership_after=None,
            member_later=False,
        )

    def test_a_stranger_does_not_see_a_change_between_closed_values(self):
        assert not may_see(
            visibility_before=SHARED,
            visibility_after=JOINED,
            membership_before=None,
            membership_after=None,
            member_later=False,
        )


class TestOwnMembershipChange:
    """The reader's own membership is seen if the one before or after would show it."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [(None, "join"), ("invite", "join"), ("join", "leave"), ("join", "ban")],
    )
    def test_joining_and_leaving_are_seen_although_only_members_see_history(self, before, after):
        assert may_see(
            visibility_before=JOINED,
            visibility_after=JOINED,
            membership_before=before,
            membership_after=after,
            member_later=False,
        )

    def test_declining_an_invitation_is_seen_where_invited_users_see_history(self):
        assert may_see(
            visibility_before=INVITED,
            visibility_after=INVITED,
            membership_before="invite",
            membership_after="leave",
            member_later=False,
        )


@dataclass(frozen=True)
class Moment:
    """One event of a made-up history: a message, or a change of either value."""

    visibility: str | None = None
    membership: str | None = None


class TestReaderHistory:
    """The same answers from intervals of state versions."""

    history = ReaderHistory(
        # Shared from version 2, joined-only from version 6.
        visibility=[(2, SHARED), (6, JOINED)],
        # Bob joins in 4, leaves in 5, joins in 8 and is banned in 10.
        membership=[(4, "join"), (5, "leave"), (8, "join"), (10, "ban")],
    )

    @pytest.mark.parametrize(
        ("state_version", "expected"),
        [
            (0, True),  # before any visibility: shared, and he joined later
            (3, True),
            (4, True),
            (5, True),  # out of the room, shared, and he came back
            (6, False),
            (7, False),  # out of the room, and only members see this
            (8, True),
            (9, True),
            (10, False),
            (11, False),
        ],
    )
    def test_messages_are_judged_by_the_state_before_them(self, state_version, expected):
        assert self.history.may_see(state_version) is expected

    def test_who_left_sees_nothing_that_was_sent_after(self):
        left = ReaderHistory(visibility=[(1, SHARED)], membership=[(2, "join"), (3, "leave")])
        assert left.may_see(2)
        assert not left.may_see(3)

    def test_own_join_and_ban_are_seen(self):
        assert not self.history.may_see(7)
        assert self.history.may_see(7, membership_set="join")
        assert self.history.may_see(9, membership_set="ban")

    def test_a_change_to_world_readable_is_seen_by_a_stranger(self):
        stranger = ReaderHistory(visibility=[(1, JOINED), (2, WORLD_READABLE)], membership=[])
        assert not stranger.may_see(1)
        assert stranger.may_see(1, visibility_set=WORLD_READABLE)
        assert stranger.may_see(2)

    def test_a_change_to_something_unreadable_counts_as_shared(self):
        later = ReaderHistory(visibility=[(1, JOINED)], membership=[(5, "join")])
        assert not later.may_see(2)
        assert later.may_see(2, visibility_set="")

    @given(st.lists(st.builds(Moment, visibility=visibilities, membership=memberships)))
    def test_answers_are_those_of_the_rule_applied_event_by_event(self, moments):
        visibility, membership = [], []
        for version, moment in enumerate(moments):
            if moment.visibility is not None:
                visibility.append((version + 1, moment.visibility))
            if moment.membership is not None:
                membership.append((version + 1, moment.membership))
        history = ReaderHistory(visibility=visibility, membership=membership)

        now = Moment()
        for version, moment in enumerate(moments):
            after = Moment(
                now.visibility if moment.visibility is None else moment.visibility,
                now.membership if moment.membership is None else moment.membership,
            )
            assert history.may_see(
                version, visibility_set=moment.visibility, membership_set=moment.membership
            ) == may_see(
                visibility_before=now.visibility,
                visibility_after=after.visibility,
                membership_before=now.membership,
                membership_after=after.membership,
                member_later=any(later.membership == "join" for later in moments[version:]),
            )
            now = after


class TestMorePermissive:
    """A more permissive setting never hides what a stricter one shows."""

    @given(memberships, st.sampled_from(PERMISSIVE_FIRST), st.sampled_from(PERMISSIVE_FIRST))
    def test_for_who_joins_sooner_or_later(self, membership, one, other):
        looser, stricter = sorted((one, other), key=PERMISSIVE_FIRST.index)
        assert sees(looser, membership, joined_later=True) or not sees(
            stricter, membership, joined_later=True
        )

    @given(memberships, st.booleans(), visibilities)
    def test_world_readable_hides_nothing_and_joined_shows_least(
        self, membership, joined_later, visibility
    ):
        seen = sees(visibility, membership, joined_later=joined_later)
        assert sees(WORLD_READABLE, membership, joined_later=joined_later) >= seen
        assert sees(JOINED, membership, joined_later=joined_later) <= seen

    @given(visibilities, visibilities, memberships, memberships, st.booleans())
    def test_a_change_is_seen_by_everybody_who_sees_the_one_or_the_other_side(
        self, visibility, new_visibility, membership, new_membership, joined_later
    ):
        before = sees(visibility, membership, joined_later=joined_later)
        after = sees(new_visibility, new_membership, joined_later=joined_later)
        assert may_see(
            visibility_before=visibility,
            visibility_after=new_visibility,
            membership_before=membership,
            membership_after=new_membership,
            member_later=joined_later,
        ) >= (before or after)


class TestWhatAnEventSets:
    def event(self, event_type, content, state_key=""):
        return Event(
            event_id=EventID("$event"),
            room_id=RoomID("!room"),
            sender=BOB,
            type=event_type,
            state_key=state_key,
            content=content,
            prev_events=(),
            auth_events=(),
            depth=1,
            origin_server_ts=1,
            redacts=None,
            version=DEFAULT_ROOM_VERSION,
            raw=b"",
        )

    def test_a_visibility_event_sets_the_visibility(self):
        event = self.event("m.room.history_visibility", {"history_visibility": JOINED})
        assert visibility_set_by(event) == JOINED
        assert membership_set_by(event, BOB) is None

    @pytest.mark.parametrize("content", [{}, {"history_visibility": ["joined"]}])
    def test_an_unreadable_visibility_is_a_change_all_the_same(self, content):
        assert visibility_set_by(self.event("m.room.history_visibility", content)) == ""

    def test_a_visibility_event_with_another_state_key_sets_nothing(self):
        content = {"history_visibility": WORLD_READABLE}
        event = self.event("m.room.history_visibility", content, state_key="x")
        assert visibility_set_by(event) is None

    def test_only_the_readers_own_membership_counts(self):
        event = self.event("m.room.member", {"membership": "join"}, state_key=BOB)
        assert membership_set_by(event, BOB) == "join"
        assert membership_set_by(event, UserID("@alice:one.example")) is None
        assert visibility_set_by(event) is None
