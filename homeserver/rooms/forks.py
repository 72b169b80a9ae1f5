"""The state of a room where its graph forks: before an event, and now.

States are maps from state keys to (event number, event ID). Loading one reads the whole state, so
this is only done where the graph does fork; a straight line never comes here.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.events.event import Event
from homeserver.events.stored import REJECTED_STATUSES, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, StateKey
from homeserver.state.errors import MissingEvents
from homeserver.state.resolve import resolve
from homeserver.storage import events, room_state
from homeserver.storage.database import Connection

Numbered = tuple[int, EventID]
State = dict[StateKey, Numbered]

_CHANGES_STATE = frozenset({Status.ACCEPTED, Status.SOFT_FAILED})


@dataclass(frozen=True, slots=True)
class Place:
    """State as the database keeps it: a version of the current state, and what differs from it."""

    version: int
    differing: Mapping[StateKey, int | None]


async def state_after(db: Connection, stored: StoredEvent) -> State:
    """The state after an event that has its place in the graph."""
    facts = stored.facts
    assert facts.state_version is not None
    state = await room_state.state_at(db, facts.room_nid, facts.state_version, facts.fork_nid)
    if stored.event.is_state and facts.status in _CHANGES_STATE:
        state[stored.event.key] = (facts.event_nid, stored.event.event_id)
    return state


async def resolved(
    db: Connection,
    room: RoomRecord,
    states: Sequence[State],
    *,
    unstored: StoredEvent | None = None,
) -> State:
    """One state out of those of several branches, by the room version's algorithm.

    unstored: an event of the states that is not in the database yet; its auth events are.
    """
    if all(state == states[0] for state in states):
        return states[0] if states else {}
    numbers = {event_id: nid for state in states for nid, event_id in state.values()}
    disputed = _disputed(states)
    known = {each.event.event_id: each for each in await events.auth_chain(db, disputed)}
    if unstored is not None:
        known |= await _with_chain(db, unstored)
    create = states[0].get(("m.room.create", ""))
    if create is not None:
        known |= await events.by_ids(db, [create[1]])
    result = await _resolve(db, room, states, known)
    return {key: (_number(event_id, numbers, known), event_id) for key, event_id in result.items()}


def place_of(state: State, base: State, version: int) -> Place:
    """A state as what differs from the state at a version."""
    differing: dict[StateKey, int | None] = {
        key: numbered[0] for key, numbered in state.items() if base.get(key) != numbered
    }
    differing |= dict.fromkeys(base.keys() - state.keys())
    return Place(version, differing)


async def loaded(
    db: Connection, state: Mapping[StateKey, Numbered], keys: Iterable[StateKey]
) -> dict[StateKey, Event]:
    """The events of some entries of a state."""
    wanted = {key: state[key][0] for key in keys if key in state}
    found = await events.by_nids(db, wanted.values())
    return {key: found[nid].event for key, nid in wanted.items()}


async def _resolve(
    db: Connection,
    room: RoomRecord,
    states: Sequence[State],
    known: dict[EventID, StoredEvent],
) -> dict[StateKey, EventID]:
    """Resolution asks for what it lacks; that is loaded with its auth chain until it has all."""
    maps = [{key: numbered[1] for key, numbered in state.items()} for state in states]
    while True:
        loaded_events = {event_id: stored.event for event_id, stored in known.items()}
        rejected = {
            event_id
            for event_id, stored in known.items()
            if stored.facts.status in REJECTED_STATUSES
        }
        try:
            # Forks of big rooms take long, and the event loop never blocks (design section 8).
            return await asyncio.to_thread(resolve, room.version, maps, loaded_events, rejected)
        except MissingEvents as missing:
            found = await events.by_ids(db, missing.ids)
            if found.keys() != missing.ids:
                raise
            nids = [stored.facts.event_nid for stored in found.values()]
            chain = await events.auth_chain(db, nids)
            known |= {each.event.event_id: each for each in chain}


async def _with_chain(db: Connection, unstored: StoredEvent) -> dict[EventID, StoredEvent]:
    auth = await events.by_ids(db, unstored.event.auth_events)
    chain = await events.auth_chain(db, [stored.facts.event_nid for stored in auth.values()])
    return {each.event.event_id: each for each in (*chain, unstored)}


def _disputed(states: Sequence[State]) -> set[int]:
    """Event numbers of entries that are not the same everywhere."""
    keys = {key for state in states for key in state}
    return {
        state[key][0]
        for key in keys
        if len({state.get(key) for state in states}) > 1
        for state in states
        if key in state
    }


def _number(
    event_id: EventID, numbers: Mapping[EventID, int], known: Mapping[EventID, StoredEvent]
) -> int:
    number = numbers.get(event_id)
    return known[event_id].facts.event_nid if number is None else number
