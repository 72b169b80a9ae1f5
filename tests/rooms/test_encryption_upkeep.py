"""What end-to-end encryption keeps for a while only, and what goes with an account."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.upkeep import KEPT_DAYS, TRANSACTIONS_KEPT_DAYS, Upkeep
from homeserver.config import AppservicesConfig
from homeserver.storage.database import Database
from tests.support.api_server import OPEN
from tests.support.encryption import SIGNED, Identity, KeyMaker
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server
from tests.support.office import LocalBus, ManualClock

DAY_MS = 24 * 3600 * 1000
NOW_MS = 1_800_000_000_000
TOKEN = "the token of the application service"
ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[MatrixServer]:
    registration = {
        "id": "bridge",
        "url": None,
        "as_token": TOKEN,
        "hs_token": "the token of this server",
        "sender_localpart": "_bridge",
        "namespaces": {"users": [], "aliases": [], "rooms": []},
    }
    path = tmp_path / "bridge.yaml"
    path.write_text(json.dumps(registration))
    services = AppservicesConfig(registration_files=(path,))
    async with matrix_server(
        database, config=OPEN.model_copy(update={"appservices": services})
    ) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def bob(server):
    return await server.registers("bob")


async def has_keys(user: MatrixUser) -> KeyMaker:
    who = await user.get("v3/account/whoami")
    phone = KeyMaker.of(who["user_id"], who["device_id"])
    await user.post("v3/keys/upload", phone.upload(1))
    return phone


async def sends(user: MatrixUser, whom: MatrixUser) -> None:
    await user.put("v3/sendToDevice/m.ping/t", {"messages": {whom.user_id: {"*": {}}}})


async def rows(database: Database, table: str) -> int:
    async with database.connection() as db:
        number: int = await db.fetchval(f"SELECT count(*) FROM {table}")
        return number


def upkeep(database: Database, *, stale_after_days: int = 0) -> Upkeep:
    """stale_after_days: as configured."""
    clock = ManualClock()
    clock.ms = NOW_MS
    return Upkeep(database=database, bus=LocalBus(), clock=clock, stale_after_days=stale_after_days)


async def ages(database: Database, table: str, column: str, days: float) -> None:
    """Makes rows as old as that by the clock of `upkeep`."""
    async with database.connection() as db:
        await db.execute(
            f"UPDATE {table} SET {column} = $1", 1_800_000_000_000 - int(days * DAY_MS)
        )


class TestUpkeep:
    @pytest.mark.parametrize(
        ("table", "kept"),
        [
            ("to_device_messages", KEPT_DAYS),
            ("to_device_transactions", TRANSACTIONS_KEPT_DAYS),
        ],
    )
    async def test_what_is_too_old_is_forgotten(self, database, alice, bob, table, kept):
        await sends(alice, bob)
        await ages(database, table, "sent_at", kept - 0.1)
        await upkeep(database).once()
        assert await rows(database, table) == 1
        await ages(database, table, "sent_at", kept + 0.1)
        await upkeep(database).once()
        assert await rows(database, table) == 0

    async def test_stale_devices_go_with_their_keys_where_that_is_wanted(
        self, database, alice, bob
    ):
        await has_keys(alice)
        body = {
            "device_id": "SLEEPER",
            "device_data": {},
            "device_keys": KeyMaker.of(alice.user_id, "SLEEPER").device_keys(),
        }
        await alice.put("unstable/org.matrix.msc3814.v1/dehydrated_device", body)
        await ages(database, "sessions", "last_seen_at", 31)
        await upkeep(database).once()
        assert await rows(database, "device_keys") == 2
        await upkeep(database, stale_after_days=30).once()
        assert await rows(database, "sessions") == 1
        assert await rows(database, "device_keys") == 1

    async def test_an_account_that_ends_leaves_nothing(self, database, alice, bob):
        phone = await has_keys(alice)
        identity = Identity.of(alice.user_id)
        body = identity.upload()
        body["master_key"] = phone.signs(body["master_key"])
        await alice.post("v3/keys/device_signing/upload", body)
        created = await alice.post(
            "v3/room_keys/version", {"algorithm": ALGORITHM, "auth_data": {}}
        )
        key = {
            "first_message_index": 0,
            "forwarded_count": 0,
            "is_verified": True,
            "session_data": {},
        }
        await alice.put("v3/room_keys/keys/!r/s", key, version=created["version"])
        await sends(bob, alice)
        auth = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "alice"},
            "password": "correct horse",
        }
        await alice.post("v3/account/deactivate", {"auth": auth})
        for table in (
            "device_keys",
            "one_time_key_batches",
            "cross_signing_keys",
            "key_signatures",
            "to_device_messages",
        ):
            assert await rows(database, table) == 0, table
        await upkeep(database).once()
        assert await rows(database, "key_backups") == 0
        assert await rows(database, "key_backup_keys") == 0
        answer = await bob.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        assert answer["device_keys"] == {alice.user_id: {}}


class TestApplicationServices:
    """They may act without a device, which then has neither keys nor messages."""

    async def test_without_a_device_there_are_no_keys(self, server):
        service = MatrixUser(server.client, TOKEN)
        keys = KeyMaker.of("@_bridge:example.org", "BRIDGE").upload(1)
        refused = await service.is_refused("POST", "v3/keys/upload", keys, status=400)
        assert refused == "M_INVALID_PARAM"
        answer = await service.get("v3/sync")
        assert answer["device_one_time_keys_count"] == {SIGNED: 0}
        assert "to_device" not in (await service.get("v3/sync", since=answer["next_batch"]))

    async def test_but_it_sends_to_devices_once(self, server, database, bob):
        service = MatrixUser(server.client, TOKEN)
        for _ in range(2):
            await sends(service, bob)
        answer = await bob.get("v3/sync")
        assert len(answer["to_device"]["events"]) == 1

    async def test_with_a_device_it_has_keys(self, server, bob):
        service = MatrixUser(server.client, TOKEN)
        await service.asks("PUT", "v3/devices/BRIDGE", {"display_name": "Bridge"}, status=201)
        keys = KeyMaker.of("@_bridge:example.org", "BRIDGE").upload(1)
        status, answer = await service.request(
            "POST", "v3/keys/upload", keys, query={"device_id": "BRIDGE"}
        )
        assert (status, answer) == (200, {"one_time_key_counts": {SIGNED: 1}})
        answer = await bob.post("v3/keys/query", {"device_keys": {"@_bridge:example.org": []}})
        assert [*answer["device_keys"]["@_bridge:example.org"]] == ["BRIDGE"]

    async def test_its_cross_signing_keys_need_no_proof(self, server):
        service = MatrixUser(server.client, TOKEN)
        for _ in range(2):
            body = Identity.of("@_bridge:example.org").upload()
            await service.post("v3/keys/device_signing/upload", body)
