"""Folding the answers to incremental syncs gives the same as a first sync at the end."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import uuid4

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.errors import FoyerError
from homeserver.events.room_version import V11
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.streams.receipts import Mark
from homeserver.sync.filters import parse_filter
from homeserver.sync.request import SyncRequest
from homeserver.sync.token import parse_sync_token
from homeserver.syncing import Syncing
from tests.rooms.test_state_intervals import History
from tests.support.engine import another_process, memberships, new_server, receives
from tests.support.postgres import fresh_database
from tests.support.room_factory import ALICE, BOB, CHARLIE, RoomFactory
from tests.support.server import FAR_AWAY, Server
from tests.support.sync_client import ClientView
from tests.support.syncing import syncing_of

NAMES = ("alice", "bob", "charlie")
PLAIN = parse_filter({"presence": {"types": []}})
SHORT = parse_filter({"presence": {"types": []}, "room": {"timeline": {"limit": 2}}})

ACTS = (
    "say", "say", "say", "name", "topic", "join", "leave", "invite", "kick", "ban", "unban",
    "rename", "visibility", "redact", "read", "tag", "note", "type", "react", "sync", "sync",
)  # fmt: skip
person = st.integers(0, 2)
step = st.tuples(st.sampled_from(ACTS), person, person, st.integers(0, 1), st.integers(0, 9))


@dataclass
class Client:
    """Somebody's device. by: whom it asks as; on: which process of the server."""

    by: Requester
    on: Syncing
    view: ClientView
    wanted: Any
    state_after: bool

    async def syncs(self) -> None:
        since = None if self.view.since is None else parse_sync_token(self.view.since)
        request = SyncRequest(since=since, wanted=self.wanted, state_after=self.state_after)
        self.view.take(orjson.loads(await self.on.sync.sync(self.by, request)))


class Play:
    """People who do things at random in two rooms, and their clients."""

    def __init__(self, server: Server, people: list[Requester], rooms: list[RoomRecord]) -> None:
        self.server = server
        self.people = people
        self.rooms = rooms
        self.said: list[tuple[RoomRecord, Any]] = []
        self.clients: list[Client] = []
        self._numbers = count()

    async def performs(self, act: str, who: int, whom: int, where: int, number: int) -> None:
        by, other, room = self.people[who], self.people[whom], self.rooms[where]
        if act == "sync":
            await asyncio.gather(
                *(each.syncs() for each in self.clients if each.by is by and number % 3)
            )
            return
        # What may not be done is not done.
        with suppress(FoyerError):
            await getattr(self, f"_{act}")(by, other, room, number)

    async def _member(
        self, by: Requester, whom: Requester, room: RoomRecord, membership: str
    ) -> None:
        content = {"membership": membership, "displayname": f"name {next(self._numbers)}"}
        await self.server.sends(by, room, "m.room.member", content, state_key=whom.user_id)

    async def _say(self, by, other, room, number) -> None:
        content = {"msgtype": "m.text", "body": f"{next(self._numbers)}"}
        self.said.append((room, await self.server.sends(by, room, "m.room.message", content)))

    async def _name(self, by, other, room, number) -> None:
        name = {"name": f"room {next(self._numbers)}" if number else ""}
        await self.server.sends(by, room, "m.room.name", name, state_key="")

    async def _topic(self, by, other, room, number) -> None:
        content = {"topic": f"topic {next(self._numbers)}"}
        await self.server.sends(by, room, "m.room.topic", content, state_key="")

    async def _join(self, by, other, room, number) -> None:
        await self._member(by, by, room, "join")

    _rename = _join

    async def _leave(self, by, other, room, number) -> None:
        if by is not self.people[0]:
            await self._member(by, by, room, "leave")

    async def _invite(self, by, other, room, number) -> None:
        await self._member(by, other, room, "invite")

    async def _kick(self, by, other, room, number) -> None:
        await self._member(by, other, room, "leave")

    _unban = _kick

    async def _ban(self, by, other, room, number) -> None:
        await self._member(by, other, room, "ban")

    async def _visibility(self, by, other, room, number) -> None:
        values = ("shared", "joined", "invited", "world_readable", "shared")
        content = {"history_visibility": values[number // 2]}
        await self.server.sends(by, room, "m.room.history_visibility", content, state_key="")

    async def _redact(self, by, other, room, number) -> None:
        said = [stored for where, stored in self.said if where is room]
        if said:
            target = said[number % len(said)].event.event_id
            await self.server.sends(by, room, "m.room.redaction", {"redacts": target})

    async def _react(self, by, other, room, number) -> None:
        said = [stored for where, stored in self.said if where is room]
        if said:
            relation = {"rel_type": "m.annotation", "event_id": said[-1].event.event_id}
            await self.server.sends(
                by, room, "m.reaction", {"m.relates_to": {**relation, "key": str(number)}}
            )

    async def _read(self, by, other, room, number) -> None:
        said = [stored for where, stored in self.said if where is room]
        person = await self.server.core.streams.people.get(by.user_nid)
        if said and person is not None:
            stored = said[-1 - number % min(2, len(said))]
            mark = Mark(
                room.room_nid,
                room.uuid,
                stored.facts.event_nid,
                stored.facts.position,
                stored.facts.uuid,
                stored.event.event_id,
            )
            await self.server.core.streams.receipt_writer.read(
                person, mark, self.server.clock.ms, kind=("read", "private")[number % 2]
            )

    async def _tag(self, by, other, room, number) -> None:
        content = orjson.dumps({"tags": {f"u.{next(self._numbers)}": {}}})
        writer = self.server.core.streams.account_data_writer
        await writer.put(by.user_nid, room.room_nid, "m.tag", content)

    async def _note(self, by, other, room, number) -> None:
        content = orjson.dumps({"n": next(self._numbers)})
        await self.server.core.streams.account_data_writer.put(by.user_nid, 0, "a.note", content)

    async def _type(self, by, other, room, number) -> None:
        person = await self.server.core.streams.people.get(by.user_nid)
        assert person is not None
        if number % 2:
            self.server.core.streams.typing.start(room, person)
        else:
            self.server.core.streams.typing.stop(room.room_nid, by.user_nid)


async def play_of(server: Server, first: Syncing, second: Syncing) -> Play:
    people = await server.people(*NAMES)
    rooms = [await server.channel(people[0], people[1]), await server.group(people[0])]
    play = Play(server, people, rooms)
    for by in people:
        for on, wanted, state_after in (
            (first, PLAIN, False),
            (first, SHORT, False),
            (second, SHORT, True),
        ):
            play.clients.append(Client(by, on, ClientView(by.user_id), wanted, state_after))
    return play


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=5, max_size=60), cold=st.booleans())
async def test_folding_syncs_gives_the_same_as_a_first_sync(postgres, steps, cold):
    """cold: tokens of another process are answered from the database."""
    async with (
        fresh_database(postgres) as dsn,
        another_process(dsn) as server,
        syncing_of(server) as first,
        syncing_of(server) as second,
    ):
        play = await play_of(server, first, second)
        for client in play.clients:
            await client.syncs()
        for each in steps:
            for client in play.clients if cold else ():
                client.on = second if client.on is first else first
            await play.performs(*each)
        for client in play.clients:
            await client.syncs()
            fresh = replace(client, view=ClientView(client.by.user_id))
            await fresh.syncs()
            client.view.holds_against(fresh.view)


async def somebody(server: Server, user_id: str, session: int) -> Requester:
    person = await server.core.streams.people.by_user_id(UserID(user_id))
    assert person is not None
    return Requester(
        user_nid=person.user_nid,
        user_id=person.user_id,
        user_uuid=person.uuid,
        session_nid=session,
        session_uuid=uuid4(),
        device_id=f"DEVICE{session}",
        is_admin=False,
        expires_at_ms=FAR_AWAY,
    )


@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
async def test_rooms_whose_history_forks(postgres, data):
    """State is settled between branches; `state_after` tells how."""
    history = History(V11, data.draw)
    async with new_server(postgres) as server, syncing_of(server) as syncing:
        room = await receives(server, history.start)
        readers = [await somebody(server, each, n) for n, each in enumerate((ALICE, BOB, CHARLIE))]
        clients = [
            Client(by, syncing, ClientView(by.user_id), SHORT, state_after=True) for by in readers
        ]
        for client in clients:
            await client.syncs()
        for _ in range(data.draw(st.integers(3, 18))):
            history.grow()
        while (event := history.next()) is not None:
            await server.core.engine.admitter.admit(room, event)
            if data.draw(st.booleans()):
                await data.draw(st.sampled_from(clients)).syncs()
        for client in clients:
            await client.syncs()
            fresh = replace(client, view=ClientView(client.by.user_id))
            await fresh.syncs()
            assert client.view.joined.keys() == fresh.view.joined.keys()
            for room_id, known in client.view.joined.items():
                # What is no more cannot be told.
                assert known.state | fresh.view.joined[room_id].state == known.state


async def test_a_leave_that_holds_again_is_told(postgres):
    """Bob left and came back; on another branch nobody may join any more, and that one wins."""
    start = RoomFactory.public_chat(V11, members=[BOB, CHARLIE])
    async with new_server(postgres) as server, syncing_of(server) as syncing:
        room = await receives(server, start)
        admitter = server.core.engine.admitter
        bob = Client(
            await somebody(server, BOB, 1), syncing, ClientView(BOB), SHORT, state_after=True
        )
        main = start.fork()
        await admitter.admit(room, main.leave(BOB))
        other = main.fork()
        await admitter.admit(room, main.join(BOB))
        await bob.syncs()
        assert room.room_id in bob.view.joined
        await admitter.admit(room, other.join_rule(ALICE, "invite"))
        assert (await memberships(server, room))[BOB] == "leave"
        await bob.syncs()
        assert room.room_id not in bob.view.joined
        assert room.room_id in bob.view.left
        bob.view.left.clear()
        await admitter.admit(room, other.message(ALICE, "he is gone"))
        await bob.syncs()
        assert bob.view.left == {}


async def test_who_left_and_came_back_is_told_of_the_room_anew(database_dsn):
    """A client may have been told that he left, and then has nothing of the room any more."""
    async with another_process(database_dsn) as server, syncing_of(server) as syncing:
        play = await play_of(server, syncing, syncing)
        bob = play.people[1]
        client = Client(bob, syncing, ClientView(bob.user_id), SHORT, state_after=False)
        await client.syncs()
        await play.performs("leave", 1, 1, 0, 0)
        await play.performs("topic", 0, 0, 0, 0)
        await play.performs("join", 1, 1, 0, 0)
        client.view.joined.clear()
        await client.syncs()
        fresh = replace(client, view=ClientView(bob.user_id))
        await fresh.syncs()
        client.view.holds_against(fresh.view)
