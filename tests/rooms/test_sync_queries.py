"""What syncs ask of the database."""

from collections.abc import AsyncIterator
from itertools import count

import orjson
import pytest

from homeserver.requester import Requester
from homeserver.storage.database import Database
from homeserver.sync.filters import EVERYTHING, parse_filter
from homeserver.sync.request import SyncRequest
from homeserver.sync.token import SyncToken, parse_sync_token
from homeserver.syncing import Syncing
from tests.support.queries import counted
from tests.support.server import Server, running_server
from tests.support.sync_client import NOTHING_NEW
from tests.support.syncing import syncing_of

numbers = count()
LAZY = parse_filter({"room": {"state": {"lazy_load_members": True}}})


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with running_server(database) as running:
        yield running


@pytest.fixture
async def syncing(server: Server) -> AsyncIterator[Syncing]:
    async with syncing_of(server) as running:
        yield running


async def syncs(
    syncing: Syncing, by: Requester, since: SyncToken | None = None, wanted=LAZY
) -> tuple[SyncToken, dict]:
    raw = await syncing.sync.sync(by, SyncRequest(since=since, wanted=wanted))
    answer = orjson.loads(raw)
    return parse_sync_token(answer["next_batch"]), answer


async def caught_up(syncing: Syncing, by: Requester) -> SyncToken:
    """Where a client stands that has synced twice: it and its rooms are in memory then."""
    since, _ = await syncs(syncing, by)
    since, _ = await syncs(syncing, by, since)
    return since


async def first_time(
    server: Server, syncing: Syncing, by: Requester, since: SyncToken | None = None
) -> list[str]:
    """What is asked for somebody else first, when all else that goes on has come to rest."""
    await server.core.notifications.counts.of_rooms(by.user_nid, [])
    (stranger,) = await server.people(f"stranger{next(numbers)}")
    await syncs(syncing, stranger)
    async with counted(server.database) as statements:
        await syncs(syncing, by, since)
    return [each for each in statements if not each.lstrip().startswith("DELETE")]


class TestCaughtUp:
    """Who is caught up is served from memory."""

    async def test_nothing_new_costs_no_query(self, server, syncing):
        alice, bob = await server.people("alice", "bob")
        await server.group(alice, bob)
        since = await caught_up(syncing, alice)
        async with counted(server.database) as statements:
            _, answer = await syncs(syncing, alice, since)
        assert answer.keys() == NOTHING_NEW
        assert statements == []

    async def test_messages_cost_no_query(self, server, syncing):
        alice, bob = await server.people("alice", "bob")
        rooms = [await server.group(alice, bob) for _ in range(3)]
        since = await caught_up(syncing, alice)
        for room in rooms:
            await server.says(bob, room, "first")
        since, _ = await syncs(syncing, alice, since)  # bob's name is looked up
        for room in rooms:
            await server.says(bob, room, "hello")
        async with counted(server.database) as statements:
            _, answer = await syncs(syncing, alice, since)
        assert len(answer["rooms"]["join"]) == 3
        assert statements == []

    async def test_one_state_event_costs_many_readers_one_query(self, server, syncing):
        alice, *others = await server.people("alice", "bob", "charlie", "dora")
        room = await server.group(alice, *others)
        places = [await caught_up(syncing, each) for each in others]
        await server.sends(alice, room, "m.room.topic", {"topic": "tea"}, state_key="")
        async with counted(server.database) as statements:
            for each, since in zip(others, places, strict=True):
                _, answer = await syncs(syncing, each, since, wanted=EVERYTHING)
                assert answer["rooms"]["join"][room.room_id]["timeline"]["events"]
        assert len(statements) == 1


class TestFirstSync:
    """A fixed number of queries, whatever the number of rooms."""

    async def test_two_rooms_or_twenty(self, server, syncing):
        alice, bob = await server.people("alice", "bob")
        counts = []
        for number in (2, 18):
            for _ in range(number):
                room = await server.group(alice, bob)
                for text in "one", "two":
                    await server.says(bob, room, text)
            async with syncing_of(server) as fresh:
                statements = await first_time(server, fresh, alice)
            counts.append(len(statements))
        _, answer = await syncs(syncing, alice)
        assert len(answer["rooms"]["join"]) == 20
        assert counts[1] <= counts[0]

    async def test_coming_back_after_long_costs_the_same_for_two_rooms_or_twenty(
        self,
        server,
        syncing,
    ):
        alice, bob = await server.people("alice", "bob")
        rooms = [await server.group(alice, bob) for _ in range(20)]
        since, _ = await syncs(syncing, alice)
        counts = []
        for some in (rooms[:2], rooms):
            for room in some:
                for number in range(12):
                    await server.says(bob, room, str(number))
            async with syncing_of(server) as other:
                counts.append(len(await first_time(server, other, alice, since)))
            _, answer = await syncs(syncing, alice, since)
            assert len(answer["rooms"]["join"]) == len(some)
        assert counts[1] <= counts[0]
