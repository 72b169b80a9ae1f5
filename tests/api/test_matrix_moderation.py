"""Administrators: admin.yaml, "Account moderation", shared-secret registration."""

import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from homeserver.storage.database import Database
from tests.support.api_server import OPEN, ApiServer
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

SECRET = "a shared secret"
PASSWORD = "correct horse"
REGISTER = "/_synapse/admin/v1/register"
WITH_SECRET = OPEN.model_copy(
    update={"auth": OPEN.auth.model_copy(update={"registration_shared_secret": SecretStr(SECRET)})}
)


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database, config=WITH_SECRET) as running:
        yield running


async def signed(server: MatrixServer, username: str, *, admin: bool = False, **more) -> dict:
    _, answer = await server.nobody.request("GET", REGISTER)
    user_type = [more["user_type"]] if "user_type" in more else []
    text = "\0".join(
        [answer["nonce"], username, PASSWORD, "admin" if admin else "notadmin", *user_type]
    )
    mac = hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).hexdigest()
    return {
        "nonce": answer["nonce"],
        "username": username,
        "password": PASSWORD,
        "admin": admin,
        "mac": mac,
        **more,
    }


async def administrator(server: MatrixServer, name: str = "root") -> MatrixUser:
    body = await signed(server, name, admin=True)
    _, answer = await server.nobody.request("POST", REGISTER, body)
    return MatrixUser(server.client, answer["access_token"], answer["user_id"])


class TestSharedSecretRegistration:
    """Synapse's documentation, "Shared-Secret Registration"."""

    async def test_an_administrator(self, server):
        root = await administrator(server)
        told = (await root.get("v3/capabilities"))["capabilities"]
        assert told["m.account_moderation"] == {"suspend": True, "lock": True}

    async def test_a_user(self, server):
        body = await signed(server, "alice", displayname="Alice B.", user_type="bot")
        status, answer = await server.nobody.request("POST", REGISTER, body)
        assert status == 200
        assert (answer["user_id"], answer["home_server"]) == ("@alice:example.org", "example.org")
        alice = MatrixUser(server.client, answer["access_token"])
        assert (await alice.native.get("/api/users/me"))["name"] == "Alice B."
        assert "m.account_moderation" not in (await alice.get("v3/capabilities"))["capabilities"]

    async def test_a_nonce_is_good_once(self, server):
        body = await signed(server, "alice")
        await server.nobody.request("POST", REGISTER, body)
        status, _ = await server.nobody.request("POST", REGISTER, {**body, "username": "bob"})
        assert status == 400

    async def test_a_wrong_signature_is_refused(self, server):
        for change in ({"mac": "0" * 40}, {"mac": "é"}, {"admin": True}, {"username": "bob"}):
            body = {**await signed(server, "alice"), **change}
            status, answer = await server.nobody.request("POST", REGISTER, body)
            assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")

    async def test_a_taken_username_is_told(self, server):
        await server.registers("alice")
        body = await signed(server, "alice")
        status, answer = await server.nobody.request("POST", REGISTER, body)
        assert (status, answer["errcode"]) == (400, "M_USER_IN_USE")

    async def test_no_field_poses_as_two(self, server):
        body = {**await signed(server, "alice"), "username": "al\0ice"}
        status, _ = await server.nobody.request("POST", REGISTER, body)
        assert status == 400

    async def test_by_default_it_is_off(self, database):
        async with matrix_server(database) as server:
            for method, body in (("GET", None), ("POST", {})):
                status, answer = await server.nobody.request(method, REGISTER, body)
                if method == "GET":
                    assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED")
            body = {"nonce": "n", "username": "a", "password": PASSWORD, "mac": "m"}
            status, answer = await server.nobody.request("POST", REGISTER, body)
            assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED")


class TestWhoIs:
    """getWhoIs."""

    async def test_oneself_and_for_administrators_others(self, server):
        root, alice = await administrator(server), await server.registers("alice")
        path = f"v3/admin/whois/{q(alice.user_id)}"
        for one in (alice, root):
            told = await one.get(path)
            (device,) = told["devices"].values()
            assert device["sessions"][0]["connections"][0]["ip"] == "127.0.0.1"

    async def test_not_others(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        path = f"v3/admin/whois/{q(bob.user_id)}"
        assert await alice.is_refused("GET", path, status=403) == "M_FORBIDDEN"

    async def test_nobody_is_not_found(self, server):
        root = await administrator(server)
        path = f"v3/admin/whois/{q('@nobody:example.org')}"
        assert await root.is_refused("GET", path, status=404) == "M_NOT_FOUND"


@pytest.mark.parametrize(("verb", "field"), [("lock", "locked"), ("suspend", "suspended")])
class TestRestricting:
    """setAdminLockUser, getAdminLockUser, setAdminSuspendUser, getAdminSuspendUser."""

    async def test_it_can_be_done_and_undone(self, server, verb, field):
        root, alice = await administrator(server), await server.registers("alice")
        path = f"v1/admin/{verb}/{q(alice.user_id)}"
        assert await root.get(path) == {field: False}
        for value in (True, True, False):
            assert await root.put(path, {field: value}) == {field: value}
            assert await root.get(path) == {field: value}

    async def test_only_administrators_may_and_learn_nothing(self, server, verb, field):
        alice = await server.registers("alice")
        for target in ("@alice:example.org", "@nobody:example.org", "@a:elsewhere.org"):
            path = f"v1/admin/{verb}/{q(target)}"
            assert await alice.is_refused("GET", path, status=403) == "M_FORBIDDEN"
            assert await alice.is_refused("PUT", path, {field: True}, status=403) == "M_FORBIDDEN"

    async def test_not_with_oneself_and_other_administrators(self, server, verb, field):
        root, other = await administrator(server), await administrator(server, "other")
        for target in (root, other):
            path = f"v1/admin/{verb}/{q(target.user_id)}"
            assert await root.is_refused("PUT", path, {field: True}, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        ("target", "status", "errcode"),
        [
            ("@nobody:example.org", 404, "M_NOT_FOUND"),
            ("@alice:elsewhere.org", 400, "M_INVALID_PARAM"),
            ("alice", 400, "M_INVALID_PARAM"),
        ],
    )
    async def test_not_with_others(self, server, verb, field, target, status, errcode):
        root = await administrator(server)
        path = f"v1/admin/{verb}/{q(target)}"
        assert await root.is_refused("GET", path, status=status) == errcode
        assert await root.is_refused("PUT", path, {field: True}, status=status) == errcode

    async def test_what_shall_be_must_be_said(self, server, verb, field):
        root, alice = await administrator(server), await server.registers("alice")
        path = f"v1/admin/{verb}/{q(alice.user_id)}"
        for body in ({}, {field: "yes"}):
            assert await root.is_refused("PUT", path, body, status=400) == "M_BAD_JSON"


class TestLocked:
    """C-S API v1.19 "Account locking"."""

    async def test_nothing_works_but_logging_out(self, server):
        root, alice = await administrator(server), await server.registers("alice")
        await alice.get("v3/devices")
        await root.put(f"v1/admin/lock/{q(alice.user_id)}", {"locked": True})
        told = await alice.asks("GET", "v3/devices", status=401)
        assert (told["errcode"], told["soft_logout"]) == ("M_USER_LOCKED", True)
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        assert await server.nobody.is_refused("POST", "v3/login", body, status=401) == (
            "M_USER_LOCKED"
        )
        assert await alice.native.is_refused("GET", "/api/sessions") == "UNAUTHENTICATED"
        assert await alice.post("v3/logout") == {}

    async def test_the_session_goes_on_afterwards(self, server):
        root, alice = await administrator(server), await server.registers("alice")
        path = f"v1/admin/lock/{q(alice.user_id)}"
        await root.put(path, {"locked": True})
        await alice.is_refused("GET", "v3/devices", status=401)
        await root.put(path, {"locked": False})
        assert await alice.get("v3/devices")

    async def test_who_can_refresh_cannot_while_locked(self, server):
        root, _ = await administrator(server), await server.registers("alice")
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        answer = await server.nobody.post("v3/login", {**body, "refresh_token": True})
        token = {"refresh_token": answer["refresh_token"]}
        path = f"v1/admin/lock/{q('@alice:example.org')}"
        await root.put(path, {"locked": True})
        refusal = await server.nobody.is_refused("POST", "v3/refresh", token, status=401)
        assert refusal == "M_USER_LOCKED"
        await root.put(path, {"locked": False})
        assert await server.nobody.post("v3/refresh", token)


class TestSuspended:
    """C-S API v1.19 "Account suspension"."""

    async def test_one_may_read_and_log_in_and_manage_devices(self, server):
        root, alice = await administrator(server), await server.registers("alice")
        await root.put(f"v1/admin/suspend/{q(alice.user_id)}", {"suspended": True})
        assert await alice.get("v3/devices")
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        assert await server.nobody.post("v3/login", body)

    async def test_one_may_not_write(self, server):
        root, alice = await administrator(server), await server.registers("alice")
        room = await alice.creates_room()
        await root.put(f"v1/admin/suspend/{q(alice.user_id)}", {"suspended": True})
        path = f"v3/rooms/{q(room)}/send/m.room.message/t1"
        content = {"msgtype": "m.text", "body": "hello"}
        assert await alice.is_refused("PUT", path, content, status=403) == "M_USER_SUSPENDED"


class TestNativeAdministration:
    async def test_people_without_an_address_are_found_by_name(self, server):
        await server.registers("alice")
        bob = await ApiServer(server.client).registers("bob")
        found = await bob.get("/api/users/search", q="alice")
        assert [(each["name"], each["email"]) for each in found] == [("alice", None)]
