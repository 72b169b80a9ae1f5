"""Receipts as Matrix clients are told of them. Source: C-S API v1.19 "Receipts"."""

from dataclasses import dataclass

from homeserver.receipt_content import receipt_contents


@dataclass(frozen=True)
class Read:
    reader_id: str
    event_id: str
    thread: str = ""
    is_private: bool = False
    ts: int = 7


class TestReceiptContents:
    def test_nothing_gives_none(self):
        assert receipt_contents([]) == []

    def test_they_stand_by_event_type_and_user(self):
        rows = [
            Read("@a:x", "$1"),
            Read("@b:x", "$1", ts=8),
            Read("@a:x", "$2", is_private=True),
            Read("@c:x", "$2", thread="main"),
            Read("@d:x", "$3", thread="$1"),
        ]
        assert receipt_contents(rows) == [
            {
                "$1": {"m.read": {"@a:x": {"ts": 7}, "@b:x": {"ts": 8}}},
                "$2": {
                    "m.read.private": {"@a:x": {"ts": 7}},
                    "m.read": {"@c:x": {"ts": 7, "thread_id": "main"}},
                },
                "$3": {"m.read": {"@d:x": {"ts": 7, "thread_id": "$1"}}},
            }
        ]

    def test_one_for_the_room_says_what_one_for_a_thread_says(self):
        rows = [Read("@a:x", "$1", thread="main"), Read("@a:x", "$1", thread="")]
        assert receipt_contents(rows) == [{"$1": {"m.read": {"@a:x": {"ts": 7}}}}]

    def test_of_two_threads_at_one_event_both_are_told(self):
        rows = [
            Read("@a:x", "$1", thread="main"),
            Read("@a:x", "$1", thread="$1"),
            Read("@b:x", "$1", thread="$1"),
        ]
        main, thread = {"ts": 7, "thread_id": "main"}, {"ts": 7, "thread_id": "$1"}
        assert receipt_contents(rows) == [
            {"$1": {"m.read": {"@a:x": main, "@b:x": thread}}},
            {"$1": {"m.read": {"@a:x": thread}}},
        ]

    def test_public_and_private_ones_do_not_meet(self):
        rows = [Read("@a:x", "$1", thread="main"), Read("@a:x", "$1", is_private=True)]
        (content,) = receipt_contents(rows)
        assert content["$1"].keys() == {"m.read", "m.read.private"}
