"""Messages to devices. Source: C-S API v1.19 "Send-to-Device messaging"; to_device.yaml."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

import e2e.to_device
from homeserver.storage import to_device
from homeserver.storage.database import Database
from tests.support.api_server import api_server
from tests.support.encryption import KeyMaker
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q
from tests.support.queries import counted

PING = "m.ping"
txn_ids = count()


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


class Device:
    """A device of somebody, that syncs."""

    def __init__(self, user: MatrixUser, device_id: str) -> None:
        self.user = user
        self.user_id = user.user_id
        self.device_id = device_id
        self.since: str | None = None

    async def syncs(self, *, since: str | None = None, timeout: int = 0) -> list[Any]:
        """The contents of the messages that came. since: of an earlier answer, once more."""
        at = since or self.since
        query = {"since": at, "timeout": timeout} if at else {}
        answer = await self.user.get("v3/sync", **query)
        self.since = answer["next_batch"]
        events = answer.get("to_device", {"events": []})["events"]
        for event in events:
            assert event.keys() == {"type", "sender", "content"}
        return [event["content"].get("n") for event in events]

    async def sends(self, *devices: "Device", txn_id: str | None = None, n: int = 0) -> None:
        messages: dict[str, Any] = {}
        for device in devices:
            messages.setdefault(device.user_id, {})[device.device_id] = {"n": n}
        await self.puts(messages, txn_id=txn_id)

    async def puts(self, messages: Any, *, txn_id: str | None = None) -> None:
        await self.user.put(path_of(txn_id or f"t{next(txn_ids)}"), {"messages": messages})


def path_of(txn_id: str, event_type: str = PING) -> str:
    return f"v3/sendToDevice/{q(event_type)}/{q(txn_id)}"


async def device_of(user: MatrixUser) -> Device:
    return Device(user, (await user.get("v3/account/whoami"))["device_id"])


async def another(server: MatrixServer, user: MatrixUser) -> Device:
    """One more device of somebody."""
    answer = await server.nobody.post(
        "v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user.user_id},
            "password": "correct horse",
        },
    )
    found = MatrixUser(server.client, answer["access_token"], user.user_id)
    return Device(found, answer["device_id"])


@pytest.fixture
async def alice(server):
    return await device_of(await server.registers("alice"))


@pytest.fixture
async def bob(server):
    return await device_of(await server.registers("bob"))


class TestSending:
    """sendToDevice."""

    async def test_a_message_comes_with_the_next_sync(self, alice, bob):
        await alice.sends(bob, n=1)
        answer = await bob.user.get("v3/sync")
        assert answer["to_device"] == {
            "events": [{"type": PING, "sender": alice.user_id, "content": {"n": 1}}]
        }

    async def test_it_wakes_who_waits(self, alice, bob):
        await bob.syncs()
        waiting = asyncio.ensure_future(bob.syncs(timeout=30_000))
        await alice.sends(bob, n=1)
        assert await waiting == [1]

    async def test_only_the_device_gets_it(self, server, alice, bob):
        other = await another(server, bob.user)
        await alice.sends(other, n=1)
        assert await bob.syncs() == []
        assert await other.syncs() == [1]

    async def test_a_star_is_all_devices(self, server, alice, bob):
        other = await another(server, bob.user)
        await alice.puts({bob.user_id: {"*": {"n": 1}, other.device_id: {"n": 2}}})
        assert await bob.syncs() == [1]
        assert await other.syncs() == [2]

    async def test_who_is_not_there_gets_nothing(self, alice, bob):
        await alice.puts(
            {
                bob.user_id: {"NONE": {"n": 1}},
                "@nobody:example.org": {"*": {"n": 1}},
                "@carl:other.example": {"*": {"n": 1}},
            }
        )
        assert await bob.syncs() == []

    async def test_the_same_transaction_sends_once(self, alice, bob):
        await alice.sends(bob, txn_id="T", n=1)
        await alice.sends(bob, txn_id="T", n=2)
        assert await bob.syncs() == [1]

    async def test_a_transaction_is_of_a_type_and_a_device(self, server, alice, bob):
        other = await another(server, alice.user)
        await alice.sends(bob, txn_id="T", n=1)
        await other.sends(bob, txn_id="T", n=2)
        body = {"messages": {bob.user_id: {bob.device_id: {"n": 3}}}}
        await alice.user.put(path_of("T", "m.other"), body)
        assert await bob.syncs() == [1, 2, 3]

    async def test_where_a_type_ends_is_clear(self, alice, bob):
        for event_type, txn_id in (("m.a", "b/c"), ("m.a/b", "c"), ("m.a%2Fb", "c")):
            body = {"messages": {bob.user.user_id: {bob.device_id: {"n": len(event_type)}}}}
            await alice.user.put(path_of(txn_id, event_type), body)
        assert await bob.syncs() == [3, 5, 7]

    async def test_the_same_transaction_at_once_sends_once(self, alice, bob):
        await asyncio.gather(*(alice.sends(bob, txn_id="T", n=1) for _ in range(8)))
        assert await bob.syncs() == [1]

    async def test_any_json_is_carried(self, alice, bob):
        content = {"n": 2**70, "text": "a\0ü", "deep": [{"x": None}]}
        await alice.puts({bob.user_id: {bob.device_id: content}})
        answer = await bob.user.get("v3/sync")
        assert answer["to_device"]["events"][0]["content"] == content

    async def test_a_message_is_not_too_large(self, alice, bob):
        content = {"x": "x" * e2e.to_device.MAX_CONTENT_BYTES}
        body = {"messages": {alice.user_id: {"*": {}}, bob.user_id: {"*": content}}}
        refused = await alice.user.is_refused("PUT", path_of("T"), body, status=413)
        assert refused == "M_TOO_LARGE"
        assert await alice.syncs() == []

    async def test_a_request_sends_so_many(self, server, alice, bob, monkeypatch):
        monkeypatch.setattr(e2e.to_device, "MAX_MESSAGES", 2)
        for _ in range(2):
            await another(server, bob.user)
        for devices in ({"*": {}}, {"A": {}, "B": {}, "C": {}}):
            body = {"messages": {bob.user_id: devices}}
            refused = await alice.user.is_refused("PUT", path_of("T"), body, status=413)
            assert refused == "M_TOO_LARGE"
        assert await bob.syncs() == []

    @pytest.mark.parametrize(
        "body", [{}, {"messages": []}, {"messages": {"@a:b": {"*": 1}}}, {"messages": {"@a:b": []}}]
    )
    async def test_malformed_messages_are_refused(self, alice, body):
        assert await alice.user.is_refused("PUT", path_of("T"), body, status=400) == "M_BAD_JSON"

    async def test_a_type_that_is_too_long_is_refused(self, alice):
        path = path_of("T", "x" * 256)
        refused = await alice.user.is_refused("PUT", path, {"messages": {}}, status=400)
        assert refused == "M_INVALID_PARAM"


class TestReceiving:
    """C-S API v1.19 "Send-to-Device messaging", "Server behaviour"."""

    async def test_they_come_in_the_order_in_which_they_were_sent(self, alice, bob):
        for n in range(20):
            await alice.sends(bob, n=n)
        assert await bob.syncs() == [*range(20)]

    async def test_the_same_token_gets_the_same_again(self, alice, bob):
        await bob.syncs()
        begins = bob.since
        await alice.sends(bob, n=1)
        assert await bob.syncs(since=begins) == [1]
        await alice.sends(bob, n=2)
        assert await bob.syncs(since=begins) == [1, 2]

    async def test_the_next_token_says_that_they_came(self, database, alice, bob):
        await bob.syncs()
        begins = bob.since
        for n in range(3):
            await alice.sends(bob, n=n)
        assert await bob.syncs() == [0, 1, 2]
        await alice.sends(bob, n=3)
        assert await bob.syncs() == [3]
        assert await bob.syncs() == []
        assert await bob.syncs(since=begins) == []
        async with database.connection() as db:
            assert not await db.fetchval("SELECT count(*) FROM to_device_messages")

    async def test_who_begins_anew_gets_what_he_did_not_acknowledge(self, alice, bob):
        await alice.sends(bob, n=1)
        assert await bob.syncs() == [1]
        bob.since = None
        assert await bob.syncs() == [1]

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_an_answer_has_a_hundred(self, alice, bob, is_live):
        if is_live:
            await bob.syncs()
        for n in range(230):
            await alice.sends(bob, n=n)
        assert await bob.syncs() == [*range(100)]
        assert await bob.syncs() == [*range(100, 200)]
        assert await bob.syncs() == [*range(200, 230)]
        assert await bob.syncs() == []

    async def test_a_filter_leaves_none_out(self, alice, bob):
        await alice.sends(bob, n=1)
        answer = await bob.user.get("v3/sync", filter={"room": {"rooms": []}})
        assert len(answer["to_device"]["events"]) == 1

    async def test_they_are_there_after_a_restart(self, database, server, alice, bob):
        await bob.syncs()
        await alice.sends(bob, n=1)
        async with api_server(database) as later:
            user = MatrixUser(later.client, bob.user.token, bob.user_id)
            again = Device(user, bob.device_id)
            again.since = bob.since
            assert await again.syncs() == [1]
            assert await again.syncs() == []

    async def test_a_token_of_the_future_acknowledges_nothing(self, alice, bob):
        await alice.sends(bob, n=1)
        await bob.syncs()
        parts = str(bob.since).split("_")
        parts[3] = "999"
        assert await bob.syncs(since="_".join(parts)) == [1]

    async def test_who_is_caught_up_asks_the_database_nothing(self, database, server, alice, bob):
        for _ in range(2):
            await bob.syncs()
        await another(server, alice.user)
        async with counted(database) as statements:
            assert await bob.syncs() == []
        assert statements == []


class TestQueue:
    """What waits for a device is bounded, and goes with it."""

    async def test_of_too_many_the_newest_stay(self, alice, bob, monkeypatch):
        monkeypatch.setattr(to_device, "MAX_QUEUE", 3)
        for n in range(5):
            await alice.sends(bob, n=n)
        assert await bob.syncs() == [2, 3, 4]
        await bob.syncs()
        await alice.sends(bob, n=5)
        assert await bob.syncs() == [5]

    async def test_it_goes_with_the_device(self, database, alice, bob):
        phone = KeyMaker.of(bob.user_id, bob.device_id)
        await bob.user.post("v3/keys/upload", phone.upload(2, fallback="F"))
        await alice.sends(bob, n=1)
        await bob.user.post("v3/logout")
        async with database.connection() as db:
            for table in (
                "to_device_messages",
                "device_keys",
                "one_time_key_batches",
                "fallback_keys",
            ):
                assert not await db.fetchval(f"SELECT count(*) FROM {table}")
