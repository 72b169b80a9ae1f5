"""An event of another server on its way into a room: what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from homeserver.events.content import PowerLevels, membership_of
from homeserver.events.event import Event
from homeserver.events.redaction import redact_event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID, StateKey, UserID, server_of
from homeserver.messages import REDACTION_TYPE
from homeserver.rooms import forks, surroundings
from homeserver.rooms.batch import (
    MEMBER_TYPE,
    Consequences,
    Item,
    Prepared,
    relation_rows,
    waiting_redaction,
)
from homeserver.rooms.forks import State
from homeserver.rooms.head import RoomHead, extremity_of
from homeserver.rooms.preparing import redaction_of
from homeserver.rooms.surroundings import Surroundings
from homeserver.storage import events, missing_events, relations, room_state
from homeserver.storage.database import Connection
from homeserver.storage.room_state import MembershipChange, StateChange
from homeserver.streams.people import Person

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")


@dataclass(slots=True, kw_only=True)
class Incoming:
    """A judged event. `follow` reads what its acceptance changes; `item` is for the committer."""

    room: RoomRecord
    prepared: Prepared
    around: Surroundings
    rows: Consequences = field(default_factory=Consequences)
    head: RoomHead | None = None
    members: dict[UserID, tuple[str, int | None]] = field(default_factory=dict)

    @property
    def users(self) -> set[UserID]:
        """Whose membership changes: they must have numbers before `item`."""
        return set(self.members)

    async def follow(self, db: Connection) -> None:
        """Works out the consequences."""
        event, facts = self.prepared.event, self.prepared.facts
        if event.is_state and self.around.known is None:
            self.rows.auth[facts.event_nid] = event_auth(event, self.around.auth_events)
        if self.prepared.is_accepted:
            await self._accept(db)

    def item(self, people: Mapping[UserID, Person]) -> Item:
        """The event and its consequences in one transaction."""
        before = self.around.head
        head = self.head or replace(before, version=before.version + 1)
        self.rows.memberships = [
            MembershipChange(self.room.room_nid, people[user_id].user_nid, membership, nid)
            for user_id, (membership, nid) in self.members.items()
        ]
        return Item(
            self.room, before.version, head, [self.prepared], self.rows, also=self._write_place
        )

    async def _write_place(self, db: Connection) -> None:
        around, event = self.around, self.prepared.event
        if around.place.differing:
            fork_nid = await room_state.insert_fork(
                db, self.room.room_nid, around.place.version, around.place.differing
            )
            self.prepared.facts = replace(self.prepared.facts, fork_nid=fork_nid)
        if around.missing:
            await missing_events.insert(db, self.room.room_nid, around.missing)
        if around.fills_gap:
            await missing_events.delete(db, self.room.room_nid, event.event_id)

    async def _accept(self, db: Connection) -> None:
        event = self.prepared.event
        if not event.is_state:
            self.rows.relations += relation_rows(event, self.prepared.facts)
        await self._redact_target(db)
        await self._redact_itself(db)
        if not self.prepared.backfilled:
            await self._advance(db)

    async def _advance(self, db: Connection) -> None:
        """Moves the end of the graph, and the current state with it."""
        event, head, facts = self.prepared.event, self.around.head, self.prepared.facts
        passed = await surroundings.passed_by(db, self.around.previous.values())
        left = tuple(each for each in head.extremities if each.event_id not in passed)
        changes = await self._changes(db, [each.event_nid for each in left])
        version = head.state_version + bool(changes)
        extremities = (*left, extremity_of(event, facts.event_nid))
        depth = max(head.depth, event.depth)
        self.head = RoomHead(head.version + 1, version, depth, extremities, {})
        self.rows.state += [
            StateChange(self.room.room_nid, *key, number, version)
            for key, number in changes.items()
        ]
        await self._note_members(db, changes)

    async def _changes(
        self, db: Connection, other_ends: list[int]
    ) -> Mapping[StateKey, int | None]:
        """Entries of the current state that change, with the new event number (None: gone)."""
        event, facts, around = self.prepared.event, self.prepared.facts, self.around
        if around.straight:
            return {event.key: facts.event_nid} if event.is_state else {}
        after: State = dict(around.before)
        if event.is_state:
            after[event.key] = (facts.event_nid, event.event_id)
        ends = (await events.by_nids(db, other_ends)).values()
        states = [*[await forks.state_after(db, end) for end in ends], after]
        unstored = StoredEvent(event, facts)
        now = await forks.resolved(db, self.room, states, unstored=unstored)
        return forks.place_of(now, around.now, around.head.state_version).differing

    async def _note_members(self, db: Connection, changes: Mapping[StateKey, int | None]) -> None:
        event, facts = self.prepared.event, self.prepared.facts
        numbers = {key[1]: nid for key, nid in changes.items() if key[0] == MEMBER_TYPE}
        stored = await events.by_nids(db, [nid for nid in numbers.values() if nid is not None])
        for user_id, nid in numbers.items():
            member = event if nid == facts.event_nid else None
            if member is None and nid is not None:
                member = stored[nid].event
            self.members[UserID(user_id)] = (membership_of(member), nid)
        if event.type == MEMBER_TYPE and event.is_state:
            current = await room_state.current_entries(db, self.room.room_nid, [event.key])
            former = current.get(event.key)
            self.prepared.prev_membership = membership_of(former.event if former else None)

    async def _redact_target(self, db: Connection) -> None:
        event, facts = self.prepared.event, self.prepared.facts
        if event.type != REDACTION_TYPE or event.redacts is None:
            return
        target = (await events.by_ids(db, [event.redacts])).get(event.redacts)
        if target is None:
            row = waiting_redaction(event, facts)
            self.rows.relations += [] if row is None else [row]
        elif await self._may_redact(db, event, target.event):
            self.rows.redactions.append(redaction_of(target, facts.event_nid))
            self.rows.withdrawn_relations.append(target.facts.event_nid)

    async def _redact_itself(self, db: Connection) -> None:
        """Redactions may come before the event that they redact."""
        event = self.prepared.event
        nids = await relations.waiting_redaction_nids(db, self.prepared.facts.uuid)
        for redaction in (await events.by_nids(db, nids)).values():
            if await self._may_redact(db, redaction.event, event):
                by = redaction.facts.event_nid
                self.prepared.event = redact_event(event)
                self.prepared.facts = replace(self.prepared.facts, redacted_by=by)
                self.rows.relations.clear()
                return

    async def _may_redact(self, db: Connection, redaction: Event, target: Event) -> bool:
        """Room v3 "Handling redactions": the level `redact`, or both senders of one server."""
        if redaction.room_id != target.room_id:
            return False
        if server_of(redaction.sender) == server_of(target.sender):
            return True
        current = await room_state.current_entries(db, self.room.room_nid, (CREATE, POWER_LEVELS))
        create, levels = current.get(CREATE), current.get(POWER_LEVELS)
        if create is None:
            return False
        read = PowerLevels.of(levels.event if levels else None, create.event)
        return read.user(redaction.sender) >= read.redact


def event_auth(event: Event, auth: Mapping[EventID, StoredEvent]) -> list[int]:
    """The numbers of the events that an event names as its auth events, as far as they are here:
    one that is rejected for one of them is judged without the others.
    """
    return [auth[each].facts.event_nid for each in event.auth_events if each in auth]
