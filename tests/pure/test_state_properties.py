"""What holds of every resolution, tried on rooms that grow at random."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.auth.rules import authorise
from homeserver.auth.verdict import ACCEPTED
from homeserver.events.room_version import V1, V2, V6, V11, V12
from homeserver.state.auth_graph import auth_events_first
from homeserver.state.errors import MissingEvents
from homeserver.state.power_order import is_power_event
from homeserver.state.resolve import resolve
from tests.support.random_rooms import ANARCHY, ONE_LEADER, Cast, grow

SINCE_V2 = (V2, V6, V11, V12)
ALL = (V1, *SINCE_V2)

randoms = st.randoms(use_true_random=False)


@st.composite
def forked_rooms(draw, versions=ALL, cast: Cast = ANARCHY):
    """A room and the states at the ends of its branches, two to four."""
    version = draw(st.sampled_from(versions))
    steps = draw(st.integers(0, 40))
    room, branches = grow(version, draw(randoms).choice, steps=steps, cast=cast)
    return room, [branch.state_map for branch in branches]


def shuffled(mapping, random: Random):
    """The same mapping, entered in another order."""
    entries = list(mapping.items())
    random.shuffle(entries)
    return dict(entries)


def shared_entries(state_sets):
    return set(state_sets[0].items()).intersection(*(state.items() for state in state_sets))


class TestOrder:
    @given(forked_rooms(), randoms)
    def test_neither_the_order_of_state_sets_nor_of_entries_matters(self, forked, random):
        room, state_sets = forked
        mixed = [shuffled(state, random) for state in state_sets]
        random.shuffle(mixed)
        resolved = resolve(room.version, state_sets, room.events)
        assert resolve(room.version, mixed, shuffled(room.events, random)) == resolved

    @given(forked_rooms(), st.data())
    def test_a_state_set_that_stands_there_twice_changes_nothing(self, forked, data):
        room, state_sets = forked
        twice = [*state_sets, data.draw(st.sampled_from(state_sets))]
        resolved = resolve(room.version, state_sets, room.events)
        assert resolve(room.version, twice, room.events) == resolved


class TestAgreement:
    @given(forked_rooms())
    def test_one_state_set_is_its_own_resolution(self, forked):
        room, state_sets = forked
        assert resolve(room.version, state_sets[:1], room.events) == state_sets[0]

    @given(forked_rooms(), st.integers(2, 4))
    def test_state_sets_that_agree_are_their_resolution_and_need_no_events(self, forked, count):
        room, state_sets = forked
        assert resolve(room.version, state_sets[:1] * count, {}) == state_sets[0]

    @given(forked_rooms())
    def test_where_all_agree_on_an_entry_it_is_in_the_result(self, forked):
        room, state_sets = forked
        resolved = resolve(room.version, state_sets, room.events)
        assert shared_entries(state_sets) <= resolved.items()

    @pytest.mark.parametrize("version", ALL, ids=lambda version: version.name)
    def test_no_state_sets_make_the_empty_state(self, version):
        assert resolve(version, [], {}) == {}


class TestResult:
    @given(forked_rooms(versions=[V1]))
    def test_in_version_1_every_event_comes_from_a_state_set(self, forked):
        room, state_sets = forked
        resolved = resolve(room.version, state_sets, room.events)
        assert resolved.items() <= set().union(*(state.items() for state in state_sets))

    @given(forked_rooms(versions=SINCE_V2))
    def test_since_version_2_it_comes_from_one_or_its_auth_chain(self, forked):
        room, state_sets = forked
        resolved = resolve(room.version, state_sets, room.events)
        named = set().union(*(state.values() for state in state_sets))
        assert set(resolved.values()) <= set(auth_events_first(named, room.events))
        assert all(room.events[event_id].key == key for key, event_id in resolved.items())

    @given(forked_rooms(), st.data())
    def test_a_rejected_event_wins_no_conflict(self, forked, data):
        room, state_sets = forked
        rejected = data.draw(st.frozensets(st.sampled_from(sorted(room.events))))
        resolved = resolve(room.version, state_sets, room.events, rejected)
        if any(state != state_sets[0] for state in state_sets):
            won = resolved.items() - shared_entries(state_sets)
            alone = _entries_without_rival(state_sets) if room.version is V1 else set()
            assert rejected.isdisjoint(event_id for _, event_id in won - alone)

    @given(forked_rooms(versions=SINCE_V2, cast=ONE_LEADER))
    def test_power_events_of_one_loyal_leader_hold_in_the_state_that_they_make(self, forked):
        room, state_sets = forked
        resolved = resolve(room.version, state_sets, room.events)
        state = {key: room.events[event_id] for key, event_id in resolved.items()}
        for event in filter(is_power_event, state.values()):
            assert authorise(event, state) == ACCEPTED


def _entries_without_rival(state_sets):
    """What no state set contradicts, which is no conflict in room version 1."""
    entries = set().union(*(state.items() for state in state_sets))
    keys = [key for key, _ in entries]
    return {(key, event_id) for key, event_id in entries if keys.count(key) == 1}


class TestLoading:
    @settings(max_examples=50)
    @given(forked_rooms())
    def test_loading_what_is_asked_for_leads_to_the_same_result(self, forked):
        room, state_sets = forked
        loaded = {}
        while (missing := _missing(room.version, state_sets, loaded)) is not None:
            assert missing
            assert loaded.keys().isdisjoint(missing)
            chains = auth_events_first(missing, room.events)
            loaded |= {event_id: room.events[event_id] for event_id in chains}
        expected = resolve(room.version, state_sets, room.events)
        assert resolve(room.version, state_sets, loaded) == expected


def _missing(version, state_sets, loaded):
    try:
        resolve(version, state_sets, loaded)
    except MissingEvents as asked:
        return asked.ids
    return None
