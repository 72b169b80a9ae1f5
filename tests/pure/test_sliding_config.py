"""What is wanted of a room, and what a connection remembers of it. MSC4186."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.identifiers import UserID
from homeserver.sync.sliding.connection import Connection, Told, from_json, to_json
from homeserver.sync.sliding.room_config import (
    RequiredState,
    RoomConfig,
    StatePattern,
    combined,
    of_pairs,
)

ME = UserID("@me:example.org")
NAME = ("m.room.name", "")
BOB = ("m.room.member", "@bob:example.org")
MINE = ("m.room.member", ME)

_words = st.sampled_from(["a", "b", None])
_patterns = st.builds(StatePattern, _words, _words)
_required = st.builds(
    RequiredState,
    st.lists(_patterns, max_size=3).map(tuple),
    st.lists(_patterns, max_size=2).map(tuple),
)
_configs = st.builds(
    RoomConfig, st.integers(0, 50), st.lists(_required, max_size=3).map(tuple), st.booleans()
)
_keys = st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))


class TestRequiredState:
    """RequiredStateElement: what is left out matches everything."""

    def test_an_empty_element_matches_everything(self):
        config = RoomConfig(1, (RequiredState((StatePattern(None, None),)),))
        assert config.wants(NAME)
        assert config.wants(BOB)

    def test_what_is_excluded_is_not_wanted(self):
        everything = (StatePattern(None, None),)
        config = RoomConfig(1, (RequiredState(everything, (StatePattern("m.room.name", None),)),))
        assert not config.wants(NAME)
        assert config.wants(BOB)


class TestPairs:
    """Before the proposal was accepted: `*`, `$ME` and `$LAZY`."""

    def test_an_asterisk_matches_everything(self):
        assert of_pairs([("*", "*")], 1, ME).wants(BOB)

    def test_me_is_the_reader(self):
        config = of_pairs([("m.room.member", "$ME")], 1, ME)
        assert config.wants(MINE)
        assert not config.wants(BOB)

    def test_lazy_is_a_flag(self):
        config = of_pairs([("m.room.member", "$LAZY")], 1, ME)
        assert config.lazy_members
        assert not config.wants(BOB)

    def test_all_state_with_lazy_members_leaves_members_out_but_those_that_are_named(self):
        pairs = [("*", "*"), ("m.room.member", "$LAZY"), ("m.room.member", "$ME")]
        config = of_pairs(pairs, 1, ME)
        assert config.wants(NAME)
        assert config.wants(MINE)
        assert not config.wants(BOB)


class TestCombining:
    """MSC4186 "Combining room configs": the superset."""

    @given(st.lists(_configs, min_size=1, max_size=4), _keys)
    def test_what_one_wants_the_combination_wants_and_nothing_else(self, configs, key):
        assert combined(configs).wants(key) == any(each.wants(key) for each in configs)

    @given(st.lists(_configs, min_size=1, max_size=4))
    def test_it_goes_beyond_none_of_its_parts_only_if_they_are_alike(self, configs):
        both = combined(configs)
        assert both.timeline_limit == max(each.timeline_limit for each in configs)
        assert not any(each.goes_beyond(both) for each in configs)

    @given(_configs, _keys)
    def test_its_patterns_find_everything_that_is_wanted(self, config, key):
        found = any(pattern.matches(key) for pattern in config.patterns())
        assert found or not config.wants(key)


class TestConnection:
    """What a position stands for."""

    def test_an_answer_like_the_one_before_changes_nothing(self):
        first = Connection().after({1: RoomConfig(1)}, since=5, first_version=7)
        assert first.after({1: RoomConfig(1)}, since=9, first_version=8) is first

    def test_a_room_that_leaves_the_window_was_told_up_to_then(self):
        first = Connection().after({1: RoomConfig(1)}, since=5, first_version=7)
        second = first.after({}, since=9, first_version=8)
        assert second.rooms == {1: Told(RoomConfig(1), 9)}
        assert second.version == first.version + 1

    def test_the_first_version_is_chosen(self):
        assert Connection().after({1: RoomConfig(1)}, since=5, first_version=7).version == 7

    def test_it_stays_told_up_to_then(self):
        told = (
            Connection()
            .after({1: RoomConfig(1)}, since=5, first_version=7)
            .after({}, since=9, first_version=8)
        )
        assert told.after({}, since=20, first_version=9) is told

    def test_a_room_that_comes_back_is_live_again(self):
        told = (
            Connection()
            .after({1: RoomConfig(1)}, since=5, first_version=7)
            .after({}, since=9, first_version=8)
        )
        assert told.after({1: RoomConfig(2)}, since=20, first_version=9).rooms == {
            1: Told(RoomConfig(2))
        }

    @given(
        st.integers(0, 9),
        st.dictionaries(
            st.integers(1, 9), st.builds(Told, _configs, st.one_of(st.none(), st.integers(0, 99)))
        ),
    )
    def test_it_survives_being_stored(self, version, rooms):
        connection = Connection(version, rooms)
        assert from_json(version, to_json(connection)) == connection
