"""Dehydrated devices. Source: MSC3814."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.support.encryption import SIGNED, Identity, KeyMaker
from tests.support.matrix_server import MatrixServer, matrix_server

DEVICE = "unstable/org.matrix.msc3814.v1/dehydrated_device"
DATA = {"algorithm": "org.matrix.msc3814.v2", "device_pickle": "secret", "nonce": "n"}


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def bob(server):
    return await server.registers("bob")


async def dehydrates(user, name: str = "SLEEPER", **more: Any) -> KeyMaker:
    device = KeyMaker.of(user.user_id, name)
    body = {
        "device_id": name,
        "device_data": DATA,
        "initial_device_display_name": "Asleep",
        **device.upload(2, fallback="F"),
        **more,
    }
    assert await user.put(DEVICE, body) == {"device_id": name}
    return device


async def sends(user, whom, device_id: str, n: int) -> None:
    body = {"messages": {whom.user_id: {device_id: {"n": n}}}}
    await user.put(f"v3/sendToDevice/m.ping/t{n}", body)


async def events(user, name: str = "SLEEPER", next_batch: str | None = None) -> Any:
    answer = await user.post(
        f"{DEVICE}/{name}/events", {"next_batch": next_batch} if next_batch else {}
    )
    return [event["content"]["n"] for event in answer["events"]], answer["next_batch"]


class TestDehydratedDevices:
    async def test_at_first_there_is_none(self, alice):
        for method in ("GET", "DELETE"):
            assert await alice.is_refused(method, DEVICE, status=404) == "M_NOT_FOUND"
        refused = await alice.is_refused("POST", f"{DEVICE}/SLEEPER/events", {}, status=404)
        assert refused == "M_NOT_FOUND"

    async def test_what_is_left_is_found(self, alice):
        await dehydrates(alice)
        assert await alice.get(DEVICE) == {"device_id": "SLEEPER", "device_data": DATA}

    async def test_others_encrypt_for_it(self, alice, bob):
        device = await dehydrates(alice)
        answer = await bob.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        keys = answer["device_keys"][alice.user_id]["SLEEPER"]
        assert keys["keys"] == device.device_keys()["keys"]
        assert keys["unsigned"] == {"device_display_name": "Asleep"}
        wanted = {alice.user_id: {"SLEEPER": SIGNED}}
        claimed = await bob.post("v3/keys/claim", {"one_time_keys": wanted})
        assert claimed["one_time_keys"][alice.user_id]["SLEEPER"]

    async def test_the_signature_of_the_self_signing_key_comes_along(self, alice, bob):
        identity = Identity.of(alice.user_id)
        await alice.post("v3/keys/device_signing/upload", identity.upload())
        device = KeyMaker.of(alice.user_id, "SLEEPER")
        keys = device.device_keys(dehydrated=True)
        signed = identity.signs("self_signing", keys)["signatures"][alice.user_id]
        keys["signatures"][alice.user_id] |= signed
        await alice.put(DEVICE, {"device_id": "SLEEPER", "device_data": {}, "device_keys": keys})
        answer = await bob.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        shown = answer["device_keys"][alice.user_id]["SLEEPER"]
        assert shown["signatures"] == keys["signatures"]
        assert shown["dehydrated"] is True

    async def test_it_gathers_messages_until_it_goes(self, alice, bob):
        await dehydrates(alice)
        for n in range(3):
            await sends(bob, alice, "SLEEPER", n)
        numbers, next_batch = await events(alice)
        assert numbers == [0, 1, 2]
        assert await events(alice, next_batch=next_batch) == ([], next_batch)
        assert (await events(alice))[0] == [0, 1, 2]
        assert await alice.delete(DEVICE) == {"device_id": "SLEEPER"}
        assert await alice.is_refused("GET", DEVICE, status=404)
        answer = await bob.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        assert answer["device_keys"] == {alice.user_id: {}}

    async def test_a_new_one_takes_its_place(self, alice, bob):
        await dehydrates(alice)
        await sends(bob, alice, "SLEEPER", 1)
        await dehydrates(alice, "NEXT")
        assert (await alice.get(DEVICE))["device_id"] == "NEXT"
        assert (await events(alice, "NEXT"))[0] == []
        refused = await alice.is_refused("POST", f"{DEVICE}/SLEEPER/events", {}, status=403)
        assert refused == "M_FORBIDDEN"
        await dehydrates(alice, "NEXT")
        answer = await bob.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        assert [*answer["device_keys"][alice.user_id]] == ["NEXT"]

    async def test_a_device_in_use_is_not_replaced(self, alice):
        device_id = (await alice.get("v3/account/whoami"))["device_id"]
        await dehydrates(alice)
        keys = KeyMaker.of(alice.user_id, device_id).upload()
        body = {"device_id": device_id, "device_data": {}, **keys}
        assert await alice.is_refused("PUT", DEVICE, body, status=403) == "M_FORBIDDEN"
        assert (await alice.get(DEVICE))["device_id"] == "SLEEPER"

    async def test_forged_keys_change_nothing(self, alice):
        await dehydrates(alice)
        keys = {**KeyMaker.of(alice.user_id, "NEXT").device_keys(), "more": 1}
        body = {"device_id": "NEXT", "device_data": {}, "device_keys": keys}
        assert await alice.is_refused("PUT", DEVICE, body, status=400) == "M_INVALID_SIGNATURE"
        assert (await alice.get(DEVICE))["device_id"] == "SLEEPER"

    async def test_others_cannot_read_it(self, alice, bob):
        await dehydrates(alice)
        assert await bob.is_refused("GET", DEVICE, status=404) == "M_NOT_FOUND"

    @pytest.mark.parametrize("next_batch", ["x", "-1", "9" * 30])
    async def test_malformed_positions_are_refused(self, alice, next_batch):
        await dehydrates(alice)
        body = {"next_batch": next_batch}
        refused = await alice.is_refused("POST", f"{DEVICE}/SLEEPER/events", body, status=400)
        assert refused == "M_INVALID_PARAM"
