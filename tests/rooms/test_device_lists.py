"""Whose devices a client is told to look at again.

Source: C-S API v1.19 "Tracking the device list for a user", "Extensions to /sync".
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.errors import FoyerError
from homeserver.events.stored import RoomRecord
from homeserver.requester import Requester
from homeserver.storage import device_lists, streams
from homeserver.storage.database import Database
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.storage.to_device import TO_DEVICE
from homeserver.sync.filters import parse_filter
from homeserver.sync.request import SyncRequest
from homeserver.sync.token import parse_sync_token
from homeserver.syncing import Syncing
from tests.support.engine import another_process
from tests.support.postgres import fresh_database
from tests.support.queries import counted, written_rows
from tests.support.server import Server, running_server
from tests.support.syncing import syncing_of

NO_ROOMS = parse_filter({"room": {"rooms": []}})
DEVICE_TABLES = {
    "cross_signing_keys",
    "dehydrated_devices",
    "device_keys",
    "device_list_changes",
    "fallback_keys",
    "key_backup_keys",
    "key_backups",
    "key_signatures",
    "one_time_key_batches",
    "to_device_messages",
    "to_device_transactions",
}
NOBODY: tuple[set[str], set[str]] = (set(), set())


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with running_server(database) as running:
        yield running


@pytest.fixture
async def syncing(server: Server) -> AsyncIterator[Syncing]:
    async with syncing_of(server) as running:
        yield running


async def changes_devices(server: Server, *people: Requester) -> None:
    """As every action that changes devices does."""
    for person in people:
        async with server.database.transaction() as db:
            position = await device_lists.note(db, [person.user_nid])
        server.bus.announce(DEVICE_LISTS, str(position))


async def moves(server: Server, by: Requester, room: RoomRecord, membership: str) -> None:
    content = {"membership": membership, "displayname": by.user_id}
    await server.sends(by, room, "m.room.member", content, state_key=by.user_id)


@dataclass
class Client:
    """A device that follows others' devices. seen: how often their devices had changed then."""

    by: Requester
    on: Syncing
    since: str | None = None
    seen: dict[str, int] = field(default_factory=dict)
    wanted: object = NO_ROOMS

    async def syncs(self, *, timeout_ms: int = 0) -> tuple[set[str], set[str]]:
        """Whose devices changed, and who left."""
        since = None if self.since is None else parse_sync_token(self.since)
        request = SyncRequest(since=since, wanted=self.wanted, timeout_ms=timeout_ms)
        answer = orjson.loads(await self.on.sync.sync(self.by, request))
        self.since = answer["next_batch"]
        assert since is not None or "device_lists" not in answer
        told = answer.get("device_lists", {"changed": [], "left": []})
        changed, left = set(told["changed"]), set(told["left"])
        assert not changed & left
        return changed, left


async def following(syncing: Syncing, by: Requester, *, is_live: bool) -> Client:
    """is_live: it is served from memory; else what comes next it asks another process."""
    client = Client(by, syncing)
    await client.syncs()
    if is_live:
        await client.syncs()
    return client


@pytest.mark.parametrize("is_live", [True, False])
class TestDeviceLists:
    """`device_lists` of incremental syncs, from memory and from the database."""

    @pytest.fixture
    async def on(self, server, is_live) -> AsyncIterator[Syncing]:
        async with syncing_of(server) as running:
            yield running

    async def hears(self, client: Client, server: Server, is_live: bool):
        if is_live:
            return await client.syncs(timeout_ms=20_000)
        async with syncing_of(server) as another:
            client.on = another
            return await client.syncs()

    async def test_of_those_in_a_common_room(self, server, on, is_live):
        alice, bob, carl = await server.people("alice", "bob", "carl")
        await server.group(alice, bob)
        client = await following(on, alice, is_live=is_live)
        await changes_devices(server, carl, bob)
        assert await self.hears(client, server, is_live) == ({bob.user_id}, set())

    async def test_of_oneself_without_any_room(self, server, on, is_live):
        alice, _ = await server.people("alice", "bob")
        client = await following(on, alice, is_live=is_live)
        await changes_devices(server, alice)
        assert await self.hears(client, server, is_live) == ({alice.user_id}, set())

    async def test_once(self, server, on, is_live):
        alice, bob = await server.people("alice", "bob")
        await server.group(alice, bob)
        client = await following(on, alice, is_live=is_live)
        await changes_devices(server, bob, bob)
        assert await self.hears(client, server, is_live) == ({bob.user_id}, set())
        assert await client.syncs() == NOBODY

    async def test_who_comes_is_new(self, server, on, is_live):
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice)
        client = await following(on, alice, is_live=is_live)
        await moves(server, bob, room, "join")
        assert await self.hears(client, server, is_live) == ({bob.user_id}, set())

    async def test_another_name_is_no_news(self, server, on, is_live):
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        client = await following(on, alice, is_live=is_live)
        await moves(server, bob, room, "join")
        await changes_devices(server, alice)
        assert await self.hears(client, server, is_live) == ({alice.user_id}, set())

    async def test_who_leaves_the_last_common_room_has_left(self, server, on, is_live):
        alice, bob, carl = await server.people("alice", "bob", "carl")
        room = await server.group(alice, bob, carl)
        await server.group(alice, carl)
        client = await following(on, alice, is_live=is_live)
        await moves(server, bob, room, "leave")
        await moves(server, carl, room, "leave")
        changed, left = await self.hears(client, server, is_live)
        more = await client.syncs()
        assert (changed | more[0], left | more[1]) == (set(), {bob.user_id})

    async def test_who_comes_back_is_new_again(self, server, on, is_live):
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob)
        client = await following(on, alice, is_live=is_live)
        await moves(server, bob, room, "leave")
        assert await self.hears(client, server, is_live) == (set(), {bob.user_id})
        await changes_devices(server, bob)
        assert await client.syncs() == NOBODY
        await moves(server, bob, room, "join")
        assert await client.syncs() == ({bob.user_id}, set())

    async def test_who_comes_to_a_room_is_told_of_those_whom_he_did_not_know(
        self, server, on, is_live
    ):
        alice, bob, carl = await server.people("alice", "bob", "carl")
        await server.group(alice, carl)
        room = await server.channel(bob, carl)
        client = await following(on, alice, is_live=is_live)
        await moves(server, alice, room, "join")
        assert await self.hears(client, server, is_live) == ({bob.user_id}, set())

    async def test_a_visit_between_two_syncs_is_no_news(self, server, on, is_live):
        alice, bob, carl = await server.people("alice", "bob", "carl")
        room = await server.channel(bob)
        client = await following(on, alice, is_live=is_live)
        await moves(server, alice, room, "join")
        await moves(server, alice, room, "leave")
        await moves(server, carl, room, "join")
        await changes_devices(server, alice)
        assert await self.hears(client, server, is_live) == ({alice.user_id}, set())

    async def test_who_leaves_a_room_is_told_of_those_whom_he_left(self, server, on, is_live):
        alice, bob, carl = await server.people("alice", "bob", "carl")
        await server.group(alice, carl)
        room = await server.channel(bob, carl, alice)
        client = await following(on, alice, is_live=is_live)
        await moves(server, alice, room, "leave")
        assert await self.hears(client, server, is_live) == (set(), {bob.user_id})


ACTS = ("join", "join", "leave", "change", "change", "sync", "sync")
step = st.tuples(st.sampled_from(ACTS), st.integers(0, 3), st.integers(0, 2))


class Play:
    """Four people who come, go, and change their devices; each has two clients."""

    def __init__(self, server: Server, people: list[Requester], rooms: list[RoomRecord]) -> None:
        self.server = server
        self.people = people
        self.rooms = rooms
        self.changes: Counter[str] = Counter()
        self.clients: list[Client] = []

    async def performs(self, act: str, who: int, where: int) -> None:
        by, room = self.people[who], self.rooms[where]
        if act == "sync":
            for client in self.clients[who::4]:
                await self.syncs(client)
        elif act == "change":
            self.changes[by.user_id] += 1
            await changes_devices(self.server, by)
        elif who != where:  # who made a room stays, so that others can come
            with suppress(FoyerError):
                await moves(self.server, by, room, act)

    async def syncs(self, client: Client) -> None:
        """And looks at those of whom it is told."""
        first = client.since is None
        changed, left = await client.syncs()
        if first:
            changed = await self.companions(client.by) | {client.by.user_id}
        for user_id in left:
            client.seen.pop(user_id, None)
        client.seen |= {user_id: self.changes[user_id] for user_id in changed}

    async def companions(self, of: Requester) -> set[str]:
        """Everybody in a room with somebody."""
        async with self.server.database.connection() as db:
            everybody = [each.user_id for each in self.people if each is not of]
            return set(await device_lists.sharing(db, of.user_nid, everybody))

    async def holds(self, client: Client) -> None:
        """It knows the devices of everybody whom it shares a room with as they are, and of nobody
        else.
        """
        expected = await self.companions(client.by) | {client.by.user_id}
        assert client.seen == {user_id: self.changes[user_id] for user_id in expected}


async def heard(client: Client, server: Server) -> None:
    """What the database has come to its process."""
    async with server.database.connection() as db:
        position = await streams.current(db, DEVICE_LISTS)
    async with asyncio.timeout(30):
        while client.on.journal.now.device_lists < position:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=5, max_size=40), cold=st.booleans())
async def test_who_follows_what_he_is_told_knows_all_devices(postgres, steps, cold):
    """cold: tokens of another process are answered from the database."""
    async with (
        fresh_database(postgres) as dsn,
        another_process(dsn) as server,
        syncing_of(server) as first,
        syncing_of(server) as second,
    ):
        people = await server.people("alice", "bob", "carl", "dora")
        rooms = [await server.channel(people[who]) for who in range(3)]
        play = Play(server, people, rooms)
        play.clients = [Client(by, on) for on in (first, second) for by in people]
        for client in play.clients:
            await play.syncs(client)
        for each in steps:
            for client in play.clients if cold else ():
                client.on = second if client.on is first else first
            await play.performs(*each)
        for client in play.clients:
            await play.syncs(client)
            await heard(client, server)
            await play.syncs(client)
            await play.holds(client)


class TestCost:
    """A fixed number of queries."""

    async def test_many_rooms_and_devices_cost_what_few_do(self, server, syncing):
        alice, *others = await server.people("alice", *(f"p{number}" for number in range(12)))
        client = Client(alice, syncing)
        counts = []
        for rooms, changed in ((1, 1), (12, 12)):
            made = [await server.group(alice, *others[:rooms]) for _ in range(rooms)]
            await client.syncs()
            for room in made:
                await moves(server, others[0], room, "leave")
            await changes_devices(server, *others[:changed])
            async with syncing_of(server) as fresh:
                client.on = fresh
                await server.core.notifications.counts.of_rooms(alice.user_nid, [])
                async with counted(server.database, own=True) as statements:
                    told = await client.syncs()
                assert len(told[0] | told[1]) == changed
                assert statements
            counts.append(len(statements))
        assert counts[1] <= counts[0]

    @pytest.mark.parametrize("is_encrypted", [False, True])
    async def test_messages_of_rooms_write_no_row_for_devices(self, server, is_encrypted):
        """Neither do those who come and go: what they mean to others is found when these ask."""
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice)
        if is_encrypted:
            content = {"algorithm": "m.megolm.v1.aes-sha2"}
            await server.sends(alice, room, "m.room.encryption", content, state_key="")
        before = await self.positions(server)
        async with written_rows(server.database) as written:
            await moves(server, bob, room, "join")
            event_type = "m.room.encrypted" if is_encrypted else "m.room.message"
            await server.sends(alice, room, event_type, {"body": "hello"})
            await moves(server, bob, room, "leave")
        assert written["events"] == 3
        assert not written.keys() & DEVICE_TABLES
        assert await self.positions(server) == before

    async def positions(self, server) -> dict[str, int]:
        async with server.database.connection() as db:
            return {
                stream: await streams.current(db, stream) for stream in (DEVICE_LISTS, TO_DEVICE)
            }
