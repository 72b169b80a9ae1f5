"""What tests of the room engine share: other servers' rooms, whole states, and whether all is well.

room = await receives(server, RoomFactory.public_chat(V11, members=[BOB]))
assert await state_now(server, room) == ...
await is_sound(server.database)
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from homeserver.auth.verdict import ACCEPTED, Verdict
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID, StateKey
from homeserver.storage import events, room_state, rooms
from homeserver.storage.database import Database
from homeserver.verify import verify
from tests.support.postgres import fresh_database
from tests.support.room_factory import RoomFactory
from tests.support.server import SERVER, Server, running_server


async def is_sound(database: Database) -> None:
    """`foyer admin verify` finds nothing."""
    checks = await verify(database, server_name=SERVER)
    assert {check.name: check.first for check in checks if check.broken} == {}


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[Server]:
    """A running server whose database must be whole when the test is over."""
    async with running_server(database) as server:
        yield server
    await is_sound(database)


@asynccontextmanager
async def new_server(postgres: str) -> AsyncIterator[Server]:
    """A running server on a database of its own, which must be whole at the end. For rooms that
    have the same ID, and for many tries in one test."""
    async with fresh_database(postgres) as dsn, another_process(dsn) as server:
        yield server
        await is_sound(server.database)


@asynccontextmanager
async def another_process(dsn: str) -> AsyncIterator[Server]:
    """A second server on the same database: it shares nothing else with the first, and the two do
    not hear each other's announcements."""
    database = await Database.connect(dsn, max_connections=6)
    try:
        async with running_server(database) as server:
            yield server
    finally:
        await database.close()


async def receives(server: Server, history: RoomFactory, *, kind: str = "group") -> RoomRecord:
    """A room that other servers made: all its events, admitted in order and accepted."""
    room = await server.core.engine.admitter.open_room(history.create, kind=kind)
    assert await admits(server, room, history.events.values()) == [ACCEPTED] * len(history.events)
    return room


async def admits(server: Server, room: RoomRecord, arriving: Iterable[Event]) -> list[Verdict]:
    return [await server.core.engine.admitter.admit(room, event) for event in arriving]


async def stored(server: Server, event_id: EventID) -> StoredEvent:
    async with server.database.connection() as db:
        return (await events.by_ids(db, [event_id]))[event_id]


async def state_now(server: Server, room: RoomRecord) -> dict[StateKey, EventID]:
    async with server.database.snapshot() as db:
        head = await rooms.head(db, room.room_nid)
        assert head is not None
        state = await room_state.state_at(db, room.room_nid, head.state_version)
    return _ids(state)


async def state_before(server: Server, event_id: EventID) -> dict[StateKey, EventID]:
    """As it is read from intervals and forks."""
    facts = (await stored(server, event_id)).facts
    assert facts.state_version is not None
    async with server.database.snapshot() as db:
        state = await room_state.state_at(db, facts.room_nid, facts.state_version, facts.fork_nid)
    return _ids(state)


async def ends(server: Server, room: RoomRecord) -> set[EventID]:
    """The room's forward extremities."""
    async with server.database.connection() as db:
        head = await rooms.head(db, room.room_nid)
    assert head is not None
    return {event_id for _, event_id in head.extremities}


async def memberships(server: Server, room: RoomRecord) -> dict[str, str]:
    """By user ID."""
    rows = await fetch(
        server,
        "SELECT user_id, membership FROM memberships JOIN users USING (user_nid)"
        " WHERE room_nid = $1",
        room.room_nid,
    )
    return {row["user_id"]: row["membership"] for row in rows}


async def history_of(server: Server, room: RoomRecord) -> list[StoredEvent]:
    """The room's accepted events in the order of their positions."""
    rows = await fetch(
        server,
        "SELECT event_nid FROM events WHERE room_nid = $1 AND status = 0 ORDER BY position",
        room.room_nid,
    )
    async with server.database.connection() as db:
        found = await events.by_nids(db, [row["event_nid"] for row in rows])
    return [found[row["event_nid"]] for row in rows]


async def fetch(server: Server, query: str, *arguments: Any) -> Sequence[asyncpg.Record]:
    async with server.database.connection() as db:
        rows: Sequence[asyncpg.Record] = await db.fetch(query, *arguments)
        return rows


def _ids(state: Mapping[StateKey, tuple[int, EventID]]) -> dict[StateKey, EventID]:
    return {key: event_id for key, (_, event_id) in state.items()}
