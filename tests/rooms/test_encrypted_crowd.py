"""What a user in two hundred encrypted rooms costs, with five thousand devices around."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from homeserver.requester import Requester
from homeserver.storage import device_lists
from homeserver.storage.database import Database
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.sync.filters import parse_filter
from homeserver.sync.request import SyncRequest
from homeserver.sync.sliding.lists import ListFilters, ListWish
from homeserver.sync.sliding.request import ExtensionWish, SlidingRequest
from homeserver.sync.sliding.room_config import RoomConfig
from homeserver.sync.token import SyncToken, parse_sync_token
from homeserver.syncing import Syncing
from tests.support.crowd import Crowd, crowd_of
from tests.support.queries import counted
from tests.support.server import Server, running_server
from tests.support.sync_client import NOTHING_NEW
from tests.support.syncing import syncing_of

LAZY = parse_filter({"room": {"state": {"lazy_load_members": True}}})
EXTENSIONS = {"e2ee": ExtensionWish(), "to_device": ExtensionWish()}


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with running_server(database) as running:
        yield running


async def change_devices(server: Server, people: list[Requester]) -> int:
    """As every action that changes devices does. Returns the position."""
    async with server.database.transaction() as db:
        position = await device_lists.note(db, [person.user_nid for person in people])
    assert position is not None
    server.bus.announce(DEVICE_LISTS, str(position))
    return position


class Reader:
    """A device of somebody, and what its requests ask the database."""

    def __init__(self, server: Server, by: Requester, on: Syncing) -> None:
        self.server = server
        self.by = by
        self.on = on
        self.since: SyncToken | None = None
        self.pos: str | None = None

    async def syncs(self) -> dict:
        request = SyncRequest(since=self.since, wanted=LAZY)
        answer = orjson.loads(await self.on.sync.sync(self.by, request))
        self.since = parse_sync_token(answer["next_batch"])
        return answer

    async def cost_of_a_sync(self) -> tuple[int, dict]:
        """How many queries, and the answer."""
        await self.server.core.notifications.counts.of_rooms(self.by.user_nid, [])
        async with counted(self.server.database, own=True) as statements:
            answer = await self.syncs()
        return len([each for each in statements if not _is_cleaning(each)]), answer

    async def cost_after_a_while(self) -> tuple[int, dict]:
        """Of a sync that no process knows anything of."""
        async with syncing_of(self.server) as another:
            self.on = another
            return await self.cost_of_a_sync()

    async def slides(self) -> dict:
        wish = ListWish(
            name="all",
            config=RoomConfig(1),
            filters=ListFilters(),
            ranges=[(0, 19)],
        )
        request = SlidingRequest(
            conn_id="main",
            pos=self.pos,
            timeout_ms=0,
            set_presence="offline",
            lists=[wish],
            subscriptions={},
            extensions=EXTENSIONS,
        )
        answer = await self.on.sliding_sync.sync(self.by, request)
        self.pos = answer.pos
        return answer.extensions

    async def cost_of_sliding(self) -> tuple[int, dict]:
        async with counted(self.server.database, own=True) as statements:
            extensions = await self.slides()
        return len([each for each in statements if not _is_cleaning(each)]), extensions

    async def cost_of_a_query(self, crowd: Crowd) -> tuple[int, int]:
        """Of all keys; and how many devices are in the answer."""
        keys = self.server.core.encryption.device_keys
        async with counted(self.server.database, own=True) as statements:
            answer = await keys.query(self.by, {person.user_id: [] for person in crowd.people})
        return len(statements), sum(map(len, answer["device_keys"].values()))

    async def hears(self, position: int) -> None:
        """What changed has come to its process."""
        async with asyncio.timeout(90):
            while self.on.journal.now.device_lists < position:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


def _is_cleaning(statement: str) -> bool:
    return statement.lstrip().startswith("DELETE")


async def costs(server: Server, reader: Requester, crowd: Crowd) -> dict[str, int]:
    """Queries of each kind of request; everybody's devices change in between."""
    found = {}
    people, everybody = [*crowd.people], {person.user_id for person in crowd.people}
    async with syncing_of(server) as on:
        alice = Reader(server, reader, on)
        found["first"], answer = await alice.cost_of_a_sync()
        assert len(answer["rooms"]["join"]) == len(crowd.rooms)
        await alice.syncs()
        before = alice.since
        found["nothing new"], answer = await alice.cost_of_a_sync()
        assert answer.keys() == NOTHING_NEW

        await alice.slides()
        found["sliding, nothing new"], _ = await alice.cost_of_sliding()
        await alice.hears(await change_devices(server, people))
        found["all changed"], answer = await alice.cost_of_a_sync()
        assert {*answer["device_lists"]["changed"]} == everybody
        found["sliding, all changed"], extensions = await alice.cost_of_sliding()
        assert {*extensions["e2ee"]["device_lists"]["changed"]} == everybody
        await alice.hears(await change_devices(server, people[:1]))
        found["one changed"], answer = await alice.cost_of_a_sync()
        assert answer["device_lists"]["changed"] == [people[0].user_id]

        alice.since = before
        found["was away"], answer = await alice.cost_after_a_while()
        assert {*answer["device_lists"]["changed"]} == everybody
        found["was away, nothing new"], answer = await alice.cost_after_a_while()
        assert "device_lists" not in answer
        found["keys of all"], devices = await alice.cost_of_a_query(crowd)
        assert devices == await count_devices(server, people)
    return found


async def count_devices(server: Server, people: list[Requester]) -> int:
    async with server.database.connection() as db:
        return await db.fetchval(
            "SELECT count(*) FROM device_keys WHERE user_nid = ANY($1::bigint[])",
            [person.user_nid for person in people],
        )


async def test_two_hundred_rooms_and_five_thousand_devices_cost_what_few_do(server):
    alice, bob, carl = await server.people("alice", "bob", "carl")
    few = await crowd_of(server, bob, rooms=2, people=25, devices=2)
    many = await crowd_of(server, alice, rooms=200, people=1_000, devices=5)
    once = await crowd_of(server, carl, rooms=1, people=25, devices=1)
    await costs(server, carl, once)  # what a process asks once
    small = await costs(server, bob, few)
    large = await costs(server, alice, many)
    assert large == small
    # Who is caught up is served from memory.
    assert {large[name] for name in ("nothing new", "all changed", "one changed")} == {0}
    assert large["keys of all"] == 3
