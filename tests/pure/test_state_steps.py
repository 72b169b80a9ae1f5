"""The steps of state resolution, each for itself."""

import pytest

from homeserver.events.room_version import V6, V11, V12
from homeserver.identifiers import EventID
from homeserver.state.auth_difference import auth_difference
from homeserver.state.auth_graph import auth_events_first
from homeserver.state.conflicted_subgraph import conflicted_subgraph
from homeserver.state.conflicts import find_conflicts, find_conflicts_v1
from homeserver.state.errors import MissingEvents
from homeserver.state.mainline_order import mainline_order
from homeserver.state.power_order import (
    is_power_event,
    reverse_topological_power_order,
    select_power_events,
)
from tests.support.forked_room import ALICE, BOB, CHARLIE, DORA, Branch, ForkedRoom

NAME, TOPIC = ("m.room.name", ""), ("m.room.topic", "")
ONE = {TOPIC: EventID("$a"), NAME: EventID("$name")}
OTHER = {TOPIC: EventID("$b"), NAME: EventID("$name")}


@pytest.fixture
def room():
    return ForkedRoom.public_chat(V11, users={BOB: 50})


def ids(*events):
    return [event.event_id for event in events]


def loaded(*events):
    return {event.event_id: event for event in events}


def sent_with(branch: Branch, *auth_events, name: str):
    """A topic that cites these auth events, whatever the branch's state."""
    event = branch.prepare("m.room.topic", ALICE, {}, name=name)
    object.__setattr__(event, "auth_events", tuple(ids(*auth_events)))
    return branch.append(event)


class TestConflicts:
    """Room v2, "Unconflicted state map and conflicted state set"."""

    def test_a_key_with_the_same_event_everywhere_is_unconflicted(self):
        conflicts = find_conflicts([ONE, OTHER])
        assert conflicts.unconflicted == {NAME: "$name"}
        assert conflicts.conflicted == {"$a", "$b"}

    def test_a_key_that_one_state_set_lacks_conflicts(self):
        conflicts = find_conflicts([ONE, {TOPIC: EventID("$a")}])
        assert conflicts.unconflicted == {TOPIC: "$a"}
        assert conflicts.conflicted == {"$name"}

    def test_in_room_version_1_it_does_not(self):
        unconflicted, conflicted = find_conflicts_v1([ONE, OTHER, {TOPIC: EventID("$a")}])
        assert unconflicted == {NAME: "$name"}
        assert conflicted == {TOPIC: {"$a", "$b"}}


class TestAuthDifference:
    """Room v2, "Auth difference"."""

    def test_it_is_what_some_but_not_all_chains_contain(self, room):
        left, right = room.start.fork(), room.start.fork()
        skipped = left.power(ALICE, {BOB: 60})
        ours, theirs = left.power(ALICE, {BOB: 70}), right.power(ALICE, {BOB: 80})
        difference = auth_difference([{ours.event_id}, {theirs.event_id}], frozenset(), room.events)
        assert difference == set(ids(skipped, ours, theirs))

    def test_what_an_unconflicted_event_cites_is_in_all_chains(self, room):
        left, right = room.start.fork(), room.start.fork()
        power = left.power(ALICE, {BOB: 60})
        known_to_all = left.join(DORA)
        topic, ours, theirs = left.topic(BOB, "ours"), left.power(ALICE, {}), right.power(ALICE, {})
        disputed = [set(ids(ours, topic)), set(ids(theirs))]
        assert power.event_id in auth_difference(disputed, frozenset(), room.events)
        assert power.event_id not in auth_difference(
            disputed, frozenset(ids(known_to_all)), room.events
        )

    def test_a_fork_without_hidden_history_needs_no_unconflicted_events(self, room):
        left, right = room.start.fork(), room.start.fork()
        ours, theirs = left.topic(ALICE, "ours"), right.topic(BOB, "theirs")
        shared = frozenset(room.start.state_map.values()) | {EventID("$not-loaded")}
        difference = auth_difference([{ours.event_id}, {theirs.event_id}], shared, room.events)
        assert difference <= set(ids(ours, theirs))

    def test_with_hidden_history_they_are_asked_for(self, room):
        left, right = room.start.fork(), room.start.fork()
        left.power(ALICE, {BOB: 60})
        ours, theirs = left.topic(BOB, "ours"), right.topic(BOB, "theirs")
        unknown = frozenset({EventID("$not-loaded")})
        with pytest.raises(MissingEvents) as asked:
            auth_difference([{ours.event_id}, {theirs.event_id}], unknown, room.events)
        assert asked.value.ids == unknown


class TestAuthEventsFirst:
    def test_every_event_comes_after_its_auth_events(self, room):
        order = auth_events_first(room.start.state_map.values(), room.events)
        place = {event_id: index for index, event_id in enumerate(order)}
        assert place.keys() == room.events.keys()
        for event in room.events.values():
            assert all(place[auth] < place[event.event_id] for auth in event.auth_events)

    def test_all_that_is_missing_is_named_at_once(self, room):
        topic = room.start.topic(BOB, "hello")
        with pytest.raises(MissingEvents) as asked:
            auth_events_first(ids(topic), loaded(topic))
        assert asked.value.ids == set(topic.auth_events)

    def test_a_chain_of_ten_thousand_events_is_walked(self, room):
        for _ in range(10_000):
            room.start.power(ALICE, {BOB: 50})
        last = room.start.topic(ALICE, "deep")
        assert len(auth_events_first(ids(last), room.events)) > 10_000

    def test_auth_events_that_cite_each_other_end_the_walk(self, room):
        # Room versions 1 and 2 let the sender choose the event ID.
        one = sent_with(room.start, name="one")
        other = sent_with(room.start, one, name="other")
        object.__setattr__(one, "auth_events", tuple(ids(other)))
        assert set(auth_events_first(ids(other), room.events)) == set(ids(one, other))


class TestConflictedSubgraph:
    """Room v12, "Conflicted state subgraph"."""

    def test_it_is_what_lies_on_a_path_between_conflicted_events(self):
        branch = ForkedRoom(V12).start
        oldest = sent_with(branch, name="oldest")
        bottom = sent_with(branch, oldest, name="bottom")
        between = sent_with(branch, bottom, name="between")
        beside = sent_with(branch, oldest, name="beside")
        top = sent_with(branch, between, beside, name="top")
        unrelated = sent_with(branch, beside, name="unrelated")
        conflicted = frozenset(ids(bottom, top, unrelated))
        subgraph = conflicted_subgraph(conflicted, branch.room.events)
        assert subgraph == set(ids(bottom, between, top, unrelated))

    def test_every_branch_of_a_path_belongs_to_it(self):
        branch = ForkedRoom(V12).start
        bottom = sent_with(branch, name="bottom")
        left = sent_with(branch, bottom, name="left")
        right = sent_with(branch, bottom, name="right")
        top = sent_with(branch, left, right, name="top")
        subgraph = conflicted_subgraph(frozenset(ids(bottom, top)), branch.room.events)
        assert subgraph == set(ids(bottom, left, right, top))


class TestPowerEvents:
    """Room v2, "Power events"."""

    @pytest.mark.parametrize(
        ("event_type", "state_key", "content", "expected"),
        [
            ("m.room.power_levels", "", {}, True),
            ("m.room.join_rules", "", {"join_rule": "invite"}, True),
            ("m.room.member", BOB, {"membership": "ban"}, True),
            ("m.room.member", BOB, {"membership": "leave"}, True),
            ("m.room.member", BOB, {"membership": "invite"}, False),
            ("m.room.member", ALICE, {"membership": "leave"}, False),
            ("m.room.member", ALICE, {"membership": "join"}, False),
            ("m.room.member", BOB, {"membership": ["ban"]}, False),
            ("m.room.topic", "", {"topic": "x"}, False),
        ],
    )
    def test_is_one_that_may_take_an_ability(self, room, event_type, state_key, content, expected):
        event = room.start.prepare(event_type, ALICE, content, state_key=state_key)
        assert is_power_event(event) is expected

    def test_what_they_stand_on_within_the_set_is_selected_too(self, room):
        branch = room.start
        joined = branch.join(DORA)
        promoted = branch.power(ALICE, {BOB: 50, DORA: 50})
        kicked = branch.kick(DORA, CHARLIE)
        topic, left = branch.topic(DORA, "mine"), branch.leave(DORA)
        full = frozenset(ids(joined, promoted, kicked, topic, left))
        selected = select_power_events(full, room.events)
        assert selected == set(ids(joined, promoted, kicked))


class TestReverseTopologicalPowerOrder:
    """Room v2, "Reverse topological power ordering"."""

    def order(self, room, *events):
        return reverse_topological_power_order(frozenset(ids(*events)), room.events)

    def test_the_more_powerful_sender_comes_first(self, room):
        weak = room.start.fork().kick(BOB, CHARLIE, ts=1)
        strong = room.start.fork().kick(ALICE, CHARLIE, ts=9)
        assert self.order(room, weak, strong) == ids(strong, weak)

    def test_creators_of_version_12_come_before_every_level(self):
        room = ForkedRoom.public_chat(V12, users={BOB: 2**53 - 1})
        weak = room.start.fork().kick(BOB, CHARLIE, ts=1)
        strong = room.start.fork().kick(ALICE, CHARLIE, ts=9)
        assert self.order(room, weak, strong) == ids(strong, weak)

    def test_without_power_levels_the_creator_comes_first(self):
        room = ForkedRoom(V6)
        room.start.join(ALICE)
        room.start.join_rule(ALICE, "public")
        joined = room.start.fork().join(BOB, ts=1)
        changed = room.start.fork().join_rule(ALICE, "invite", ts=9)
        assert self.order(room, joined, changed) == ids(changed, joined)

    def test_of_equals_the_earlier_comes_first(self, room):
        late, early = (room.start.fork().kick(ALICE, CHARLIE, ts=ts) for ts in (2, 1))
        assert self.order(room, late, early) == ids(early, late)

    def test_at_the_same_time_the_smaller_event_id_comes_first(self, room):
        one, other = (room.start.fork().kick(ALICE, CHARLIE, ts=1) for _ in range(2))
        assert self.order(room, other, one) == sorted(ids(one, other))

    def test_auth_events_come_first_whatever_power_and_time_say(self, room):
        branch = room.start
        weak = branch.join_rule(BOB, "invite", ts=9)
        invited = branch.invite(BOB, DORA, ts=8)
        strong = branch.kick(ALICE, DORA, ts=1)
        assert self.order(room, strong, weak, invited) == ids(weak, invited, strong)

    def test_power_is_read_in_the_events_own_auth_events(self, room):
        left, right = room.start.fork(), room.start.fork()
        left.power(ALICE, {BOB: 50, CHARLIE: 60})
        promoted = left.kick(CHARLIE, BOB, ts=9)
        other = right.kick(BOB, CHARLIE, ts=1)
        assert self.order(room, other, promoted) == ids(promoted, other)


class TestMainlineOrder:
    """Room v2, "Mainline ordering"."""

    def test_what_stands_on_older_power_levels_comes_first(self, room):
        main, side = room.start, room.start.fork()
        oldest = side.topic(BOB, "oldest", ts=30)
        main.power(ALICE, {BOB: 60})
        middle = main.fork().topic(BOB, "middle", ts=20)
        newest_power = main.power(ALICE, {BOB: 70})
        newest = main.topic(BOB, "newest", ts=10)
        order = mainline_order(ids(newest, oldest, middle), newest_power.event_id, room.events)
        assert order == ids(oldest, middle, newest)

    def test_power_levels_beside_the_mainline_count_where_they_left_it(self, room):
        main, side = room.start, room.start.fork()
        side.power(ALICE, {BOB: 60})
        side.power(ALICE, {BOB: 70})
        beside = side.topic(BOB, "beside", ts=30)
        mainline = main.power(ALICE, {BOB: 80})
        on_it = main.topic(BOB, "on it", ts=10)
        order = mainline_order(ids(on_it, beside), mainline.event_id, room.events)
        assert order == ids(beside, on_it)

    def test_what_never_meets_the_mainline_comes_first_of_all(self, room):
        joined_before_power = room.start.state["m.room.member", ALICE]
        topic = room.start.topic(BOB, "new", ts=1)
        power = room.start.state["m.room.power_levels", ""]
        order = mainline_order(ids(topic, joined_before_power), power.event_id, room.events)
        assert order == ids(joined_before_power, topic)

    @pytest.mark.parametrize("has_mainline", [True, False])
    def test_at_the_same_position_time_decides_and_then_the_event_id(self, room, has_mainline):
        late = room.start.fork().topic(BOB, "late", ts=2)
        one, other = (room.start.fork().topic(BOB, "early", ts=1) for _ in range(2))
        power = room.start.state["m.room.power_levels", ""].event_id if has_mainline else None
        order = mainline_order(ids(late, other, one), power, room.events)
        assert order == [*sorted(ids(one, other)), late.event_id]

    def test_power_levels_that_are_not_loaded_are_asked_for(self, room):
        topic = room.start.topic(BOB, "new")
        with pytest.raises(MissingEvents):
            mainline_order(ids(topic), EventID("$unknown"), room.events)
