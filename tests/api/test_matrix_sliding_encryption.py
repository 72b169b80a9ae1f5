"""What sliding sync tells devices that encrypt (MSC3885 `to_device`, MSC3884 `e2ee`)."""

import asyncio
from itertools import count
from typing import Any

import pytest

from tests.support.encryption import SIGNED, KeyMaker
from tests.support.matrix_server import MatrixUser

txn_ids = count()
WAIT_MS = 30_000


async def sync(user: MatrixUser, pos: str | None = None, **body: Any) -> Any:
    """Of a connection that asks for no rooms. Whatever else is given belongs to the extensions."""
    timeout = body.pop("timeout", 0)
    extensions = {name: {"enabled": True, **wish} for name, wish in body.items()}
    asked = {"lists": {}, "extensions": extensions, "timeout": timeout, "conn_id": "encryption"}
    status, answer = await user.request("POST", "v4/sync", asked | ({"pos": pos} if pos else {}))
    assert status == 200, answer
    return answer


async def sends(user: MatrixUser, whom: MatrixUser, n: int) -> None:
    body = {"messages": {whom.user_id: {"*": {"n": n}}}}
    await user.put(f"v3/sendToDevice/m.ping/t{next(txn_ids)}", body)


def numbers(answer: Any) -> list[int]:
    return [event["content"]["n"] for event in answer["extensions"]["to_device"]["events"]]


class TestToDevice:
    async def test_messages_come_and_are_acknowledged_by_since(self, alice, bob):
        await sends(alice, bob, 1)
        first = await sync(bob, to_device={})
        assert numbers(first) == [1]
        again = await sync(bob, first["pos"], to_device={})
        assert numbers(again) == [1]
        since = again["extensions"]["to_device"]["next_batch"]
        await sends(alice, bob, 2)
        later = await sync(bob, again["pos"], to_device={"since": since})
        assert numbers(later) == [2]
        assert numbers(await sync(bob, to_device={})) == [2]

    async def test_a_limit_is_kept(self, alice, bob):
        for n in range(5):
            await sends(alice, bob, n)
        answer = await sync(bob, to_device={"limit": 2})
        assert numbers(answer) == [0, 1]
        since = answer["extensions"]["to_device"]["next_batch"]
        answer = await sync(bob, answer["pos"], to_device={"since": since})
        assert numbers(answer) == [2, 3, 4]

    async def test_one_wakes_who_waits_and_nothing_else_does(self, alice, bob):
        pos = (await sync(bob, to_device={}, e2ee={}))["pos"]
        waiting = asyncio.ensure_future(sync(bob, pos, to_device={}, e2ee={}, timeout=WAIT_MS))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        await sends(alice, bob, 1)
        assert numbers(await waiting) == [1]

    @pytest.mark.parametrize("wish", [{"since": "x"}, {"since": "-1"}, {"limit": 0}])
    async def test_malformed_wishes_are_refused(self, bob, wish):
        body = {"extensions": {"to_device": {"enabled": True, **wish}}}
        status, _ = await bob.request("POST", "v4/sync", body)
        assert status == 400


class TestKeysAndLists:
    async def test_keys_are_counted(self, alice, bob):
        device_id = (await bob.get("v3/account/whoami"))["device_id"]
        phone = KeyMaker.of(bob.user_id, device_id)
        told = (await sync(bob, e2ee={}))["extensions"]["e2ee"]
        assert told == {
            "device_one_time_keys_count": {SIGNED: 0},
            "device_unused_fallback_key_types": [],
        }
        await bob.post("v3/keys/upload", phone.upload(1, fallback="F"))
        told = (await sync(bob, e2ee={}))["extensions"]["e2ee"]
        assert told["device_one_time_keys_count"] == {SIGNED: 1}
        assert told["device_unused_fallback_key_types"] == [SIGNED]
        wanted = {bob.user_id: {device_id: SIGNED}}
        for _ in range(2):
            await alice.post("v3/keys/claim", {"one_time_keys": wanted})
        told = (await sync(bob, e2ee={}))["extensions"]["e2ee"]
        assert told["device_one_time_keys_count"] == {SIGNED: 0}
        assert told["device_unused_fallback_key_types"] == []

    async def test_who_waits_is_told_whose_devices_changed(self, alice, bob):
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        pos = (await sync(bob, e2ee={}))["pos"]
        waiting = asyncio.ensure_future(sync(bob, pos, e2ee={}, timeout=WAIT_MS))
        device_id = (await alice.get("v3/account/whoami"))["device_id"]
        phone = KeyMaker.of(alice.user_id, device_id)
        await alice.post("v3/keys/upload", phone.upload())
        told = (await waiting)["extensions"]["e2ee"]["device_lists"]
        assert told == {"changed": [alice.user_id], "left": []}

    async def test_who_left_is_told(self, alice, bob):
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        pos = (await sync(bob, e2ee={}))["pos"]
        await alice.post(f"v3/rooms/{room}/leave")
        told = (await sync(bob, pos, e2ee={}, timeout=WAIT_MS))["extensions"]["e2ee"]
        assert told["device_lists"] == {"changed": [], "left": [alice.user_id]}
