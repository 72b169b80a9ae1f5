"""Reading what a sync is built of from the database.

One snapshot, and a number of queries that does not depend on how many rooms there are or how large
they are. What is large and changes seldom (bodies of events, numbers of members) is in memory.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import orjson

from homeserver.event_filter import like_pattern
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import account_data, events, receipts, sync_reads
from homeserver.storage.database import Connection, Database
from homeserver.storage.sync_reads import (
    MAX_EXAMINED,
    OwnRoom,
    Positions,
    StateRow,
    TimelineRow,
    Wanted,
    WantedMember,
    WantedState,
)
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream
from homeserver.streams.typing import TypingStream
from homeserver.sync.bodies import Bodies, Body, body_of
from homeserver.sync.filters import SyncFilter
from homeserver.sync.inputs import RoomInput, SyncInputs
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.request import SyncRequest
from homeserver.sync.shown import from_outside, visible_rows
from homeserver.sync.summaries import MAX_HEROES, Summaries
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import (
    Visit,
    by_room,
    chosen_state,
    cut,
    visit_joined,
    visit_left,
    wanted_state,
)
from homeserver.views import history
from homeserver.views.client_events import ClientEvents
from homeserver.views.history import ReadableRoom

MAX_RECEIPTS = 5_000
_MEMBER = "m.room.member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is read beside the database. boot: the process, see `SyncToken`.

    max_presence_members: presence is told through rooms of up to so many members.
    """

    database: Database
    people: People
    bodies: Bodies
    summaries: Summaries
    told: ToldMembers
    client_events: ClientEvents
    typing: TypingStream
    presence: PresenceStream
    max_presence_members: int
    boot: str


@dataclass(frozen=True, slots=True)
class _Who:
    """Whose sync it is, and which senders its filter and he himself leave out, by number."""

    by: Requester
    senders: Sequence[int] | None
    not_senders: Sequence[int]
    ignored: Sequence[int]
    ignored_ids: frozenset[UserID]


class Inputs:
    """What changed for one reader."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def load(self, by: Requester, request: SyncRequest, *, told_presence: int) -> SyncInputs:
        """told_presence: number of the newest change of presence that everybody was told of.

        Raises Unavailable.
        """
        who = await self._who(by, request)
        typing = self._sources.typing.position
        async with self._sources.database.snapshot() as db:
            now = await sync_reads.positions(db)
            since = within(request.since, now)
            token = SyncToken(
                events=now.events,
                receipts=now.receipts,
                account_data=now.account_data,
                to_device=0 if since is None else since.to_device,
                device_lists=0 if since is None else since.device_lists,
                boot=self._sources.boot,
                typing=typing,
                presence=told_presence,
            )
            inputs = SyncInputs(token)
            await _Reading(self._sources, db, who, request, since, inputs).all()
        return inputs

    async def _who(self, by: Requester, request: SyncRequest) -> _Who:
        timeline = request.wanted.timeline
        ignored = await self._sources.client_events.remember_ignored(by)
        wanted = {UserID(each) for each in (*(timeline.senders or ()), *timeline.not_senders)}
        wanted |= ignored
        found = await self._sources.people.by_user_ids(wanted) if wanted else {}

        def nids(user_ids: Iterable[str]) -> list[int]:
            return [found[UserID(each)].user_nid for each in user_ids if UserID(each) in found]

        return _Who(
            by=by,
            senders=None if timeline.senders is None else nids(timeline.senders),
            not_senders=nids(timeline.not_senders),
            ignored=nids(ignored),
            ignored_ids=ignored,
        )


@dataclass(slots=True)
class _Reading:
    """One load: each step adds to `inputs` what it reads."""

    sources: Sources
    db: Connection
    who: _Who
    request: SyncRequest
    since: SyncToken | None
    inputs: SyncInputs

    @property
    def wanted(self) -> SyncFilter:
        return self.request.wanted

    @property
    def after(self) -> int | None:
        return None if self.since is None else self.since.events

    async def all(self) -> None:
        own = await self._own_rooms()
        visits = await self._visits(own)
        await self._timelines(visits)
        await self._state()
        await self._bodies()
        await self._members()
        await self._relations()
        await self._strangers(own)
        await self._account_data()
        await self._ephemeral()
        await self._presence()

    async def _own_rooms(self) -> list[OwnRoom]:
        with_left = self.wanted.include_leave and self.since is None
        own = await sync_reads.own_rooms(
            self.db, self.who.by.user_nid, after=self.after, with_left=with_left
        )
        own = [room for room in own if self.wanted.allows_room(room.room_id)]
        self.inputs.joined = {room.room_nid: room for room in own if room.membership == "join"}
        return own

    async def _visits(self, own: Sequence[OwnRoom]) -> list[Visit]:
        """Of those that the reader knows, only the rooms where something happened."""
        rooms = {each.room_nid: each for each in own if each.membership not in ("invite", "knock")}
        if not rooms:
            return []
        moved = await sync_reads.movements(self.db, dict.fromkeys(rooms, self.after or 0))
        told = [
            nid
            for nid in rooms
            if nid in moved
            and (self.after is None or self.request.full_state or moved[nid].last > self.after)
        ]
        readables = await history.of_all(self.db, self.who.by.user_id, told) if told else {}
        upto = self.inputs.token.events
        return [
            (visit_joined if rooms[nid].membership == "join" else visit_left)(
                rooms[nid], readables[nid], moved[nid], since=self.after, upto=upto
            )
            for nid in told
        ]

    async def _timelines(self, visits: Sequence[Visit]) -> None:
        """The newest events of each room that the reader may see and wants to."""
        timeline = self.wanted.timeline
        shown = [each for each in visits if timeline.allows_room(each.room.room_id)]
        spans = [span for visit in shown for span in visit.spans()]
        limit = self.wanted.timeline_limit
        wanted = Wanted(
            limit=limit + 1,
            types=None if timeline.types is None else [*map(like_pattern, timeline.types)],
            not_types=[*map(like_pattern, timeline.not_types)],
            senders=self.who.senders,
            not_senders=self.who.not_senders,
            ignored=self.who.ignored,
            contains_url=timeline.contains_url,
        )
        rows = {}
        if spans and not timeline.allows_none:
            rows = await sync_reads.timelines(self.db, spans, wanted)
            readables = {visit.room_nid: visit.readable for visit in visits}
            rows = await visible_rows(self.db, self.who.by.user_id, readables, rows)
        crowded = await self._crowded(shown, wanted)
        for visit in visits:
            kept, limited = cut(rows.get(visit.room_nid, ()), limit)
            limited = limited or visit.room_nid in crowded or self._begins_late(visit, kept)
            self.inputs.rooms[visit.room_nid] = RoomInput(visit, kept, limited)

    def _begins_late(self, visit: Visit, kept: Sequence[TimelineRow]) -> bool:
        """A room that is new to a client which knows others has a gap before its timeline."""
        return visit.is_fresh and self.after is not None and bool(kept and kept[0].state_version)

    async def _crowded(self, visits: Sequence[Visit], wanted: Wanted) -> frozenset[int]:
        """Rooms with more events than are looked at when some are left out."""
        if wanted.takes_all or self.after is None or self.wanted.timeline.allows_none:
            return frozenset()
        if self.inputs.token.events - self.after <= MAX_EXAMINED:
            return frozenset()
        return await sync_reads.crowded(
            self.db, [visit.room_nid for visit in visits], self.after, MAX_EXAMINED
        )

    async def _state(self) -> None:
        """State entries by number, without what the filter leaves out by type and room."""
        state = self.wanted.state
        if state.allows_none:
            return
        changes: list[WantedState] = []
        whole: list[WantedState] = []
        for room in self.inputs.rooms.values():
            if not state.allows_room(room.visit.room.room_id):
                continue
            is_whole = room.visit.is_fresh or self.request.full_state
            asked = wanted_state(room.visit, room.kept, whole=is_whole)
            if asked is not None:
                (whole if is_whole else changes).append(asked)
        rows: list[StateRow] = []
        if changes:
            rows += await sync_reads.state_changes(self.db, changes)
        if whole:
            rows += await sync_reads.full_state(self.db, whole, members=not self.wanted.lazy)
        for room_nid, of_room in by_room(rows).items():
            room = self.inputs.rooms[room_nid]
            timeline = [row.event_nid for row in room.kept]
            chosen = chosen_state(of_room, timeline, after=self.request.state_after)
            room.state = [row.event_nid for row in chosen if state.allows_type(row.type)]

    async def _bodies(self) -> None:
        timeline = {row.event_nid for room in self.inputs.rooms.values() for row in room.kept}
        state = {nid for room in self.inputs.rooms.values() for nid in room.state}
        await self._load_bodies(timeline | state, timeline)
        for room in self.inputs.rooms.values():
            changed = [row for row in room.kept if self._is_outdated(row)]
            if changed:
                self.sources.bodies.forget(row.event_nid for row in changed)
                nids = {row.event_nid for row in changed}
                await self._load_bodies(nids, nids)

    def _is_outdated(self, row: TimelineRow) -> bool:
        """Another process redacted it, and this one has not heard of that yet."""
        body = self.inputs.bodies.get(row.event_nid)
        return body is not None and body.redacted_by != row.redacted_by

    async def _load_bodies(self, nids: Collection[int], timeline: Collection[int]) -> None:
        if not nids:
            return
        if self.wanted.federation:
            found = await events.by_nids(self.db, nids)
            self.inputs.bodies |= {
                nid: body_of(stored, federation=True) for nid, stored in found.items()
            }
        else:
            self.inputs.bodies |= await self.sources.bodies.load(self.db, nids, timeline=timeline)

    async def _members(self) -> None:
        """Numbers of members where they changed, and the members that a lazy client needs."""
        changed = {
            nid: room
            for nid, room in self.inputs.rooms.items()
            if not room.visit.is_left and self._tells_size(room)
        }
        if changed:
            upto = self.inputs.token.events
            sizes = await self.sources.summaries.load(self.db, changed, upto)
            for nid, room in changed.items():
                room.size = sizes.get(nid)
        if self.wanted.lazy and not self.wanted.state.allows_none:
            await self._lazy_members()

    def _tells_size(self, room: RoomInput) -> bool:
        visit = room.visit
        return visit.is_fresh or self.request.full_state or visit.known < visit.end

    async def _lazy_members(self) -> None:
        """C-S API v1.19 "Lazy-loading room members": the senders of events; oneself and those who
        name the room where it is new.
        """
        wanted = [each for room in self.inputs.rooms.values() for each in self._needed(room)]
        found = await sync_reads.members_at(self.db, wanted) if wanted else {}
        fresh: set[int] = set()
        for (room_nid, user_id), event_nid in found.items():
            room = self.inputs.rooms[room_nid]
            if event_nid not in room.state and not self._is_redundant(room, user_id, event_nid):
                room.state.append(event_nid)
                fresh.add(event_nid)
        await self._load_bodies(fresh, ())
        self._remember_told()

    def _needed(self, room: RoomInput) -> list[WantedMember]:
        visit = room.visit
        if not self.wanted.state.allows_room(visit.room.room_id):
            return []
        needed = {self.inputs.bodies[row.event_nid].sender for row in room.kept}
        if room.visit.is_fresh or self.request.full_state:
            needed.add(self.who.by.user_id)
        if room.size is not None and not room.size.is_named:
            needed.update(room.size.heroes[: MAX_HEROES + 1])
        version = visit.end if self.request.state_after else min(room.version, visit.end)
        return [WantedMember(visit.room_nid, version, user_id) for user_id in needed]

    def _is_redundant(self, room: RoomInput, user_id: str, event_nid: int) -> bool:
        if self.wanted.redundant_members or self.request.full_state or room.visit.is_fresh:
            return False
        since = self.after or 0
        session_nid = self.who.by.session_nid
        return self.sources.told.knows(
            session_nid, room.visit.room_nid, user_id, event_nid, since=since
        )

    def _remember_told(self) -> None:
        """What this answer tells of members."""
        session_nid, position = self.who.by.session_nid, self.inputs.token.events
        if self.since is None:
            self.sources.told.begin(session_nid, position)
        for room_nid, room in self.inputs.rooms.items():
            for event_nid in (*room.state, *(row.event_nid for row in room.kept)):
                body = self.inputs.bodies.get(event_nid)
                if body is not None and body.membership is not None and body.state_key:
                    self.sources.told.tell(
                        session_nid, room_nid, body.state_key, event_nid, position
                    )

    async def _relations(self) -> None:
        """C-S API v1.19 "Aggregations of child events": in timelines that are limited."""
        limited = [room for room in self.inputs.rooms.values() if room.limited]
        bodies = [
            body
            for room in limited
            for row in room.kept
            if (body := self.inputs.bodies.get(row.event_nid)) is not None
        ]
        self.inputs.relations = await related(
            self.db,
            self.sources.client_events,
            self.who.by,
            bodies,
            {room.visit.room_nid: room.visit.readable for room in limited},
        )

    async def _strangers(self, own: Sequence[OwnRoom]) -> None:
        """Rooms that the reader is invited to or knocked at, as somebody outside knows them."""
        after = self.after
        rooms = [
            each
            for each in own
            if each.membership in ("invite", "knock")
            and (after is None or (each.position is not None and each.position > after))
        ]
        if not rooms:
            return
        self.inputs.strangers = await from_outside(self.db, rooms, self.who.ignored_ids)

    async def _account_data(self) -> None:
        """All of a room that is new to the reader."""
        after = 0 if self.since is None else self.since.account_data
        fresh = {nid for nid, room in self.inputs.rooms.items() if room.visit.is_fresh}
        upto = self.inputs.token.account_data
        rows = await account_data.changed(
            self.db, self.who.by.user_nid, after=0 if fresh else after, upto=upto
        )
        self.inputs.account_data = [
            row for row in rows if row.position > after or row.room_nid in fresh
        ]

    async def _ephemeral(self) -> None:
        """Receipts, and who writes, in rooms that the reader is in."""
        by, since, joined = self.who.by, self.since, self.inputs.joined
        fresh = [
            nid
            for nid, room in self.inputs.rooms.items()
            if room.visit.is_fresh and not room.visit.is_left
        ]
        if self.wanted.ephemeral.allows_none:
            fresh = []
        rows = await receipts.of_rooms(self.db, fresh, by.user_nid) if fresh else []
        if since is not None and since.receipts < self.inputs.token.receipts:
            upto = self.inputs.token.receipts
            new = await receipts.changed(
                self.db, by.user_nid, after=since.receipts, upto=upto, limit=MAX_RECEIPTS
            )
            if len(new) == MAX_RECEIPTS:
                self.inputs.token = replace(self.inputs.token, receipts=new[-1].position)
            rows += [row for row in new if row.room_nid not in fresh]
        for row in rows:
            if row.room_nid in joined:
                self.inputs.receipts.setdefault(row.room_nid, []).append(row)
        self._typing(fresh)

    def _typing(self, fresh: Sequence[int]) -> None:
        typing, joined, since = self.sources.typing, self.inputs.joined, self.since
        changed = None
        if since is not None and since.boot == self.sources.boot:
            changed = typing.changed_since(since.typing)
        rooms = joined.keys() if changed is None else changed & joined.keys()
        for room_nid in {*rooms, *fresh}:
            people = [person.user_id for person in typing.writing_in(room_nid)]
            # Where nobody writes, only who may believe otherwise is told so; after a restart only
            # of rooms of which there is something to tell anyway.
            is_known = changed is not None or room_nid in self.inputs.rooms
            if people or (since is not None and is_known and room_nid not in fresh):
                self.inputs.typing[room_nid] = people

    async def _presence(self) -> None:
        """How those are who share a room with the reader: all who are here, or what changed."""
        sources, by = self.sources, self.who.by
        if self.wanted.presence.allows_none:
            return
        who = self._changed_presence()
        if any(room.visit.is_fresh for room in self.inputs.rooms.values()):
            who |= set(sources.presence.here())
        if not who:
            return
        small = await sync_reads.members_of_small(
            self.db, self.inputs.joined, max_members=sources.max_presence_members
        )
        others = who.intersection(chain.from_iterable(small.values())) - {by.user_nid}
        people = await sync_reads.user_ids(self.db, others) if others else {}
        for user_nid, user_id in people.items():
            if self.wanted.presence.allows("m.presence", user_id, has_url=False):
                self.inputs.presence.append((user_id, sources.presence.state(user_nid)))

    def _changed_presence(self) -> set[int]:
        presence, since = self.sources.presence, self.since
        if since is None:
            return set(presence.here())
        known = since.boot == self.sources.boot
        changed = presence.changed_since(since.presence) if known else None
        return set(presence.here()) if changed is None else set(changed)


def within(since: SyncToken | None, now: Positions) -> SyncToken | None:
    """A position from the future, as after a backup was played back, is the newest there is."""
    if since is None:
        return None
    return replace(
        since,
        events=min(since.events, now.events),
        receipts=min(since.receipts, now.receipts),
        account_data=min(since.account_data, now.account_data),
    )


async def related(
    db: Connection,
    client_events: ClientEvents,
    by: Requester,
    bodies: Iterable[Body],
    readables: Mapping[int, ReadableRoom],
) -> dict[int, bytes]:
    """What `m.relations` is of those events on which something hangs. readables: of their rooms.

    One query where nothing does.
    """
    parents = {body.uuid: body.event_nid for body in bodies if body.state_key is None}
    hung_on = await sync_reads.related(db, parents) if parents else frozenset()
    if not hung_on:
        return {}
    found = await events.by_nids(db, [parents[uuid] for uuid in hung_on])
    rendered = await client_events.render(
        db, by, [*found.values()], with_room_id=False, rooms=readables
    )
    return {
        nid: orjson.dumps(relations)
        for nid, event in zip(found, rendered, strict=True)
        if (relations := event["unsigned"].get("m.relations"))
    }
