"""Which rooms somebody is told of, and how much of each. Pure.

A visit is one room of one answer: from where on the reader is told of its events, and up to where;
which version of its state he knows, and which he is brought to.
Source: C-S API v1.19 "Syncing", `sync.yaml`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from homeserver.storage.sync_reads import Movement, OwnRoom, StateRow, TimelineRow, WantedState
from homeserver.storage.timeline import MAX_POSITION, MAX_VERSION, Span
from homeserver.views.history import ReadableRoom
from homeserver.visibility import Intervals

UNKNOWN = -1
"""The version of the state that somebody knows who knows nothing."""


@dataclass(frozen=True, slots=True)
class Visit:
    """after, upto: positions of the events that are told. known: version of the state that the
    reader knows, or UNKNOWN; end: the version that he is brought to.

    is_fresh: he is told of the room for the first time. only_own: of the events only the one that
    made his membership what it is: he never was in the room.
    """

    room: OwnRoom
    readable: ReadableRoom
    after: int
    upto: int
    known: int
    end: int
    is_fresh: bool
    only_own: bool = False

    @property
    def room_nid(self) -> int:
        return self.room.room_nid

    @property
    def is_left(self) -> bool:
        return self.room.membership != "join"

    def spans(self) -> list[Span]:
        """Where the events stand that the reader may see, and what else he might."""
        if self.only_own:
            position = self.room.position
            return [] if position is None else [_single(self.room_nid, position)]
        found = [
            Span(span.room_nid, after, upto, span.since, span.until)
            for span in self.readable.spans
            if (after := max(span.after, self.after)) < (upto := min(span.upto, self.upto))
        ]
        return found + [_single(self.room_nid, position) for position in self._apart(found)]

    def _apart(self, found: Sequence[Span]) -> list[int]:
        """Changes of visibility and membership may be seen by what they set, too."""
        return [
            position
            for position in self.readable.changes
            if self.after < position <= self.upto
            and not any(span.after < position <= span.upto for span in found)
        ]


def visit_joined(
    room: OwnRoom, readable: ReadableRoom, moved: Movement, *, since: int | None, upto: int
) -> Visit:
    """A room that the reader is in. since: position that he has come to; None: he begins.

    Who left it meanwhile and came back is told of it anew, for he may have been told that he left.
    """
    if since is None or not _stayed(readable.membership, moved.version_then, moved.version):
        return Visit(room, readable, -MAX_POSITION, upto, UNKNOWN, moved.version, is_fresh=True)
    return Visit(room, readable, since, upto, moved.version_then, moved.version, is_fresh=False)


def visit_left(
    room: OwnRoom, readable: ReadableRoom, moved: Movement, *, since: int | None, upto: int
) -> Visit:
    """A room that he is in no more: up to when he left it, and what became of him after that."""
    last = upto if room.position is None else room.position
    end = _end_of_stay(readable.membership)
    if end is None:
        return Visit(room, readable, last, last, UNKNOWN, 0, is_fresh=True, only_own=True)
    end = min(end, moved.version)
    if since is None:
        return Visit(room, readable, -MAX_POSITION, last, UNKNOWN, end, is_fresh=True)
    if value_at(readable.membership, moved.version_then) == "join":
        return Visit(room, readable, since, last, moved.version_then, end, is_fresh=False)
    if end > moved.version_then:
        return Visit(room, readable, -MAX_POSITION, last, UNKNOWN, end, is_fresh=True)
    return Visit(room, readable, last, last, end, end, is_fresh=False, only_own=True)


def cut(rows: Sequence[TimelineRow], limit: int) -> tuple[Sequence[TimelineRow], bool]:
    """The newest events, the oldest first; whether there were more."""
    return (rows[-limit:], True) if len(rows) > limit else (rows, False)


def wanted_state(visit: Visit, kept: Sequence[TimelineRow], *, whole: bool) -> WantedState | None:
    """The entries that must be known to tell what the timeline does not; None: there are none."""
    known = UNKNOWN if whole else visit.known
    start = min(kept[0].state_version, visit.end) if kept else visit.end
    if visit.only_own or known >= visit.end:
        return None
    return WantedState(visit.room_nid, known, max(start, known), visit.end)


def chosen_state(
    rows: Iterable[StateRow], timeline: Iterable[int], *, after: bool
) -> list[StateRow]:
    """The entries to tell. timeline: numbers of the events that it has.

    after: as of the end of the timeline. Else as of its start, with what changed meanwhile and is
    not in it: filtered, not to be seen by the reader, or settled where the graph forked.
    """
    if after:
        return [row for row in rows if row.at_end]
    told = frozenset(timeline)
    chosen: dict[tuple[str, str], StateRow] = {}
    for row in rows:
        key = row.type, row.state_key
        if row.at_end and row.event_nid not in told:
            chosen[key] = row
        elif row.at_start and row.event_nid not in told:
            chosen.setdefault(key, row)
    return list(chosen.values())


def value_at(intervals: Intervals, version: int) -> str | None:
    """The value that held at a version of the state."""
    index = bisect_right(intervals, version, key=itemgetter(0))
    return intervals[index - 1][1] if index else None


def membership_at(visit: Visit, row: TimelineRow) -> str | None:
    """The reader's membership at an event that is not about him; None on a fork."""
    if row.fork_nid is not None:
        return None
    return value_at(visit.readable.membership, row.state_version) or "leave"


def by_room(rows: Iterable[StateRow]) -> Mapping[int, list[StateRow]]:
    found: dict[int, list[StateRow]] = {}
    for row in rows:
        found.setdefault(row.room_nid, []).append(row)
    return found


def _stayed(membership: Intervals, since: int, until: int) -> bool:
    """Whether he was joined at all versions of a stretch."""
    return value_at(membership, since) == "join" and all(
        value == "join" for version, value in membership if since < version <= until
    )


def _end_of_stay(membership: Intervals) -> int | None:
    """The version that ended the last stay; None for somebody who never was there."""
    last = None
    for index, (_, value) in enumerate(membership):
        if value == "join":
            last = index
    if last is None:
        return None
    return membership[last + 1][0] if last + 1 < len(membership) else MAX_VERSION


def _single(room_nid: int, position: int) -> Span:
    return Span(room_nid, position - 1, position)
