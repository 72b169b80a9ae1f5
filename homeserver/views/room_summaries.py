"""Summaries of rooms, and the rooms of spaces.

Source: C-S API v1.19 room_summary.yaml, space_hierarchy.yaml.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.client_event import JsonObject
from homeserver.errors import NotAllowed, NotFound
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import RoomAlias, RoomID, native_uuid
from homeserver.requester import Requester
from homeserver.room_summary import (
    SPACE,
    SUMMARY_TYPES,
    Entries,
    allowed_rooms,
    children_in_order,
    is_open,
    may_know,
    room_summary,
    room_type,
    stripped_child,
)
from homeserver.storage import aliases, room_summaries, rooms, state_history
from homeserver.storage.database import Connection, Database

DEFAULT_ROOMS = 50
MAX_ROOMS = 100
MAX_DEPTH = 20
"""Levels of spaces below the one that is asked for; whoever asks for more gets so many."""
MAX_TREE = 2_000
"""Rooms of a space that are looked at, over all its levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeQuery:
    """Which rooms of a space. max_depth: None for as deep as it goes. start: how many rooms of
    the tree come before the page.
    """

    suggested_only: bool = False
    limit: int = DEFAULT_ROOMS
    max_depth: int | None = None
    start: int = 0

    @property
    def depth(self) -> int:
        return MAX_DEPTH if self.max_depth is None else min(self.max_depth, MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class TreePage:
    """Rooms of a space, and where the next page begins, if there is one."""

    rooms: list[JsonObject]
    next_start: int | None


@dataclass(slots=True)
class _Known:
    """A room that the reader may know. children: in order."""

    record: RoomRecord
    entries: Entries
    member_count: int
    membership: str | None
    children: Sequence[Event] = ()

    def summary(self) -> JsonObject:
        return room_summary(self.record, self.entries, member_count=self.member_count)


class RoomSummaries:
    """Reads about rooms from outside. All raise Unavailable."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def summary(self, by: Requester | None, room: RoomID | RoomAlias) -> JsonObject:
        """A room, for somebody who may know it. by: None for nobody in particular.

        Raises NotFound, whatever the reason.
        """
        async with self._database.snapshot() as db:
            record = await _record(db, room)
            known = [] if record is None else await _known(db, by, [record])
        if not known:
            raise NotFound("Room not found.", kind="room")
        summary = known[0].summary()
        if by is not None:
            summary["membership"] = known[0].membership or "leave"
        return summary

    async def tree(self, by: Requester, room_id: RoomID, query: TreeQuery) -> TreePage:
        """The rooms of a space, each before its own children, the space itself first; each once.

        Some queries for each level. Raises NotAllowed for a room that the reader may not know.
        """
        async with self._database.snapshot() as db:
            tree = _Tree()
            await tree.grow(db, by, room_id, query)
        if room_id not in tree.known:
            raise NotAllowed("You are not allowed to view this room.")
        end = query.start + max(1, min(query.limit, MAX_ROOMS))
        ordered = list(tree.walk(room_id, query.depth))
        shown = [_with_children(known) for known in ordered[query.start : end]]
        return TreePage(shown, end if end < len(ordered) else None)


@dataclass(slots=True)
class _Tree:
    """What was found of a space, level by level."""

    known: dict[RoomID, _Known] = field(default_factory=dict)
    asked: set[RoomID] = field(default_factory=set)

    async def grow(self, db: Connection, by: Requester, root: RoomID, query: TreeQuery) -> None:
        level: Collection[RoomID] = [root]
        for depth in range(query.depth + 1):
            self.asked.update(level)
            records = await room_summaries.records(db, [native_uuid(each) for each in level])
            found = await _known(db, by, records.values())
            self.known |= {each.record.room_id: each for each in found}
            spaces = [each for each in found if room_type(each.entries) == SPACE]
            if not spaces:
                return
            await _add_children(db, spaces, suggested_only=query.suggested_only)
            if depth < query.depth:
                level = self._next(spaces)

    def walk(self, root: RoomID, depth: int) -> Iterator[_Known]:
        """Depth first. Without recursion: a chain of spaces may be long."""
        seen: set[RoomID] = set()
        waiting = [(root, depth)]
        while waiting:
            room_id, left = waiting.pop()
            known = self.known.get(room_id)
            if known is None or room_id in seen:
                continue
            seen.add(room_id)
            yield known
            if left:
                children = [(_child_id(each), left - 1) for each in known.children]
                waiting += reversed(children)

    def _next(self, spaces: Iterable[_Known]) -> list[RoomID]:
        """Spaces may stand in each other: what was asked for is not asked for again."""
        wanted = dict.fromkeys(_child_id(each) for space in spaces for each in space.children)
        room = MAX_TREE - len(self.asked)
        return [each for each in wanted if each not in self.asked][: max(0, room)]


async def _known(
    db: Connection, by: Requester | None, records: Iterable[RoomRecord]
) -> list[_Known]:
    """Those of the rooms that the reader may know. At most four queries."""
    by_nid = {record.room_nid: record for record in records}
    if not by_nid:
        return []
    state = await state_history.current(db, by_nid, SUMMARY_TYPES)
    counts = await room_summaries.member_counts(db, by_nid)
    memberships = {} if by is None else await room_summaries.memberships_of(db, by.user_nid, by_nid)
    found = [
        _Known(record, _entries(nid, state), counts.get(nid, 0), memberships.get(nid))
        for nid, record in by_nid.items()
    ]
    if by is None:
        return [each for each in found if is_open(each.entries)]
    gates = {room_id for each in found for room_id in allowed_rooms(each.entries)}
    joined = await room_summaries.joined_among(db, by.user_nid, gates) if gates else frozenset()
    return [
        each for each in found if may_know(each.entries, membership=each.membership, joined=joined)
    ]


async def _record(db: Connection, room: RoomID | RoomAlias) -> RoomRecord | None:
    if room.startswith("!"):
        record = await rooms.by_uuid(db, native_uuid(room))
    else:
        nid = await aliases.room_of(db, RoomAlias(room))
        record = None if nid is None else await rooms.by_nid(db, nid)
    return None if record is None or record.deleted_at is not None else record


async def _add_children(db: Connection, spaces: Sequence[_Known], *, suggested_only: bool) -> None:
    children = await room_summaries.children(db, [each.record.room_nid for each in spaces])
    for space in spaces:
        space.children = children_in_order(
            children.get(space.record.room_nid, ()), suggested_only=suggested_only
        )


def _entries(room_nid: int, state: Mapping[tuple[int, str], StoredEvent]) -> Entries:
    found = ((each, state.get((room_nid, each))) for each in SUMMARY_TYPES)
    return {event_type: stored.event for event_type, stored in found if stored is not None}


def _with_children(known: _Known) -> JsonObject:
    return {
        **known.summary(),
        "children_state": [stripped_child(each) for each in known.children],
    }


def _child_id(child: Event) -> RoomID:
    return RoomID(child.state_key or "")
