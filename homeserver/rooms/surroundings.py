"""What an admitted event is judged by, and where it stands in the room's graph."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.auth.selection import CREATE, needed_types
from homeserver.auth.verdict import Need
from homeserver.events.event import Event
from homeserver.events.stored import REJECTED_STATUSES, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, StateKey
from homeserver.rooms import forks
from homeserver.rooms.forks import Place, State
from homeserver.rooms.head import RoomHead
from homeserver.storage import events, missing_events, room_state
from homeserver.storage.database import Connection

MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Around one event, in one snapshot of the database.

    auth_events: those it names and the room's create event. previous: those that have a place.
    straight: it continues the room as it stands; `before` and `now` are then not loaded, for both
        are the current state. place: the state before it, as the database keeps it.
    missing: previous events that cannot be had. fills_gap: others name it as a previous event.
    known: it is here already, as an outlier.
    """

    head: RoomHead
    auth_events: Mapping[EventID, StoredEvent]
    previous: Mapping[EventID, StoredEvent]
    straight: bool
    before: State
    now: State
    place: Place
    missing: frozenset[EventID]
    fills_gap: bool
    known: StoredEvent | None

    @property
    def is_new(self) -> bool:
        """Whether the room's current state has a say: not about what stands before events that are
        here, and not in a room that has no state yet.
        """
        return not self.fills_gap and bool(self.head.extremities)

    def rejected(self) -> frozenset[EventID]:
        """Which of the auth events were rejected."""
        return rejected_among(self.auth_events)


async def find(
    db: Connection,
    room: RoomRecord,
    head: RoomHead,
    event: Event,
    *,
    told: Sequence[EventID] | None,
    known: StoredEvent | None,
) -> Surroundings | Need:
    """told: the state before the event as another server tells it. Need: what must come first."""
    auth = await auth_events(db, event, head)
    previous = await _previous(db, room, event)
    missing = frozenset(event.prev_events) - previous.keys()
    needed = (missing if told is None else frozenset()) | (set(event.auth_events) - auth.keys())
    if needed:
        return Need(needed)
    ends = {each.event_id for each in head.extremities}
    straight = told is None and set(event.prev_events) == ends
    now: State = {}
    before: State = {}
    place = Place(head.state_version, {})
    if not straight:
        now = await room_state.state_at(db, room.room_nid, head.state_version)
        found = await _state_before(db, room, previous, told)
        if isinstance(found, Need):
            return found
        before = found
        place = await _place(db, room, head, before, now, previous)
    return Surroundings(
        head=head,
        auth_events=auth,
        previous=previous,
        straight=straight,
        before=before,
        now=now,
        place=place,
        missing=missing,
        fills_gap=await missing_events.is_missing(db, room.room_nid, event.event_id),
        known=known,
    )


async def deciding_state(
    db: Connection, room: RoomRecord, event: Event, around: Surroundings
) -> tuple[dict[StateKey, Event], dict[StateKey, Event]]:
    """The entries that auth rules look at: before the event, and now."""
    keys = needed_types(event.type, event.sender, event.state_key, event.content, event.version)
    if around.straight:
        current = await room_state.current_entries(db, room.room_nid, keys)
        entries = {key: stored.event for key, stored in current.items()}
        return entries, entries
    return await forks.loaded(db, around.before, keys), await forks.loaded(db, around.now, keys)


async def auth_events(
    db: Connection, event: Event, head: RoomHead | None = None
) -> dict[EventID, StoredEvent]:
    """The auth events that are here, and the room's create event."""
    wanted = list(event.auth_events)
    create = None if head is None else head.state.get(CREATE)
    if create is not None:
        wanted.append(create.event.event_id)
    elif event.version.room_id_is_create_hash:
        wanted.append(EventID(f"${event.room_id[1:]}"))
    return await events.by_ids(db, wanted)


def rejected_among(stored: Mapping[EventID, StoredEvent]) -> frozenset[EventID]:
    return frozenset(
        event_id for event_id, each in stored.items() if each.facts.status in REJECTED_STATUSES
    )


async def passed_by(db: Connection, previous: Iterable[StoredEvent]) -> set[EventID]:
    """The extremities that an event ends which has these previous events.

    Soft-failed and rejected events never were extremities, so what stands before them counts.
    """
    passed: set[EventID] = set()
    waiting = list(previous)
    for _ in range(MAX_STEPS):
        if not waiting:
            break
        stored = waiting.pop()
        passed.add(stored.event.event_id)
        if stored.facts.status is not Status.ACCEPTED:
            found = await events.by_ids(db, stored.event.prev_events)
            waiting += [each for event_id, each in found.items() if event_id not in passed]
    return passed


async def _previous(db: Connection, room: RoomRecord, event: Event) -> dict[EventID, StoredEvent]:
    """An outlier has no place, so it is as good as missing; so is an event of another room."""
    found = await events.by_ids(db, event.prev_events)
    return {
        event_id: stored
        for event_id, stored in found.items()
        if stored.facts.state_version is not None and stored.facts.room_nid == room.room_nid
    }


async def _state_before(
    db: Connection,
    room: RoomRecord,
    previous: Mapping[EventID, StoredEvent],
    told: Sequence[EventID] | None,
) -> State | Need:
    if told is None:
        states = [await forks.state_after(db, stored) for stored in previous.values()]
        return await forks.resolved(db, room, states)
    found = await events.by_ids(db, told)
    if missing := set(told) - found.keys():
        return Need(frozenset(missing))
    return {
        stored.event.key: (stored.facts.event_nid, event_id)
        for event_id, stored in found.items()
        if stored.event.is_state
        and stored.facts.status not in REJECTED_STATUSES
        and stored.facts.room_nid == room.room_nid
    }


async def _place(
    db: Connection,
    room: RoomRecord,
    head: RoomHead,
    before: State,
    now: State,
    previous: Mapping[EventID, StoredEvent],
) -> Place:
    """The version that differs least, of those that the previous events suggest and the newest."""
    places = [forks.place_of(before, now, head.state_version)]
    for version in {_version_after(stored) for stored in previous.values()}:
        if version < head.state_version:
            base = await room_state.state_at(db, room.room_nid, version)
            places.append(forks.place_of(before, base, version))
    return min(places, key=lambda place: (len(place.differing), -place.version))


def _version_after(stored: StoredEvent) -> int:
    version = stored.facts.state_version
    assert version is not None
    changes = stored.event.is_state and stored.facts.status is Status.ACCEPTED
    return version + 1 if changes else version
