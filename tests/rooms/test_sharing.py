"""Typing and presence of people who are at another process of the server. Design section 8."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from homeserver.requester import Requester
from homeserver.storage.database import Database
from homeserver.streams import peers as peers_module
from homeserver.sync.request import SyncRequest
from homeserver.sync.token import parse_sync_token
from homeserver.syncing import Syncing
from tests.support.server import Server, running_server
from tests.support.syncing import syncing_of


@dataclass
class Wire:
    """Brings what one process shares to the others; `cut`: it is lost."""

    processes: list[Server]
    cut: bool = False

    def connect(self) -> None:
        for process in self.processes:
            process.bus.share = lambda topic, payload, of=process: self._carry(of, topic, payload)
        for process in self.processes:
            process.core.streams.peers.greet()

    def _carry(self, of: Server, topic: str, payload: str) -> None:
        for process in self.processes:
            if process is not of and not self.cut:
                for listener in process.bus.listeners[topic]:
                    listener(payload)

    async def settles(self) -> None:
        """Everything that was said has been heard."""
        for _ in range(3):  # what is said may be answered
            for process in self.processes:
                await process.core.streams.peers.heard_all()


@pytest.fixture
async def wire(database: Database) -> AsyncIterator[Wire]:
    async with running_server(database) as first, running_server(database) as second:
        wire = Wire([first, second])
        wire.connect()
        await wire.settles()
        yield wire


@pytest.fixture
async def talk(wire: Wire):
    alice, bob = await wire.processes[0].people("alice", "bob")
    room = await wire.processes[0].group(alice, bob)
    for process in wire.processes:
        process.core.streams.events.poll()
    return alice, bob, room


async def shares(wire: Wire) -> None:
    for process in wire.processes:
        process.core.streams.presence.tell_own_changes()
    await wire.settles()
    for process in wire.processes:
        process.core.streams.presence.tell_changes()


def status(server: Server, who: Requester) -> str:
    return server.core.streams.presence.status(who.user_nid)


def writing(server: Server, room) -> list[str]:
    return [person.name for person in server.core.streams.typing.writing_in(room.room_nid)]


class TestTyping:
    async def test_who_writes_and_who_stops(self, wire, talk):
        alice, _, room = talk
        first, second = wire.processes
        heard = []
        second.core.streams.typing.subscribe(lambda _, who, on: heard.append((who.name, on)))
        await first.actions.typing.start(alice, room.uuid)
        await wire.settles()
        assert writing(second, room) == ["Alice"]
        await first.actions.typing.stop(alice, room.uuid)
        await wire.settles()
        assert writing(second, room) == []
        assert heard == [("Alice", True), ("Alice", False)]

    async def test_it_is_not_told_back(self, wire, talk):
        alice, _, room = talk
        first, second = wire.processes
        await first.actions.typing.start(alice, room.uuid)
        await wire.settles()
        assert second.core.streams.typing.own() == []

    async def test_who_comes_later_is_told(self, wire, talk):
        alice, _, room = talk
        first, second = wire.processes
        wire.cut = True
        await first.actions.typing.start(alice, room.uuid)
        wire.cut = False
        second.core.streams.peers.greet()
        await wire.settles()
        assert writing(second, room) == ["Alice"]


class TestPresence:
    async def test_statuses_of_both_processes_count(self, wire, talk):
        alice, bob, _ = talk
        first, second = wire.processes
        await first.actions.presence.update(alice, 1, "away")
        await second.actions.presence.update(bob, 1, "online")
        await shares(wire)
        assert [status(each, alice) for each in wire.processes] == ["away"] * 2
        assert [status(each, bob) for each in wire.processes] == ["online"] * 2
        await second.actions.presence.update(alice, 2, "busy")
        await shares(wire)
        assert [status(each, alice) for each in wire.processes] == ["busy"] * 2
        await second.actions.presence.update(alice, 2, "offline")
        await shares(wire)
        assert [status(each, alice) for each in wire.processes] == ["away"] * 2

    async def test_whoever_leaves_is_gone_everywhere(self, wire, talk):
        alice, _, _ = talk
        first, second = wire.processes
        heard = []
        second.core.streams.presence.subscribe(lambda who, how, _: heard.append((who.name, how)))
        await first.actions.presence.update(alice, 1, "online")
        await shares(wire)
        await first.actions.presence.disconnected(alice, 1)
        first.clock.ms += 60_000
        first.core.streams.presence.pass_time()
        await shares(wire)
        assert heard == [("Alice", "online"), ("Alice", "offline")]
        assert second.core.streams.presence.gone() == [alice.user_nid]

    async def test_what_somebody_says_of_himself(self, wire, talk):
        alice, _, _ = talk
        first, second = wire.processes
        for message in ('in a meeting é \x7f "', None):
            await first.actions.presence.say(alice, "online", message)
            await shares(wire)
            assert second.core.streams.presence.state(alice.user_nid).status_msg == message

    async def test_a_process_that_ends_says_so(self, wire, talk):
        alice, _, _ = talk
        first, second = wire.processes
        await first.actions.presence.update(alice, 1, "online")
        await shares(wire)
        first.core.streams.peers.leave()
        await first.actions.presence.update(alice, 1, "busy")
        second.core.streams.peers.greet()
        await shares(wire)
        assert status(second, alice) == "offline"

    async def test_one_that_dies_is_missed(self, wire, talk):
        alice, bob, _ = talk
        first, second = wire.processes
        await first.actions.presence.update(alice, 1, "online")
        await first.actions.presence.update(bob, 1, "online")
        await second.actions.presence.update(bob, 2, "away")
        await shares(wire)
        assert [status(second, each) for each in (alice, bob)] == ["online", "online"]
        second.clock.ms += int(peers_module.GONE_AFTER_S * 1000) + 1
        second.core.streams.peers.pass_time()
        assert [status(second, each) for each in (alice, bob)] == ["offline", "away"]

    async def test_what_was_missed_is_made_good(self, wire, talk):
        alice, bob, _ = talk
        first, second = wire.processes
        await first.actions.presence.update(alice, 1, "online")
        await shares(wire)
        wire.cut = True
        await first.actions.presence.update(alice, 1, "offline")
        await first.actions.presence.update(bob, 2, "busy")
        await shares(wire)
        assert [status(second, each) for each in (alice, bob)] == ["online", "offline"]
        wire.cut = False
        second.core.streams.peers.greet()
        await wire.settles()
        assert [status(second, each) for each in (alice, bob)] == ["offline", "busy"]

    async def test_many_people_take_several_announcements(self, wire):
        first, second = wire.processes
        crowd = await first.people(*(f"user{n}" for n in range(400)))
        announced = []
        second.bus.subscribe("presence", announced.append)
        for number, each in enumerate(crowd):
            await first.actions.presence.update(each, number, "online")
        await shares(wire)
        assert {status(second, each) for each in crowd} == {"online"}
        assert len(announced) > 1
        assert max(len(orjson.dumps(each)) for each in announced) < 7_900
        first.core.streams.peers.greet()
        await wire.settles()
        assert {status(second, each) for each in crowd} == {"online"}

    async def test_who_is_alone_says_nothing(self, database):
        async with running_server(database) as server:
            said = []
            server.bus.share = lambda topic, _: said.append(topic)
            (alice,) = await server.people("alice")
            room = await server.group(alice)
            await server.actions.presence.update(alice, 1, "online")
            server.core.streams.presence.tell_own_changes()
            await server.actions.typing.start(alice, room.uuid)
            assert said == []


class Follower:
    """Bob's client, which comes to one process or the other."""

    def __init__(self, by: Requester) -> None:
        self.by = by
        self.since: str | None = None
        self.typing: dict[str, list[str]] = {}
        self.presence: dict[str, str] = {}

    async def syncs(self, on: Syncing) -> None:
        since = None if self.since is None else parse_sync_token(self.since)
        request = SyncRequest(since=since, timeout_ms=60_000)
        answer = orjson.loads(await on.sync.sync(self.by, request))
        self.since = answer["next_batch"]
        for room_id, part in answer.get("rooms", {}).get("join", {}).items():
            for event in part.get("ephemeral", {}).get("events", ()):
                if event["type"] == "m.typing":
                    self.typing[room_id] = event["content"]["user_ids"]
        for event in answer.get("presence", {}).get("events", ()):
            self.presence[event["sender"]] = event["content"]["presence"]


class TestSyncing:
    """A token of one process is used at the other."""

    async def test_it_works_there(self, wire, talk):
        alice, bob, room = talk
        first, second = wire.processes
        client = Follower(bob)
        async with syncing_of(first) as at_first, syncing_of(second) as at_second:
            await client.syncs(at_second)
            await first.actions.typing.start(alice, room.uuid)
            await first.actions.presence.update(alice, 1, "online")
            await shares(wire)
            while client.presence.get(alice.user_id) != "online":
                await client.syncs(at_second)
            assert client.typing == {room.room_id: [alice.user_id]}
            client.presence.clear()
            client.typing.clear()
            await client.syncs(at_first)
            assert client.presence == {alice.user_id: "online"}
            assert client.typing == {room.room_id: [alice.user_id]}
            await first.actions.typing.stop(alice, room.uuid)
            await first.actions.presence.update(alice, 1, "offline")
            await shares(wire)
            while client.presence[alice.user_id] != "offline" or client.typing[room.room_id]:
                await client.syncs(at_second)
