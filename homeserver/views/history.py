"""What one reader may see of rooms, in a form that queries can use.

History visibility and the reader's membership change only when the room's state does. Between
two such changes either every message can be seen or none, so what can be seen is a few spans.
Source: C-S API v1.19 "Room History Visibility".
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts, StoredEvent
from homeserver.identifiers import StateKey, UserID
from homeserver.storage import state_history
from homeserver.storage.database import Connection
from homeserver.storage.state_history import StateInterval
from homeserver.storage.timeline import MAX_POSITION, MAX_VERSION, Span, Stay
from homeserver.visibility import (
    INVITED,
    JOINED,
    MEMBER_TYPE,
    VISIBILITY_TYPE,
    Intervals,
    ReaderHistory,
    may_see,
    membership_set_by,
    visibility_set_by,
)

VISIBILITY_KEY: StateKey = (VISIBILITY_TYPE, "")

Rows = Sequence[StateInterval]
Read = Callable[[Event], str | None]
ForkEntries = Mapping[tuple[int, StateKey], Event | None]


@dataclass(frozen=True, slots=True)
class ReadableRoom:
    """One room as one reader may see it.

    is_member: whether he is joined now. joined_at: position of the join that lasts until now; None
    where he is not joined, or the join came with the room's state. changes: positions of the
    events that set the visibility or his membership: they may be seen by what they set, too.
    """

    room_nid: int
    reader: UserID
    is_member: bool
    joined_at: int | None
    spans: tuple[Span, ...]
    visibility: Intervals
    membership: Intervals
    history: ReaderHistory
    changes: tuple[int, ...]

    @property
    def is_all_visible(self) -> bool:
        """Whether every event of the room can be seen, also on forks."""
        return any(span.since == 0 and span.until == MAX_VERSION for span in self.spans)

    @property
    def stays(self) -> list[Stay]:
        """The stretches in which he was joined."""
        ends = [since for since, _ in self.membership[1:]]
        return [
            Stay(self.room_nid, since, until)
            for (since, membership), until in zip(
                self.membership, [*ends, MAX_VERSION], strict=True
            )
            if membership == "join"
        ]

    @property
    def was_member(self) -> bool:
        """Whether he is joined now or was at any time."""
        return any(membership == "join" for _, membership in self.membership)

    def membership_at(self, stored: StoredEvent) -> str | None:
        """His membership after the event; None on a fork, which has its own state."""
        own = membership_set_by(stored.event, self.reader)
        if own is None:
            version = stored.facts.state_version
            if version is None or stored.facts.fork_nid is not None:
                return None
            return self.membership_before(version)
        return own or "leave"

    def membership_before(self, state_version: int) -> str:
        """His membership in the state at a version."""
        return _value_at(self.membership, state_version) or "leave"

    def shows(self, stored: StoredEvent) -> bool:
        """Whether he may see the event, which is on no fork; state that came with the room is
        for its members."""
        if stored.facts.state_version is None:
            return self.was_member
        return self.history.may_see(
            stored.facts.state_version,
            visibility_set=visibility_set_by(stored.event),
            membership_set=membership_set_by(stored.event, self.reader),
        )


async def of_room(db: Connection, room_nid: int, reader: UserID) -> ReadableRoom:
    """One query."""
    return (await of_all(db, reader, [room_nid]))[room_nid]


async def of_stranger(db: Connection, room_nid: int, reader: UserID) -> ReadableRoom:
    """The room as somebody sees it who was never there. One query."""
    found = await state_history.histories(db, [room_nid], [VISIBILITY_KEY])
    return readable(room_nid, reader, found.get((room_nid, VISIBILITY_KEY), ()), ())


async def of_all(
    db: Connection, reader: UserID, room_nids: Collection[int]
) -> dict[int, ReadableRoom]:
    """Every one of the rooms. One query."""
    own_key = MEMBER_TYPE, reader
    found = await state_history.histories(db, room_nids, [VISIBILITY_KEY, own_key])
    return {
        nid: readable(
            nid, reader, found.get((nid, VISIBILITY_KEY), ()), found.get((nid, own_key), ())
        )
        for nid in room_nids
    }


async def of_rooms(
    db: Connection, reader: UserID, room_nids: Collection[int], *, in_detail: Collection[int]
) -> dict[int, ReadableRoom]:
    """Rooms that the reader is in and where there is more to know than that he may see all.

    in_detail: rooms of which everything is asked for. Two queries. Where history was always open
    to all members, a member may see everything, so memberships are not looked at.
    """
    visibility = await state_history.intervals(db, room_nids, VISIBILITY_KEY)
    restricted = {room_nid for room_nid, rows in visibility.items() if _is_restricted(rows)}
    membership = await state_history.intervals(
        db, restricted.union(in_detail), (MEMBER_TYPE, reader)
    )
    return {
        room_nid: readable(room_nid, reader, visibility.get(room_nid, ()), rows)
        for room_nid, rows in membership.items()
    }


def readable(room_nid: int, reader: UserID, visibility: Rows, membership: Rows) -> ReadableRoom:
    """visibility, membership: all values of the two entries, oldest first."""
    of_room = _values(visibility, visibility_set_by)
    of_reader = _values(membership, lambda event: membership_set_by(event, reader))
    is_member = bool(of_reader) and of_reader[-1][1] == "join"
    history = ReaderHistory(visibility=of_room, membership=of_reader)
    changes = [since for since, _ in (*of_room, *of_reader)]
    positions = _positions([*visibility, *membership])
    return ReadableRoom(
        room_nid=room_nid,
        reader=reader,
        is_member=is_member,
        joined_at=_joined_at(membership, of_reader) if is_member else None,
        spans=tuple(
            _span(room_nid, since, until, positions)
            for since, until in _stretches(history, changes)
        ),
        visibility=of_room,
        membership=of_reader,
        history=history,
        changes=tuple(
            row.position for row in (*visibility, *membership) if row.position is not None
        ),
    )


async def visible_only(
    db: Connection, room: ReadableRoom, events: Sequence[StoredEvent]
) -> list[StoredEvent]:
    """Those of the events that the reader may see. One query, if any stands on a fork."""
    forks = [nid for each in events if (nid := each.facts.fork_nid) is not None]
    if not forks and room.is_all_visible:
        return list(events)
    keys = VISIBILITY_KEY, (MEMBER_TYPE, room.reader)
    entries = await state_history.fork_entries(db, forks, keys) if forks else {}
    return [each for each in events if _may_see(room, each, entries)]


def _may_see(room: ReadableRoom, stored: StoredEvent, entries: ForkEntries) -> bool:
    facts = stored.facts
    assert facts.state_version is not None
    if facts.fork_nid is None:
        return room.shows(stored)
    visibility = _on_fork(entries, facts, VISIBILITY_KEY, room.visibility, visibility_set_by)
    membership = _on_fork(
        entries,
        facts,
        (MEMBER_TYPE, room.reader),
        room.membership,
        lambda event: membership_set_by(event, room.reader),
    )
    visibility_set = visibility_set_by(stored.event)
    membership_set = membership_set_by(stored.event, room.reader)
    return may_see(
        visibility_before=visibility,
        visibility_after=visibility if visibility_set is None else visibility_set,
        membership_before=membership,
        membership_after=membership if membership_set is None else membership_set,
        member_later=room.history.joins_after(facts.state_version),
    )


def _on_fork(
    entries: ForkEntries, facts: LocalFacts, key: StateKey, base: Intervals, read: Read
) -> str | None:
    """What the fork says, or else the base version that it differs from."""
    assert facts.fork_nid is not None
    if (facts.fork_nid, key) in entries:
        event = entries[facts.fork_nid, key]
        return None if event is None else read(event)
    return _value_at(base, facts.state_version or 0)


def _values(rows: Rows, read: Read) -> list[tuple[int, str | None]]:
    """As `visibility.Intervals`: None from where an entry ended and no other followed."""
    values: list[tuple[int, str | None]] = []
    for index, row in enumerate(rows):
        values.append((row.since, read(row.event)))
        follower = rows[index + 1].since if index + 1 < len(rows) else None
        if row.until is not None and row.until != follower:
            values.append((row.until, None))
    return values


def _joined_at(rows: Rows, values: Intervals) -> int | None:
    """A member may have changed his name since: the first of the joins that follow each other."""
    first = len(values)
    while first and values[first - 1][1] == "join":
        first -= 1
    since = values[first][0]
    return next(row.position for row in rows if row.since == since)


def _positions(rows: Rows) -> dict[int, int]:
    """Where the state versions begin that the rows brought."""
    return {row.since: row.position for row in rows if row.position is not None}


def _stretches(history: ReaderHistory, changes: Collection[int]) -> list[tuple[int, int]]:
    """Ranges of state versions (from, to before) that can be seen; those that touch are one."""
    starts = sorted({0, *changes})
    stretches: list[tuple[int, int]] = []
    for since, until in zip(starts, [*starts[1:], MAX_VERSION], strict=True):
        if not history.may_see(since):
            continue
        if stretches and stretches[-1][1] == since:
            stretches[-1] = stretches[-1][0], until
        else:
            stretches.append((since, until))
    return stretches


def _span(room_nid: int, since: int, until: int, positions: Mapping[int, int]) -> Span:
    """Positions only help the query to find the stretch; the versions decide."""
    return Span(
        room_nid=room_nid,
        after=positions.get(since, -MAX_POSITION),
        upto=positions.get(until, MAX_POSITION),
        since=since,
        until=until,
    )


def _is_restricted(visibility: Rows) -> bool:
    """Whether not every member could always read what was said."""
    return any(visibility_set_by(row.event) in (INVITED, JOINED) for row in visibility)


def _value_at(intervals: Intervals, state_version: int) -> str | None:
    index = bisect_right(intervals, state_version, key=itemgetter(0))
    return intervals[index - 1][1] if index else None
