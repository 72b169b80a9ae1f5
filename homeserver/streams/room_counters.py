"""How much of a room its readers have not read, in memory: counted when asked, for next to nothing.

What may count stands in the room once, for all of its readers: positions in order, so that what is
after a reader's mark is found by halving. What is different for one reader stands with him. A
reader's counts are kept until something in the room or about him changes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from homeserver.identifiers import RoomID
from homeserver.streams.room_tracks import Entry, Track, count_after, has
from homeserver.values import value

MAIN = "main"
"""What stands in no thread. Other threads are named by the ID of their root."""

WINDOW = 1_000
"""Of a room, so many of the newest messages count."""
_SLACK = 128
_JOURNAL = 256

Counted = tuple[int, int, int]
"""Unread messages, notifications, highlights."""

_NOTHING: Counted = (0, 0, 0)
_NO_THREADS: Mapping[str, tuple[int, int]] = MappingProxyType({})


@value
class RoomCounts:
    """What somebody has not read in a room. threads: of that, notifications and highlights in each
    thread that has any, by the ID of its root.

    unread_count: messages of others, whether they notify or not; at most 999.
    """

    notification_count: int
    highlight_count: int
    threads: Mapping[str, tuple[int, int]]
    unread_count: int


NOTHING_UNREAD = RoomCounts(0, 0, _NO_THREADS, 0)
MAX_UNREAD = 999


@dataclass(frozen=True, slots=True)
class Difference:
    """What an event means to one reader, where it is not what it means to everybody."""

    position: int
    thread: str
    notify: bool
    highlight: bool


class Reader:
    """Somebody who reads a room.

    mark: how far he has read all of it; before his first receipt (not has_receipt), where he came
    in. marks: how far he has read the threads of which that is known. muted: messages are silent if
    nothing is special about them. hidden: messages after the mark that he may not see, in order.
    """

    __slots__ = (
        "_by_thread",
        "_sum",
        "_threads",
        "counts",
        "differences",
        "has_receipt",
        "hidden",
        "mark",
        "marks",
        "muted",
        "seen",
        "user_id",
        "user_nid",
    )

    def __init__(
        self,
        *,
        user_nid: int,
        user_id: str,
        mark: int,
        has_receipt: bool,
        marks: Mapping[str, int],
        muted: bool,
        differences: Iterable[Difference] = (),
        hidden: Sequence[int] = (),
    ) -> None:
        self.user_nid = user_nid
        self.user_id = user_id
        self.mark = mark
        self.has_receipt = has_receipt
        self.marks = dict(marks) if marks else None
        self.muted = muted
        self.differences = {each.position: each for each in differences} or None
        self.hidden = hidden
        self.seen = -1
        self.counts = NOTHING_UNREAD
        self.count_anew()

    def read(self, thread: str, position: int) -> bool:
        """thread: "" for all of the room. False: he read only what was there before he came, which
        opens what is after that, and must be looked up.
        """
        if not thread:
            if position < self.mark and not self.has_receipt:
                return False
            self.has_receipt = True
            self.mark = max(self.mark, position)
        else:
            marks = self.marks = self.marks or {}
            marks[thread] = max(marks.get(thread, position), position)
        self._forget_what_is_read()
        self.seen = -1
        return True

    def mute(self, *, muted: bool) -> None:
        self.muted = muted
        self.seen = -1

    def count_anew(self) -> None:
        """What was counted before does not hold any more."""
        self._by_thread: dict[str, Counted] = {}
        self._threads: Mapping[str, tuple[int, int]] = _NO_THREADS
        self._sum: Counted = _NOTHING

    def count(self, thread: str, counted: Counted) -> None:
        """What he has not read in one thread."""
        before = self._by_thread.get(thread, _NOTHING)
        if counted == before:
            return
        self._by_thread[thread] = counted
        if counted == _NOTHING:
            del self._by_thread[thread]
        unread, notify, highlight = self._sum
        self._sum = (
            unread + counted[0] - before[0],
            notify + counted[1] - before[1],
            highlight + counted[2] - before[2],
        )
        if thread != MAIN:
            threads = {key: each for key, each in self._threads.items() if key != thread}
            if counted[1]:
                threads[thread] = counted[1:]
            self._threads = threads

    def summed(self) -> RoomCounts:
        """Of all that was counted."""
        unread, notify, highlight = self._sum
        return RoomCounts(notify, highlight, self._threads, min(unread, MAX_UNREAD))

    def mark_in(self, thread: str) -> int:
        if self.marks is None:
            return self.mark
        return max(self.mark, self.marks.get(thread, self.mark))

    def forget_before(self, position: int) -> None:
        """What the room does not count any more, this reader does not either: whether he answered
        it is not known any more.
        """
        if self.differences is not None:
            kept = {at: each for at, each in self.differences.items() if at > position}
            self.differences = kept or None
        self.hidden = self.hidden[bisect_right(self.hidden, position) :]
        self.seen = -1

    def differs(self, difference: Difference) -> None:
        """Tells of an event that means something else to him than to everybody."""
        if self.differences is None:
            self.differences = {}
        self.differences[difference.position] = difference

    def _forget_what_is_read(self) -> None:
        if self.differences is not None:
            unread = {
                position: each
                for position, each in self.differences.items()
                if position > self.mark_in(each.thread)
            }
            self.differences = unread or None
        if self.marks is not None:
            self.marks = {key: at for key, at in self.marks.items() if at > self.mark} or None


class RoomCounters:
    """One room. floor: of what is after this position, everything is known."""

    __slots__ = ("_floor", "_journal", "_serial", "_size", "_tracks", "readers", "room_id")

    def __init__(self, *, room_id: RoomID, floor: int, entries: Iterable[Entry] = ()) -> None:
        """entries: in order; as many as the window holds, or all after the floor."""
        self.room_id = room_id
        self.readers: dict[int, Reader] = {}
        self._floor = floor
        self._tracks: dict[str, Track] = {}
        self._journal: list[str] = []
        self._serial = 0
        self._size = 0
        for entry in entries:
            self._put(entry, first=False)

    @property
    def floor(self) -> int:
        return self._floor

    def deepen(self, floor: int, entries: Sequence[Entry]) -> None:
        """Entries after a lower floor, up to the one before, in order."""
        for entry in reversed([each for each in entries if each.position <= self._floor]):
            self._put(entry, first=True)
        self._floor = min(self._floor, floor)
        self._trim()

    def add(self, entry: Entry) -> None:
        """Something new, after all that is known."""
        self._put(entry, first=False)
        self._trim()

    def remove(self, position: int) -> None:
        """An event was redacted."""
        for thread, track in self._tracks.items():
            if track.has(position):
                self._size -= has(track.messages, position)
                track.remove(position)
                self._changed(thread)
        for reader in self.readers.values():
            if reader.differences is not None and position in reader.differences:
                del reader.differences[position]
                reader.seen = -1

    def tell(self, user_nid: int, difference: Difference) -> None:
        """An event means something else to a reader than to everybody."""
        reader = self.readers.get(user_nid)
        if reader is not None:
            reader.differs(difference)
            reader.seen = -1

    def counts(self, reader: Reader) -> RoomCounts:
        """As they are now."""
        if reader.seen != self._serial:
            self._count(reader)
        return reader.counts

    def _put(self, entry: Entry, *, first: bool) -> None:
        track = self._tracks.get(entry.thread)
        if track is None:
            track = self._tracks[entry.thread] = Track()
        track.add(entry, first=first)
        self._size += entry.is_message
        self._changed(entry.thread)

    def _changed(self, thread: str) -> None:
        self._serial += 1
        self._journal.append(thread)
        if len(self._journal) > 2 * _JOURNAL:
            del self._journal[:_JOURNAL]

    def _trim(self) -> None:
        """Only the newest messages of the window stay; not looked at with every message."""
        if self._size <= WINDOW + _SLACK:
            return
        positions = sorted(at for track in self._tracks.values() for at in track.messages)
        last = positions[-WINDOW - 1]
        for track in self._tracks.values():
            track.cut(last)
        self._tracks = {key: track for key, track in self._tracks.items() if not track.is_empty()}
        self._size = WINDOW
        for reader in self.readers.values():
            reader.forget_before(last)

    def _count(self, reader: Reader) -> None:
        for thread in self._to_count(reader):
            reader.count(thread, self._counted(reader, thread))
        reader.seen = self._serial
        reader.counts = reader.summed()

    def _to_count(self, reader: Reader) -> Iterable[str]:
        missed = self._serial - reader.seen
        if reader.seen < 0 or missed > len(self._journal):
            reader.count_anew()
            differing = reader.differences or {}
            return {*self._tracks, *(each.thread for each in differing.values())}
        if missed == 1:
            return (self._journal[-1],)
        return set(self._journal[-missed:])

    def _counted(self, reader: Reader, thread: str) -> Counted:
        track = self._tracks.get(thread)
        mark = reader.mark_in(thread)
        if track is None:
            return _with_differences(reader, thread, mark, None, 0, 0, 0)
        said = track.last_said(reader.user_nid)
        if said is not None and said > mark:
            mark = said
        unread = count_after(track.messages, mark)
        notify = highlight = 0
        if not reader.muted:
            notify = count_after(track.notifying, mark)
            highlight = count_after(track.highlighting, mark) if track.highlighting else 0
            for position, sender_nid in track.calls.items():
                if sender_nid == reader.user_nid and position > mark:
                    notify -= 1
                    highlight -= has(track.highlighting, position)
        if reader.differences is None and not reader.hidden:
            return unread, notify, highlight
        return _with_differences(reader, thread, mark, track, unread, notify, highlight)


def _with_differences(
    reader: Reader,
    thread: str,
    mark: int,
    track: Track | None,
    unread: int,
    notify: int,
    highlight: int,
) -> Counted:
    counts_here = track is not None and not reader.muted
    for position in reader.hidden[bisect_right(reader.hidden, mark) :]:
        if track is not None and has(track.messages, position):
            unread -= 1
            if not reader.muted:
                notify -= has(track.notifying, position)
                highlight -= has(track.highlighting, position)
    for difference in (reader.differences or {}).values():
        if difference.thread == thread and difference.position > mark:
            notify += difference.notify
            highlight += difference.highlight
            if counts_here:
                assert track is not None
                notify -= has(track.notifying, difference.position)
                highlight -= has(track.highlighting, difference.position)
    return unread, notify, highlight
