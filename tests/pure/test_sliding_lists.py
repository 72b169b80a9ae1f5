"""Windows on a user's rooms. MSC4186 "Lists", "SlidingRoomFilter"."""

import pytest

from homeserver.identifiers import RoomID
from homeserver.sync.sliding.lists import ListFilters, ListWish, RoomFacts, by_activity, window
from homeserver.sync.sliding.room_config import RoomConfig

SPACE = RoomID("!space")


def room(nid: int, **facts) -> RoomFacts:
    return RoomFacts(
        room_nid=nid,
        room_id=RoomID(f"!{nid}"),
        membership=facts.pop("membership", "join"),
        activity=facts.pop("activity", nid),
        **facts,
    )


def wish(*ranges, **filters) -> ListWish:
    return ListWish(
        name="all",
        config=RoomConfig(1),
        filters=ListFilters(**filters),
        ranges=ranges or None,
    )


def shown(rooms, wanted) -> list[int]:
    return [each.room_nid for each in window(rooms, wanted).rooms]


class TestRange:
    """Integers are inclusive, and 0-indexed."""

    def test_the_most_recently_active_rooms_come_first(self):
        rooms = by_activity([room(1, activity=5), room(2, activity=9), room(3, activity=7)])
        assert [each.room_nid for each in rooms] == [2, 3, 1]

    def test_both_ends_of_a_range_are_shown(self):
        rooms = [room(nid) for nid in range(10)]
        assert shown(rooms, wish((2, 4))) == [2, 3, 4]

    def test_the_count_is_that_of_all_rooms_that_pass_the_filters(self):
        assert window([room(nid) for nid in range(10)], wish((0, 0))).count == 10

    def test_without_a_range_all_rooms_are_shown(self):
        assert shown([room(1), room(2)], wish()) == [1, 2]

    def test_ranges_that_overlap_show_a_room_once(self):
        assert shown([room(nid) for nid in range(4)], wish((0, 2), (1, 3))) == [0, 1, 2, 3]

    def test_a_range_beyond_the_end_shows_what_there_is(self):
        assert shown([room(0)], wish((0, 99))) == [0]


class TestFilters:
    """SlidingRoomFilter."""

    @pytest.mark.parametrize(
        ("filters", "facts"),
        [
            ({"is_dm": True}, {"is_dm": True}),
            ({"is_encrypted": True}, {"is_encrypted": True}),
            ({"is_invited": True}, {"membership": "invite"}),
            ({"room_types": frozenset({"m.space"})}, {"room_type": "m.space"}),
            ({"tags": frozenset({"m.favourite", "u.x"})}, {"tags": frozenset({"m.favourite"})}),
            ({"spaces": frozenset({SPACE})}, {"spaces": frozenset({SPACE})}),
            ({"name_like": "GARDEN"}, {"name": "The garden club"}),
        ],
    )
    def test_only_rooms_that_match_are_shown(self, filters, facts):
        assert shown([room(1, **facts), room(2)], wish(**filters)) == [1]

    def test_null_among_the_types_stands_for_rooms_without_one(self):
        rooms = [room(1), room(2, room_type="m.space")]
        assert shown(rooms, wish(room_types=frozenset({None}))) == [1]

    def test_not_room_types_wins_over_room_types(self):
        both = frozenset({"m.space"})
        assert not shown([room(1, room_type="m.space")], wish(room_types=both, not_room_types=both))

    def test_not_tags_wins_over_tags(self):
        tagged = room(1, tags=frozenset({"a", "b"}))
        assert not shown([tagged], wish(tags=frozenset({"a"}), not_tags=frozenset({"b"})))

    def test_what_is_false_excludes_and_what_is_unset_does_not(self):
        rooms = [room(1, is_dm=True), room(2)]
        assert shown(rooms, wish(is_dm=False)) == [2]
        assert shown(rooms, wish()) == [1, 2]
