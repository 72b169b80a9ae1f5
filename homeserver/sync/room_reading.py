"""Reading what a sync tells of rooms: events, state, members, numbers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from homeserver.event_filter import like_pattern
from homeserver.storage import events, sync_reads
from homeserver.storage.sync_reads import (
    MAX_EXAMINED,
    OwnRoom,
    StateRow,
    TimelineRow,
    Wanted,
    WantedMember,
    WantedState,
)
from homeserver.sync.bodies import body_of
from homeserver.sync.erasing import redacted_bodies
from homeserver.sync.inputs import RoomInput
from homeserver.sync.reading import Reading, related
from homeserver.sync.shown import visible_rows
from homeserver.sync.summaries import MAX_HEROES
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

_OUTSIDE = frozenset({"invite", "knock"})


@dataclass(slots=True)
class RoomReading(Reading):
    """The rooms that somebody is in, or was."""

    async def read(self) -> list[OwnRoom]:
        """Returns all rooms that he has to do with."""
        own = await self._own_rooms()
        await self._timelines(await self._visits(own))
        await self._state()
        await self._bodies()
        await self._members()
        await self._erasures()
        await self._relations()
        return own

    async def _own_rooms(self) -> list[OwnRoom]:
        with_left = self.wanted.include_leave and self.since is None
        own = await sync_reads.own_rooms(
            self.db, self.who.by.user_nid, after=self.after, with_left=with_left
        )
        self.inputs.own = {room.room_nid: room for room in own}
        own = [room for room in own if self.wanted.allows_room(room.room_id)]
        self.inputs.joined = {room.room_nid: room for room in own if room.membership == "join"}
        return own

    async def _visits(self, own: Sequence[OwnRoom]) -> list[Visit]:
        """Of those that the reader knows, only the rooms where something happened."""
        everywhere = self.inputs.own.values()
        inside = [each.room_nid for each in everywhere if each.membership not in _OUTSIDE]
        if inside:
            after = dict.fromkeys(inside, self.after or 0)
            self.inputs.moved = await sync_reads.movements(self.db, after)
        moved = self.inputs.moved
        rooms = {each.room_nid: each for each in own if each.membership not in _OUTSIDE}
        told = [
            nid
            for nid in rooms
            if nid in moved
            and (self.after is None or self.request.full_state or moved[nid].last > self.after)
        ]
        readables = await history.of_all(self.db, self.who.by.user_id, told) if told else {}
        upto = self.inputs.token.events
        visits = [
            (visit_joined if rooms[nid].membership == "join" else visit_left)(
                rooms[nid], readables[nid], moved[nid], since=self.after, upto=upto
            )
            for nid in told
        ]
        return [visit for visit in visits if not self._is_told_already(visit)]

    def _is_told_already(self, visit: Visit) -> bool:
        """Whether nothing happened but to others, after the reader had left and was told so."""
        position = visit.room.position
        is_old = self.after is not None and position is not None and position <= self.after
        return visit.only_own and is_old

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

    async def _erasures(self) -> None:
        self.inputs.bodies |= await redacted_bodies(
            self.db,
            self.sources.client_events.erased,
            self.inputs.bodies,
            ((room.visit.readable, room.kept, room.state) for room in self.inputs.rooms.values()),
            federation=self.wanted.federation,
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
