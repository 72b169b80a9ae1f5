"""One's own account: whoami, password_management, account_deactivation, administrative_contact."""

import asyncio

import pytest

from tests.support.api_server import ApiServer
from tests.support.matrix_server import MatrixServer, MatrixUser

PASSWORD = "correct horse"
OWN = {"type": "m.login.password", "password": PASSWORD}


def password_login(password: str = PASSWORD) -> dict:
    identifier = {"type": "m.id.user", "user": "alice"}
    return {"type": "m.login.password", "identifier": identifier, "password": password}


async def logs_in(server: MatrixServer, password: str = PASSWORD) -> MatrixUser:
    answer = await server.nobody.post("v3/login", password_login(password))
    return MatrixUser(server.client, answer["access_token"], answer["user_id"])


class TestWhoAmI:
    """getTokenOwner."""

    async def test_user_and_device(self, server):
        alice = await server.registers("alice")
        who = await alice.get("v3/account/whoami")
        assert who["user_id"] == "@alice:example.org"
        assert who["device_id"]

    async def test_nobody_is_nobody(self, server):
        refusal = await server.nobody.is_refused("GET", "v3/account/whoami", status=401)
        assert refusal == "M_MISSING_TOKEN"


class TestChangePassword:
    """changePassword."""

    async def test_the_old_one_must_be_known(self, server):
        alice = await server.registers("alice")
        told = await alice.asks(
            "POST", "v3/account/password", {"new_password": "new horse!"}, status=401
        )
        assert told["flows"] == [{"stages": ["m.login.password"]}]
        auth = {**OWN, "password": "wrong horse", "session": told["session"]}
        body = {"new_password": "new horse!", "auth": auth}
        again = await alice.asks("POST", "v3/account/password", body, status=401)
        assert again["errcode"] == "M_FORBIDDEN"
        assert again["session"] == told["session"]
        auth = {**OWN, "session": told["session"]}
        assert await alice.post("v3/account/password", {**body, "auth": auth}) == {}
        assert await logs_in(server, "new horse!")
        await server.nobody.is_refused("POST", "v3/login", password_login(), status=403)

    async def test_other_sessions_end_and_this_one_goes_on(self, server):
        alice, phone = await server.registers("alice"), await logs_in(server)
        await alice.post("v3/account/password", {"new_password": "new horse!", "auth": OWN})
        assert await alice.get("v3/account/whoami")
        await phone.is_refused("GET", "v3/account/whoami", status=401)

    async def test_or_they_go_on(self, server):
        alice, phone = await server.registers("alice"), await logs_in(server)
        body = {"new_password": "new horse!", "logout_devices": False, "auth": OWN}
        await alice.post("v3/account/password", body)
        assert await phone.get("v3/account/whoami")

    async def test_without_a_token_one_says_whose_it_is(self, server):
        await server.registers("alice")
        body = {"new_password": "new horse!", "auth": OWN}
        told = await server.nobody.asks("POST", "v3/account/password", body, status=401)
        assert told["errcode"] == "M_FORBIDDEN"
        identifier = {"type": "m.id.user", "user": "alice"}
        body["auth"] = {**OWN, "identifier": identifier}
        assert await server.nobody.post("v3/account/password", body) == {}
        assert await logs_in(server, "new horse!")

    async def test_the_name_of_another_is_refused(self, server):
        alice = await server.registers("alice")
        await server.registers("bob")
        auth = {**OWN, "identifier": {"type": "m.id.user", "user": "bob"}}
        body = {"new_password": "new horse!", "auth": auth}
        told = await alice.asks("POST", "v3/account/password", body, status=401)
        assert told["errcode"] == "M_FORBIDDEN"

    async def test_a_weak_password_is_refused_before_anything_is_proved(self, server):
        alice = await server.registers("alice")
        body = {"new_password": "short"}
        refusal = await alice.is_refused("POST", "v3/account/password", body, status=400)
        assert refusal == "M_WEAK_PASSWORD"

    async def test_a_new_one_must_be_given(self, server):
        alice = await server.registers("alice")
        refusal = await alice.is_refused("POST", "v3/account/password", {"auth": OWN}, status=400)
        assert refusal == "M_MISSING_PARAM"

    async def test_the_session_of_another_operation_proves_nothing(self, server):
        alice = await server.registers("alice")
        told = await alice.asks("POST", "v3/account/deactivate", {}, status=401)
        auth = {**OWN, "session": told["session"]}
        body = {"new_password": "new horse!", "auth": auth}
        assert await alice.is_refused("POST", "v3/account/password", body, status=403) == (
            "M_FORBIDDEN"
        )

    async def test_nor_does_that_of_another_user(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        told = await bob.asks("POST", "v3/account/deactivate", {}, status=401)
        auth = {**OWN, "session": told["session"]}
        refusal = await alice.is_refused(
            "POST", "v3/account/deactivate", {"auth": auth}, status=403
        )
        assert refusal == "M_FORBIDDEN"

    async def test_no_mail_can_be_sent(self, server):
        secret = {"client_secret": "s", "send_attempt": 1}
        for path, body in (
            ("email", {"email": "alice@example.org"}),
            ("msisdn", {"country": "GB", "phone_number": "07700900001"}),
        ):
            refusal = await server.nobody.is_refused(
                "POST", f"v3/account/password/{path}/requestToken", {**secret, **body}, status=403
            )
            assert refusal == "M_THREEPID_DENIED"


class TestDeactivation:
    """deactivateAccount."""

    async def test_nobody_logs_in_any_more(self, server):
        alice = await server.registers("alice")
        assert await alice.asks("POST", "v3/account/deactivate", {}, status=401)
        answer = await alice.post("v3/account/deactivate", {"auth": OWN})
        assert answer == {"id_server_unbind_result": "success"}
        await alice.is_refused("GET", "v3/account/whoami", status=401)
        refusal = await server.nobody.is_refused("POST", "v3/login", password_login(), status=403)
        assert refusal == "M_USER_DEACTIVATED"

    async def test_the_username_stays_taken(self, server):
        alice = await server.registers("alice")
        await alice.post("v3/account/deactivate", {"auth": OWN})
        refusal = await server.nobody.is_refused(
            "GET", "v3/register/available", status=400, username="alice"
        )
        assert refusal == "M_USER_IN_USE"

    async def test_rooms_are_left(self, server, database):
        alice = await server.registers("alice")
        await alice.creates_room()
        await alice.post("v3/account/deactivate", {"auth": OWN})
        joined = "SELECT count(*) FROM memberships WHERE membership = 'join'"
        async with asyncio.timeout(30), database.connection() as db:
            while await db.fetchval(joined):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)

    async def test_erasing_forgets_who_it_was(self, server, database):
        alice = await ApiServer(server.client).registers("alice")
        alice = MatrixUser(server.client, alice.token)
        auth = {**OWN, "password": "correct horse battery staple"}
        await alice.post("v3/account/deactivate", {"auth": auth, "erase": True})
        async with database.connection() as db:
            row = await db.fetchrow("SELECT * FROM accounts JOIN users USING (user_nid)")
        assert (row["email"], row["display_name"]) == (None, None)
        assert row["erased_at"] is not None


class TestThirdPartyIdentifiers:
    """administrative_contact.yaml."""

    async def test_the_address_of_a_native_account_is_one(self, server):
        native = await ApiServer(server.client).registers("alice")
        alice = MatrixUser(server.client, native.token)
        (identifier,) = (await alice.get("v3/account/3pid"))["threepids"]
        assert (identifier["medium"], identifier["address"]) == ("email", "alice@example.org")

    async def test_others_have_none(self, server):
        alice = await server.registers("alice")
        assert await alice.get("v3/account/3pid") == {"threepids": []}

    @pytest.mark.parametrize(
        ("path", "body", "status", "errcode"),
        [
            (
                "",
                {
                    "three_pid_creds": {
                        "client_secret": "s",
                        "id_server": "i",
                        "id_access_token": "t",
                        "sid": "s",
                    }
                },
                403,
                "M_THREEPID_AUTH_FAILED",
            ),
            ("", {}, 400, "M_BAD_JSON"),
            ("/add", {"client_secret": "s", "sid": "s"}, 400, "M_THREEPID_AUTH_FAILED"),
            (
                "/bind",
                {"client_secret": "s", "id_server": "i", "id_access_token": "t", "sid": "s"},
                400,
                "M_SERVER_NOT_TRUSTED",
            ),
            ("/delete", {"medium": "email", "address": "a@b.org"}, 404, "M_THREEPID_NOT_FOUND"),
            ("/delete", {"medium": "pigeon", "address": "a"}, 400, "M_BAD_JSON"),
            (
                "/email/requestToken",
                {"client_secret": "s", "email": "a@b.org", "send_attempt": 1},
                400,
                "M_THREEPID_MEDIUM_NOT_SUPPORTED",
            ),
            (
                "/msisdn/requestToken",
                {"client_secret": "s", "country": "GB", "phone_number": "1", "send_attempt": 1},
                400,
                "M_THREEPID_MEDIUM_NOT_SUPPORTED",
            ),
        ],
    )
    async def test_none_can_be_added_or_removed(self, server, path, body, status, errcode):
        alice = await server.registers("alice")
        refusal = await alice.is_refused("POST", f"v3/account/3pid{path}", body, status=status)
        assert refusal == errcode

    async def test_ones_own_address_stays(self, server):
        native = await ApiServer(server.client).registers("alice")
        alice = MatrixUser(server.client, native.token)
        body = {"medium": "email", "address": "alice@example.org"}
        refusal = await alice.is_refused("POST", "v3/account/3pid/delete", body, status=403)
        assert refusal == "M_FORBIDDEN"

    async def test_nothing_was_bound(self, server):
        alice = await server.registers("alice")
        body = {"medium": "email", "address": "alice@example.org"}
        answer = await alice.post("v3/account/3pid/unbind", body)
        assert answer == {"id_server_unbind_result": "no-support"}
