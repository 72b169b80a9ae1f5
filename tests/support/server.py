"""A whole server without façades, for tests: streams, room engine, actions and views.

    async with running_server(database) as server:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "hello")
        page = await server.views.timeline.page(bob, room.uuid)

Fixture `server` in tests that ask for it: `from tests.support.server import server`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from homeserver.actions.create_room import NewRoom
from homeserver.actions.transactions import Sent
from homeserver.application_services import ApplicationServices
from homeserver.config import Config, SearchConfig
from homeserver.core import Actions, Core, build_core
from homeserver.delivery.search_index import search_index
from homeserver.events.build import Draft
from homeserver.events.signing import SigningKey
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import ServerName, UserID
from homeserver.metrics import Metrics
from homeserver.requester import Requester
from homeserver.rooms.preparing import Append
from homeserver.storage import users
from homeserver.storage.database import Database
from homeserver.views.live import Live
from homeserver.views.messages import Messages
from homeserver.views.rooms import Rooms
from homeserver.views.search import Search
from homeserver.views.timeline import Timeline
from tests.support.office import LocalBus, ManualClock

SERVER = ServerName("example.org")
FAR_AWAY = 2**53
QUIET = Config(search=SearchConfig(enabled=False))
"""Tests bring the search index up to date themselves: `await server.search_index.catch_up()`."""


@dataclass(frozen=True)
class Views:
    """Every read about rooms."""

    messages: Messages
    timeline: Timeline
    rooms: Rooms
    live: Live
    search: Search


class Server:
    """What `app` wires, with short ways to do what most tests need."""

    def __init__(self, database: Database, *, config: Config | None = None) -> None:
        self.database = database
        self.clock = ManualClock()
        self.bus = LocalBus()
        self.core: Core = build_core(
            config=config or QUIET,
            server_name=SERVER,
            application_services=ApplicationServices(),
            key=SigningKey.from_seed(b"1" * 32, "ed25519:test"),
            database=database,
            bus=self.bus,
            metrics=Metrics(),
            clock=self.clock,
        )
        streams = self.core.streams
        messages = Messages(people=streams.people, erased=streams.erased_users)
        deps: dict[str, Any] = {
            "database": database,
            "rooms": streams.rooms,
            "people": streams.people,
            "messages": messages,
        }
        erased = streams.erased_users
        self.views = Views(
            messages=messages,
            timeline=Timeline(**deps, erased=erased),
            rooms=Rooms(**deps, erased=erased, counts=self.core.notifications.counts),
            search=Search(**deps, erased=erased),
            live=Live(
                **deps,
                counts=self.core.notifications.counts,
                status_of=streams.presence.status,
            ),
        )
        self.search_index = search_index(database=database, tail=streams.events)
        self._sessions = count(1)

    @property
    def position(self) -> int:
        """Of the newest event."""
        return self.core.streams.events.position

    @property
    def actions(self) -> Actions:
        return self.core.actions

    async def people(self, *names: str) -> list[Requester]:
        """People with these localparts, display names to match, and a session each."""
        return [await self.person(name) for name in names]

    async def person(self, name: str) -> Requester:
        async with self.database.transaction() as db:
            user = await users.create(db, UserID(f"@{name}:{SERVER}"), name.capitalize())
        assert user is not None
        session = next(self._sessions)
        return Requester(
            user_nid=user.user_nid,
            user_id=user.user_id,
            user_uuid=user.uuid,
            session_nid=session,
            session_uuid=uuid4(),
            device_id=f"DEVICE{session}",
            is_admin=False,
            expires_at_ms=FAR_AWAY,
        )

    async def group(self, by: Requester, *others: Requester, **more: Any) -> RoomRecord:
        return await self.room("group", by, *others, **more)

    async def direct(self, by: Requester, other: Requester, **more: Any) -> RoomRecord:
        return await self.room("direct", by, other, **more)

    async def channel(self, by: Requester, *others: Requester, **more: Any) -> RoomRecord:
        """A public channel."""
        return await self.room("channel", by, *others, **{"public": True, "name": "News"} | more)

    async def room(self, kind: str, by: Requester, *others: Requester, **more: Any) -> RoomRecord:
        """A room, a millisecond after what was before it: its ID is a hash of its beginning."""
        self.clock.ms += 1
        members = [other.user_uuid for other in others]
        wanted = NewRoom(kind=kind, members=members, **more)
        return (await self.actions.create_room.create(by, wanted))[0]

    async def says(self, by: Requester, room: RoomRecord, text: str, **more: Any) -> Sent:
        """A message, a millisecond after what was before it."""
        self.clock.ms += 1
        sent = await self.actions.send.message(by, room.uuid, text, **more)
        await self.core.notifications.judgements.settled([room.room_nid])
        return sent

    async def reads(self, by: Requester, room: RoomRecord, message: UUID) -> None:
        """Returns when the marker is in the database."""
        await self.actions.receipts.read(by, room.uuid, message)

    async def sends(
        self,
        by: Requester,
        room: RoomRecord,
        event_type: str,
        content: dict[str, Any],
        *,
        state_key: str | None = None,
    ) -> StoredEvent:
        """Any event, as a Matrix client might send it."""
        self.clock.ms += 1
        draft = Draft(
            room_id=room.room_id,
            sender=by.user_id,
            type=event_type,
            state_key=state_key,
            content=content,
        )
        (stored,) = await self.core.engine.writer.append(room, Append(compose=lambda _: (draft,)))
        await self.core.notifications.judgements.settled([room.room_nid])
        return stored


@asynccontextmanager
async def running_server(
    database: Database, *, config: Config | None = None
) -> AsyncIterator[Server]:
    """A server whose background tasks run."""
    made = Server(database, config=config)
    await made.core.start()
    tasks = [asyncio.ensure_future(run()) for run in made.core.background()]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with running_server(database) as running:
        yield running
