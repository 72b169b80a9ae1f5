"""How much is unread, as it is counted in memory."""

from homeserver.identifiers import RoomID
from homeserver.streams.room_counters import MAIN, WINDOW, Difference, Reader, RoomCounters
from homeserver.streams.room_tracks import Entry

ALICE, BOB = 1, 2


def reader(*differences: Difference) -> Reader:
    return Reader(
        user_nid=BOB,
        user_id="@bob:example.org",
        mark=0,
        has_receipt=False,
        marks={},
        muted=False,
        differences=differences,
    )


def room_of(bob: Reader) -> RoomCounters:
    room = RoomCounters(room_id=RoomID("!room"), floor=0)
    room.readers[BOB] = bob
    return room


class TestTheWindow:
    def test_a_mention_that_was_answered_does_not_come_back(self):
        bob = reader(Difference(1, MAIN, notify=True, highlight=True))
        room = room_of(bob)
        room.add(Entry(1, ALICE, MAIN))
        assert room.counts(bob).highlight_count == 1
        room.add(Entry(2, BOB, MAIN))
        assert room.counts(bob).highlight_count == 0
        for position in range(3, 2 * WINDOW):
            room.add(Entry(position, ALICE, MAIN))
        counts = room.counts(bob)
        assert (counts.highlight_count, counts.unread_count) == (0, WINDOW - 1)

    def test_what_is_in_it_stays(self):
        bob = reader()
        room = room_of(bob)
        for position in range(1, 2 * WINDOW):
            room.add(Entry(position, ALICE, MAIN))
        room.tell(BOB, Difference(2 * WINDOW - 1, MAIN, notify=True, highlight=True))
        room.add(Entry(2 * WINDOW, ALICE, MAIN))
        assert room.counts(bob).highlight_count == 1
