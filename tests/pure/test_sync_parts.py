"""The pure parts of sync: what is kept of the streams, what is chosen, how it is put together."""

from dataclasses import dataclass

import orjson
import pytest

from homeserver.errors import InvalidInput
from homeserver.storage.sync_reads import StateRow, TimelineRow
from homeserver.sync.answer import RoomPart, SyncAnswer, Timeline, counts_json, dressed
from homeserver.sync.filters import MAX_LIMIT, narrowed, parse_filter
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.recent import Recent
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import chosen_state, cut, value_at


@dataclass(frozen=True)
class Row:
    key: int
    position: int


def recent(*rows: tuple[int, int], capacity: int = 100, floor: int = 0) -> Recent[Row]:
    """rows: key and position."""
    made: Recent[Row] = Recent(key=lambda row: row.key, capacity=capacity)
    made.start(floor)
    for key, position in rows:
        made.add([Row(key, position)])
    return made


class TestRecent:
    """The newest rows by key."""

    def test_rows_of_a_key_after_a_position(self):
        rows = recent((1, 1), (2, 2), (1, 3))
        assert [row.position for row in rows.of(1, 1)] == [3]
        assert [row.position for row in rows.of(1, 0)] == [1, 3]
        assert list(rows.of(3, 0)) == []

    def test_keys_that_changed_after_a_position(self):
        rows = recent((1, 1), (2, 2), (1, 3), (3, 4))
        assert set(rows.changed(4)) == set()
        assert set(rows.changed(3)) == {3}
        assert set(rows.changed(1)) == {1, 2, 3}

    def test_nothing_is_known_of_what_was_before_the_start(self):
        rows = recent((1, 11), floor=10)
        assert rows.covers(10)
        assert not rows.covers(9)

    def test_what_is_too_much_is_forgotten(self):
        rows = recent(*((number % 3, number) for number in range(1, 100)), capacity=10)
        assert rows.covers(98)
        assert not rows.covers(50)
        assert all(row.position > 78 for key in range(3) for row in rows.of(key, 0))
        assert [row.position for row in rows.of(0, 95)] == [96, 99]

    def test_one_key_can_be_forgotten_alone(self):
        rows = recent((1, 1), (2, 2), (1, 3))
        rows.forget(1, 2)
        assert not rows.knows(1, 1)
        assert rows.knows(1, 2)
        assert rows.knows(2, 0)
        assert [row.position for row in rows.of(1, 0)] == [3]


class TestToldMembers:
    """C-S API v1.19 "Lazy-loading room members"."""

    def test_who_was_told_knows_when_he_comes_back_with_the_token(self):
        told = ToldMembers()
        told.tell(1, 7, "@bob:example.org", 70, position=20)
        assert told.knows(1, 7, "@bob:example.org", 70, since=20)
        assert not told.knows(1, 7, "@bob:example.org", 70, since=19)

    def test_a_new_profile_is_not_known(self):
        told = ToldMembers()
        told.tell(1, 7, "@bob:example.org", 70, position=20)
        assert not told.knows(1, 7, "@bob:example.org", 71, since=20)

    def test_other_devices_and_rooms_do_not_know(self):
        told = ToldMembers()
        told.tell(1, 7, "@bob:example.org", 70, position=20)
        assert not told.knows(2, 7, "@bob:example.org", 70, since=20)
        assert not told.knows(1, 8, "@bob:example.org", 70, since=20)

    def test_a_device_that_starts_afresh_knows_nothing(self):
        told = ToldMembers()
        told.tell(1, 7, "@bob:example.org", 70, position=20)
        told.begin(1, 25)
        assert not told.knows(1, 7, "@bob:example.org", 70, since=30)
        told.tell(1, 7, "@bob:example.org", 70, position=25)
        assert told.knows(1, 7, "@bob:example.org", 70, since=25)

    def test_it_is_bounded(self):
        told = ToldMembers(capacity=2)
        for number in range(3):
            told.tell(1, 7, f"@{number}:example.org", number, position=20)
        assert not told.knows(1, 7, "@0:example.org", 0, since=20)
        assert told.knows(1, 7, "@2:example.org", 2, since=20)


def state(nid: int, key: str, where: str) -> StateRow:
    return StateRow(7, nid, "m.room.topic", key, at_start="s" in where, at_end="e" in where)


class TestChosenState:
    """`state` is as of the start of the timeline, `state_after` as of its end."""

    def test_what_holds_throughout_is_told(self):
        assert chosen_state([state(1, "", "se")], [], after=False) == [state(1, "", "se")]

    def test_what_the_timeline_changes_is_told_as_it_was(self):
        rows = [state(1, "", "s"), state(2, "", "e")]
        assert chosen_state(rows, [2], after=False) == [state(1, "", "s")]
        assert chosen_state(rows, [2], after=True) == [state(2, "", "e")]

    def test_what_the_timeline_does_not_have_is_told_as_it_is(self):
        rows = [state(1, "", "s"), state(2, "", "e")]
        assert chosen_state(rows, [], after=False) == [state(2, "", "e")]

    def test_what_the_timeline_brings_is_not_told(self):
        assert chosen_state([state(2, "", "e")], [2], after=False) == []

    def test_the_order_of_the_rows_does_not_matter(self):
        rows = [state(2, "", "e"), state(1, "", "s")]
        assert chosen_state(rows, [], after=False) == [state(2, "", "e")]


class TestCut:
    def rows(self, count: int) -> list[TimelineRow]:
        return [TimelineRow(7, n, n, 1, None, None, None, None, False) for n in range(count)]

    def test_the_newest_stay(self):
        kept, limited = cut(self.rows(4), 3)
        assert ([row.position for row in kept], limited) == ([1, 2, 3], True)

    def test_what_fits_is_whole(self):
        kept, limited = cut(self.rows(3), 3)
        assert (len(kept), limited) == (3, False)


class TestValueAt:
    @pytest.mark.parametrize(
        ("version", "value"), [(0, None), (2, "invite"), (4, "invite"), (5, "join"), (99, "join")]
    )
    def test_the_value_that_held(self, version, value):
        assert value_at([(2, "invite"), (5, "join")], version) == value


class TestAnswer:
    """The pieces become JSON."""

    def test_nothing_is_a_token(self):
        answer = SyncAnswer(SyncToken(events=1))
        assert answer.is_empty
        assert orjson.loads(answer.json()).keys() == {"next_batch"}

    def test_sections_that_are_empty_are_left_out(self):
        part = RoomPart(Timeline([b'{"a":1}', b'{"b":2}'], limited=True, prev_batch="s1"))
        part.counts = counts_json(3, 1, {"$root": (2, 1)})
        answer = SyncAnswer(SyncToken(events=1), join={'!"odd': part.json()})
        assert orjson.loads(answer.json())["rooms"] == {
            "join": {
                '!"odd': {
                    "timeline": {
                        "events": [{"a": 1}, {"b": 2}],
                        "limited": True,
                        "prev_batch": "s1",
                    },
                    "state": {"events": []},
                    "unread_notifications": {"notification_count": 3, "highlight_count": 1},
                    "unread_thread_notifications": {
                        "$root": {"notification_count": 2, "highlight_count": 1}
                    },
                }
            }
        }


class TestFilter:
    def test_the_default_timeline_has_ten_events(self):
        assert parse_filter({}).timeline_limit == 10

    @pytest.mark.parametrize(("given", "limit"), [(0, 1), (1, 1), (50, 50), (10**9, MAX_LIMIT)])
    def test_limits_are_held_within_bounds(self, given, limit):
        assert parse_filter({"room": {"timeline": {"limit": given}}}).timeline_limit == limit

    @pytest.mark.parametrize("given", [None, [], "", 1])
    def test_a_filter_is_an_object(self, given):
        with pytest.raises(InvalidInput):
            parse_filter(given)

    def test_threads_also_under_their_old_name(self):
        timeline = {"org.matrix.msc3773.unread_thread_notifications": True}
        assert parse_filter({"room": {"timeline": timeline}}).threads


class TestEventFields:
    """Appendices "Dot-separated property paths"."""

    def fields(self, *paths: str):
        return parse_filter({"event_fields": list(paths)}).fields

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("content.body", ("content", "body")),
            (r"content.a\.b", ("content", "a.b")),
            (r"content.a\\b", ("content", "a\\b")),
            (r"content.a\b", ("content", "a\\b")),
            ("content.", ("content", "")),
            ("end\\", ("end\\",)),
        ],
    )
    def test_paths(self, text, path):
        assert self.fields(text) == (path,)

    def test_narrowed(self):
        content = {"a": {"b": 1, "c": 2}, "d": 3}
        assert narrowed(content, [("a", "b")]) == {"a": {"b": 1}}
        assert narrowed(content, [("a",), ("a", "b")]) == {"a": {"b": 1, "c": 2}}
        assert narrowed(content, [("a", "b"), ("a", "c"), ("e",)]) == {"a": {"b": 1, "c": 2}}
        assert narrowed(content, [("d", "e")]) == {}
        assert content == {"a": {"b": 1, "c": 2}, "d": 3}

    def test_an_event_stays_an_event(self):
        event = b'{"event_id":"$a","type":"t","sender":"@a:b","content":{"x":1,"y":2},"z":3}'
        shown = orjson.loads(dressed(event, parse_filter({"event_fields": ["content.x"]})))
        assert shown == {"event_id": "$a", "type": "t", "sender": "@a:b", "content": {"x": 1}}
