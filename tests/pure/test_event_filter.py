"""Filters of room events."""

import re
from fnmatch import translate

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput
from homeserver.event_filter import ALL, MAX_ENTRIES, event_filter, like_pattern, matches, parse
from tests.pure.test_client_event import event

PATTERNS = st.text("ab*", max_size=8)
TEXTS = st.text("ab", max_size=10)


def filtered(**fields: object):
    return event_filter(fields, "filter")


class TestParsing:
    def test_nothing_lets_everything_through(self) -> None:
        for value in ({}, None):
            assert event_filter(value, "filter") is ALL
        assert ALL.allows_all
        assert ALL.allows_all_of_room

    def test_fields_that_are_not_known_are_ignored(self) -> None:
        assert filtered(other=1).allows_all

    @pytest.mark.parametrize(
        "value",
        [
            [],
            "x",
            {"types": "m.room.message"},
            {"types": [1]},
            {"types": ["\0"]},
            {"types": ["x" * 2_000]},
            {"senders": ["alice"]},
            {"rooms": ["@alice:example.org"]},
            {"contains_url": "true"},
            {"lazy_load_members": 1},
            {"limit": "10"},
            {"limit": -1},
            {"limit": 1.5},
            {"limit": True},
            {"not_types": [str(number) for number in range(MAX_ENTRIES + 1)]},
        ],
    )
    def test_what_is_of_the_wrong_type_or_size_is_refused(self, value) -> None:
        with pytest.raises(InvalidInput) as refusal:
            event_filter(value, "filter")
        assert refusal.value.field.startswith("filter")

    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "x" * 100_000])
    def test_text_that_is_no_filter_is_refused(self, text) -> None:
        with pytest.raises(InvalidInput):
            parse(text)

    def test_text(self) -> None:
        found = parse(orjson.dumps({"limit": 5, "lazy_load_members": True}).decode())
        assert (found.limit, found.lazy_load_members) == (5, True)

    def test_threads_are_counted_under_the_name_of_the_proposal_too(self) -> None:
        old = filtered(**{"org.matrix.msc3773.unread_thread_notifications": True})
        assert old.unread_thread_notifications


class TestMatching:
    """C-S API v1.19 EventFilter, RoomEventFilter."""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"types": ["m.room.message"]}, True),
            ({"types": ["m.room.*"]}, True),
            ({"types": ["*"]}, True),
            ({"types": ["m.room"]}, False),
            ({"types": []}, False),
            ({"not_types": ["*message"]}, False),
            ({"types": ["m.room.message"], "not_types": ["m.room.message"]}, False),
            ({"senders": ["@alice:example.org"]}, True),
            ({"senders": []}, False),
            ({"not_senders": ["@alice:example.org"]}, False),
            ({"contains_url": False}, True),
            ({"contains_url": True}, False),
        ],
    )
    def test_events(self, fields, expected) -> None:
        assert filtered(**fields).matches(event()) is expected

    @pytest.mark.parametrize("content", [{"url": "mxc://a/b"}, {"url": None}])
    def test_a_url_is_a_key_of_the_content(self, content) -> None:
        assert filtered(contains_url=True).matches(event(content=content))
        assert not filtered(contains_url=True).matches(event(content={"info": content}))

    def test_rooms(self) -> None:
        assert filtered(rooms=["!a"]).allows_room("!a")
        assert not filtered(rooms=["!a"]).allows_room("!b")
        assert not filtered(rooms=["!a"], not_rooms=["!a"]).allows_room("!a")

    @pytest.mark.parametrize("key", ["types", "senders", "rooms"])
    def test_an_empty_list_lets_nothing_through(self, key) -> None:
        assert filtered(**{key: []}).allows_none

    def test_what_keeps_events_of_a_room_back(self) -> None:
        assert filtered(rooms=["!a"], lazy_load_members=True).allows_all_of_room
        for fields in ({"types": ["x"]}, {"related_by_rel_types": ["m.thread"]}):
            assert not filtered(**fields).allows_all_of_room


class TestPatterns:
    """EventFilter: "A `*` can be used as a wildcard to match any sequence of characters"."""

    @given(PATTERNS, TEXTS)
    def test_they_match_what_a_shell_would(self, pattern, text) -> None:
        expected = re.fullmatch(translate(pattern), text) is not None
        assert matches(tuple(pattern.split("*")), text) is expected

    def test_no_pattern_takes_long(self) -> None:
        assert not matches(tuple(("*a" * 500 + "*b").split("*")), "a" * 1_000)

    def test_in_sql_other_wildcards_stand_for_themselves(self) -> None:
        assert like_pattern(("m.room_", "%\\")) == "m.room\\_%\\%\\\\"
