"""Admitting events of other servers into rooms.

The caller has checked format, signatures and hash. What is missing is an answer (`Need`): the
caller fetches it, admits that first, and asks again.
Source: server-server API v1.19 "Checks performed on receipt of a PDU", "Rejection", "Soft failure".
"""

from collections.abc import Sequence

from homeserver.auth.rules import authorise_by_auth_events
from homeserver.auth.verdict import ACCEPTED, Accepted, Need, Rejected, Rule, SoftFailed, Verdict
from homeserver.errors import InvalidInput, Unavailable
from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, UserID, native_uuid
from homeserver.messages import is_message
from homeserver.rooms import surroundings
from homeserver.rooms.admission import judge
from homeserver.rooms.batch import MEMBER_TYPE, Prepared
from homeserver.rooms.committer import Committer, Stale
from homeserver.rooms.heads import CachedHead, Heads
from homeserver.rooms.incoming import Incoming, event_auth
from homeserver.rooms.nids import EventNids
from homeserver.rooms.surroundings import Surroundings
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
        """A room that another server made; its create event is then admitted like any other."""
        if create.type != "m.room.create":
            raise InvalidInput("A room begins with its create event.")
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

    async def admit(
        self, room: RoomRecord, event: Event, *, state_before: Sequence[EventID] | None = None
    ) -> Verdict:
        """Judges an event and stores it with its verdict; an event that is here keeps its own.

        state_before: the state before the event by event IDs, as another server tells it, where
        previous events cannot be had. Need: admit those events first (auth events may come as
        outliers). Raises Unavailable.
        """
        for _ in range(MAX_ATTEMPTS):
            cached = await self._heads.load(room)
            await self._people.ensure(_users(event))
            await self._nids.reserve(1)
            async with self._database.snapshot() as db:
                verdict, incoming = await self._judge(db, room, cached, event, state_before)
            if incoming is None or await self._commit(room, cached, incoming):
                return verdict
        raise Unavailable("The room is too busy; please try again.")

    async def admit_outliers(
        self, room: RoomRecord, outliers: Sequence[Event]
    ) -> dict[EventID, Verdict]:
        """Stores events without a place in the graph, for auth chains; auth events come first."""
        await self._people.ensure({user for event in outliers for user in _users(event)})
        await self._nids.reserve(len(outliers))
        async with self._database.transaction() as db:
            return {
                event.event_id: await self._admit_outlier(db, room, event) for event in outliers
            }

    async def _admit_outlier(self, db: Connection, room: RoomRecord, event: Event) -> Verdict:
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
        facts = self._facts(room, event, status, rule, state_version=None, known=None)
        await events.insert(db, [StoredEvent(event, facts)])
        if event.is_state:
            await events.insert_auth(db, {facts.event_nid: event_auth(event, auth)})
        return verdict

    async def _judge(
        self,
        db: Connection,
        room: RoomRecord,
        cached: CachedHead,
        event: Event,
        told: Sequence[EventID] | None,
    ) -> tuple[Verdict, Incoming | None]:
        known = (await events.by_ids(db, [event.event_id])).get(event.event_id)
        if known is not None and known.facts.state_version is not None:
            return _verdict_of(known.facts), None
        around = await surroundings.find(db, room, cached.head, event, told=told, known=known)
        if isinstance(around, Need):
            return around, None
        before, now = await surroundings.deciding_state(db, room, event, around)
        verdict = judge(
            event,
            auth_events={each: stored.event for each, stored in around.auth_events.items()},
            rejected=around.rejected(),
            state_before=before,
            current_state=now,
        )
        if isinstance(verdict, Need):
            return verdict, None
        incoming = self._incoming(room, event, verdict, around)
        await self._people.ensure(await incoming.follow(db))
        return verdict, incoming

    def _incoming(
        self,
        room: RoomRecord,
        event: Event,
        verdict: Accepted | SoftFailed | Rejected,
        around: Surroundings,
    ) -> Incoming:
        facts = self._facts(
            room,
            event,
            _STATUS[type(verdict)],
            None if isinstance(verdict, Accepted) else verdict.rule,
            state_version=around.place.version,
            known=around.known,
        )
        prepared = Prepared(event, facts, self._person(event.sender))
        prepared.promoted = around.known is not None
        prepared.backfilled = around.fills_gap and facts.status is Status.ACCEPTED
        return Incoming(room=room, prepared=prepared, around=around)

    async def _commit(self, room: RoomRecord, cached: CachedHead, incoming: Incoming) -> bool:
        """False: the room moved on since the event was judged."""
        if cached.dropped or cached.head is not incoming.around.head:
            return False
        item = incoming.item(self._person)
        cached.head = item.head
        cached.pending += 1
        try:
            await self._committer.add(item)
        except Stale:
            return False
        finally:
            self._heads.finished(room, cached)
            # Any number of entries may have changed, so the next writer reads the state afresh.
            self._heads.drop(room.room_nid)
        return True

    def _facts(
        self,
        room: RoomRecord,
        event: Event,
        status: Status,
        rule: Rule | None,
        *,
        state_version: int | None,
        known: StoredEvent | None,
    ) -> LocalFacts:
        return LocalFacts(
            event_nid=self._nids.take() if known is None else known.facts.event_nid,
            room_nid=room.room_nid,
            sender_nid=self._person(event.sender).user_nid,
            uuid=native_uuid(event.event_id),
            position=None,
            state_version=state_version,
            status=status,
            is_message=is_message(event),
            rule=None if rule is None else rule.value,
        )

    def _person(self, user_id: UserID) -> Person:
        person = self._people.peek_user_id(user_id)
        assert person is not None
        return person


def _users(event: Event) -> set[UserID]:
    users = {event.sender}
    if event.type == MEMBER_TYPE and event.state_key is not None:
        users.add(UserID(event.state_key))
    return users


def _verdict_of(facts: LocalFacts) -> Verdict:
    """What an event that is stored was judged to be."""
    if facts.rule is None:
        return ACCEPTED
    rule = Rule(facts.rule)
    return SoftFailed(rule) if facts.status is Status.SOFT_FAILED else Rejected(rule)
