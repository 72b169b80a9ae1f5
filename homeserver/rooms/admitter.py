"""Admitting events of other servers into rooms.

The caller has checked format, signatures and hash. What is missing is an answer (`Need`): the
caller fetches it, admits that first, and asks again.
Source: server-server API v1.19 "Checks performed on receipt of a PDU", "Rejection", "Soft failure".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg

from homeserver.auth.rules import authorise_by_auth_events
from homeserver.auth.verdict import ACCEPTED, Accepted, Need, Rejected, Rule, SoftFailed, Verdict
from homeserver.errors import InvalidInput, Unavailable
from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, UserID, native_uuid
from homeserver.messages import is_message
from homeserver.rooms import surroundings
from homeserver.rooms.admission import judge
from homeserver.rooms.batch import Prepared
from homeserver.rooms.committer import Committer, Stale
from homeserver.rooms.heads import Heads, read_head
from homeserver.rooms.incoming import Incoming, event_auth
from homeserver.rooms.nids import EventNids
from homeserver.rooms.surroundings import Surroundings
from homeserver.state.errors import MissingEvents
from homeserver.storage import events, rooms
from homeserver.storage.database import Connection, Database
from homeserver.streams.people import People, Person

MAX_ATTEMPTS = 8

_STATUS = {Accepted: Status.ACCEPTED, SoftFailed: Status.SOFT_FAILED, Rejected: Status.REJECTED}


class Admitter:
    """The way of other servers' events into a room."""

    def __init__(
        self,
        *,
        database: Database,
        heads: Heads,
        committer: Committer,
        nids: EventNids,
        people: People,
    ) -> None:
        self._database = database
        self._heads = heads
        self._committer = committer
        self._nids = nids
        self._people = people

    async def open_room(self, create: Event, *, kind: str) -> RoomRecord:
        """A room that another server made; its create event is then admitted like any other.

        A room that is here already stays what it is.
        """
        if create.type != "m.room.create":
            raise InvalidInput("A room begins with its create event.")
        try:
            return await self._open(create, kind)
        except asyncpg.UniqueViolationError:
            async with self._database.connection() as db:
                room = await rooms.by_uuid(db, native_uuid(create.room_id))
            assert room is not None
            return room

    async def admit(
        self, room: RoomRecord, event: Event, *, state_before: Sequence[EventID] | None = None
    ) -> Verdict:
        """Judges an event and stores it with its verdict; an event that is here keeps its own.

        state_before: the state before the event by event IDs, as another server tells it, where
        previous events cannot be had. Need: admit those events first (auth events may come as
        outliers). Raises InvalidInput for an event that is not of this room, and Unavailable.
        """
        _check_room(room, event)
        async with self._heads.turn(room):
            await self._heads.settled(room)
            for _ in range(MAX_ATTEMPTS):
                try:
                    verdict, incoming = await self._judged(room, event, state_before)
                except MissingEvents as missing:
                    return Need(missing.ids)
                if incoming is None or await self._commit(room, incoming):
                    return verdict
        raise Unavailable("The room is too busy; please try again.")

    async def admit_outliers(
        self, room: RoomRecord, outliers: Sequence[Event]
    ) -> dict[EventID, Verdict]:
        """Stores events without a place in the graph, for auth chains; auth events come first.

        Raises InvalidInput for an event that is not of this room, and Unavailable.
        """
        for event in outliers:
            _check_room(room, event)
        senders = await self._people.ensure({event.sender for event in outliers})
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._store_outliers(room, outliers, senders)
            except asyncpg.UniqueViolationError:
                continue  # somebody has just stored one of them
        raise Unavailable("The room is too busy; please try again.")

    async def _open(self, create: Event, kind: str) -> RoomRecord:
        async with self._database.transaction() as db:
            room = RoomRecord(
                room_nid=await rooms.reserve_nid(db),
                room_id=create.room_id,
                uuid=native_uuid(create.room_id),
                version=create.version,
                kind=kind,
                published=False,
                created_at=create.origin_server_ts,
            )
            await rooms.insert(db, room)
        return room

    async def _store_outliers(
        self, room: RoomRecord, outliers: Sequence[Event], senders: Mapping[UserID, Person]
    ) -> dict[EventID, Verdict]:
        numbers = [await self._nids.one() for _ in outliers]
        async with self._database.transaction() as db:
            return {
                event.event_id: await _store_outlier(db, room, event, nid, senders[event.sender])
                for nid, event in zip(numbers, outliers, strict=True)
            }

    async def _judged(
        self, room: RoomRecord, event: Event, told: Sequence[EventID] | None
    ) -> tuple[Verdict, Incoming | None]:
        """The verdict in one snapshot of the database; without Incoming nothing is to be stored."""
        sender = (await self._people.ensure({event.sender}))[event.sender]
        event_nid = await self._nids.one()
        async with self._database.snapshot() as db:
            known = (await events.by_ids(db, [event.event_id])).get(event.event_id)
            if known is not None:
                _check_room(room, known.event)  # room versions 1 and 2: servers choose event IDs
            if known is not None and known.facts.state_version is not None:
                return _verdict_of(known.facts), None
            head = await read_head(db, room)
            around = await surroundings.find(db, room, head, event, told=told, known=known)
            if isinstance(around, Need):
                return around, None
            verdict = await _judge(db, room, event, around)
            if isinstance(verdict, Need):
                return verdict, None
            incoming = _incoming(room, event, verdict, around, event_nid, sender)
            await incoming.follow(db)
            return verdict, incoming

    async def _commit(self, room: RoomRecord, incoming: Incoming) -> bool:
        """False: another process wrote the room, or stored the event, since it was judged."""
        item = incoming.item(await self._people.ensure(incoming.users))
        # Any number of entries may change, so the next writer reads the state afresh.
        self._heads.drop(room.room_nid)
        try:
            await self._committer.add(item)
        except (Stale, asyncpg.UniqueViolationError):
            return False
        return True


async def _store_outlier(
    db: Connection, room: RoomRecord, event: Event, event_nid: int, sender: Person
) -> Verdict:
    known = await events.by_ids(db, [event.event_id])
    if known:
        return _verdict_of(known[event.event_id].facts)
    auth = await surroundings.auth_events(db, event)
    verdict = authorise_by_auth_events(
        event,
        {event_id: stored.event for event_id, stored in auth.items()},
        surroundings.rejected_among(auth),
    )
    if isinstance(verdict, Need):
        return verdict
    rejected = isinstance(verdict, Rejected)
    status = Status.REJECTED_OUTLIER if rejected else Status.OUTLIER
    rule = verdict.rule if isinstance(verdict, Rejected) else None
    facts = _facts(room, event, event_nid, sender, status, rule)
    await events.insert(db, [StoredEvent(event, facts)])
    if event.is_state:
        await events.insert_auth(db, {event_nid: event_auth(event, auth)})
    return verdict


async def _judge(db: Connection, room: RoomRecord, event: Event, around: Surroundings) -> Verdict:
    before, now = await surroundings.deciding_state(db, room, event, around)
    return judge(
        event,
        auth_events={each: stored.event for each, stored in around.auth_events.items()},
        rejected=around.rejected(),
        state_before=before,
        current_state=now if around.is_new else before,
    )


def _incoming(
    room: RoomRecord,
    event: Event,
    verdict: Accepted | SoftFailed | Rejected,
    around: Surroundings,
    event_nid: int,
    sender: Person,
) -> Incoming:
    rule = None if isinstance(verdict, Accepted) else verdict.rule
    if around.known is not None:
        event_nid = around.known.facts.event_nid
    facts = _facts(room, event, event_nid, sender, _STATUS[type(verdict)], rule)
    prepared = Prepared(event, replace(facts, state_version=around.place.version), sender)
    prepared.promoted = around.known is not None
    prepared.backfilled = around.fills_gap and prepared.is_accepted
    return Incoming(room=room, prepared=prepared, around=around)


def _facts(
    room: RoomRecord,
    event: Event,
    event_nid: int,
    sender: Person,
    status: Status,
    rule: Rule | None,
) -> LocalFacts:
    return LocalFacts(
        event_nid=event_nid,
        room_nid=room.room_nid,
        sender_nid=sender.user_nid,
        uuid=native_uuid(event.event_id),
        position=None,
        state_version=None,
        status=status,
        is_message=is_message(event),
        rule=None if rule is None else rule.value,
    )


def _check_room(room: RoomRecord, event: Event) -> None:
    if event.room_id != room.room_id or event.version != room.version:
        raise InvalidInput("The event is not of this room.", field="room_id")


def _verdict_of(facts: LocalFacts) -> Verdict:
    """What an event that is stored was judged to be."""
    if facts.rule is None:
        return ACCEPTED
    rule = Rule(facts.rule)
    return SoftFailed(rule) if facts.status is Status.SOFT_FAILED else Rejected(rule)
