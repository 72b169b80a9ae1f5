"""One's devices: device_management.yaml."""

import pytest

from tests.support.matrix_server import MatrixServer, MatrixUser

PASSWORD = "correct horse"
OWN = {"type": "m.login.password", "password": PASSWORD}


async def device(server: MatrixServer, device_id: str) -> MatrixUser:
    body = {
        "type": "m.login.password",
        "user": "alice",
        "password": PASSWORD,
        "device_id": device_id,
    }
    answer = await server.nobody.post("v3/login", body)
    return MatrixUser(server.client, answer["access_token"], answer["user_id"])


class TestGetDevices:
    """getDevices, getDevice."""

    async def test_one_sees_ones_own(self, server):
        alice = await server.registers("alice")
        await server.registers("bob")
        await device(server, "PHONE")
        devices = (await alice.get("v3/devices"))["devices"]
        assert len(devices) == 2
        assert {"PHONE"} < {each["device_id"] for each in devices}

    async def test_where_and_when_one_was_used(self, server):
        await server.registers("alice")
        phone = await device(server, "PHONE")
        shown = await phone.get("v3/devices/PHONE")
        assert shown["last_seen_ts"] > 0
        assert shown["last_seen_ip"] == "127.0.0.1"
        assert "display_name" not in shown

    async def test_an_unknown_one_is_not_found(self, server):
        alice = await server.registers("alice")
        for device_id in ("NONE", "a%00b", "%2F"):
            path = f"v3/devices/{device_id}"
            assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"


class TestUpdateDevice:
    """updateDevice."""

    async def test_a_device_gets_a_name(self, server):
        await server.registers("alice")
        phone = await device(server, "PHONE")
        assert await phone.put("v3/devices/PHONE", {"display_name": "Mine"}) == {}
        assert (await phone.get("v3/devices/PHONE"))["display_name"] == "Mine"
        assert await phone.put("v3/devices/PHONE", {}) == {}
        assert (await phone.get("v3/devices/PHONE"))["display_name"] == "Mine"

    async def test_people_cannot_make_devices(self, server):
        alice = await server.registers("alice")
        refusal = await alice.is_refused("PUT", "v3/devices/NEW", {}, status=404)
        assert refusal == "M_NOT_FOUND"

    async def test_a_name_is_text(self, server):
        alice = await server.registers("alice")
        body = {"display_name": 5}
        refusal = await alice.is_refused("PUT", "v3/devices/NEW", body, status=400)
        assert refusal == "M_BAD_JSON"


class TestDeleteDevices:
    """deleteDevice, deleteDevices."""

    async def test_a_password_deletes_one(self, server):
        alice, phone = await server.registers("alice"), await device(server, "PHONE")
        path = "v3/devices/PHONE"
        told = await alice.asks("DELETE", path, {}, status=401)
        auth = {**OWN, "session": told["session"]}
        assert await alice.asks("DELETE", path, {"auth": auth}) == {}
        await phone.is_refused("GET", "v3/account/whoami", status=401)
        assert await alice.asks("DELETE", path, {"auth": OWN}) == {}

    async def test_a_body_may_be_missing_at_first(self, server):
        alice = await server.registers("alice")
        told = await alice.asks("DELETE", "v3/devices/PHONE", b"", status=401)
        assert told["flows"]

    async def test_the_proof_for_one_device_is_not_for_another(self, server):
        alice = await server.registers("alice")
        told = await alice.asks("DELETE", "v3/devices/PHONE", {}, status=401)
        auth = {**OWN, "session": told["session"]}
        refusal = await alice.is_refused("DELETE", "v3/devices/X", {"auth": auth}, status=403)
        assert refusal == "M_FORBIDDEN"

    async def test_or_many(self, server):
        alice = await server.registers("alice")
        phones = [await device(server, each) for each in ("A", "B", "C")]
        body = {"devices": ["A", "B", "NONE"]}
        told = await alice.asks("POST", "v3/delete_devices", body, status=401)
        auth = {**OWN, "session": told["session"]}
        assert await alice.post("v3/delete_devices", {**body, "auth": auth}) == {}
        for phone in phones[:2]:
            await phone.is_refused("GET", "v3/account/whoami", status=401)
        assert await phones[2].get("v3/account/whoami")

    @pytest.mark.parametrize("devices", ["A", [5], {"A": 1}])
    async def test_devices_are_a_list_of_texts(self, server, devices):
        alice = await server.registers("alice")
        body = {"devices": devices}
        refusal = await alice.is_refused("POST", "v3/delete_devices", body, status=400)
        assert refusal == "M_BAD_JSON"
