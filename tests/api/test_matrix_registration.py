"""Making accounts over the Matrix API: registration.yaml, registration_tokens.yaml."""

from collections.abc import AsyncIterator

import pytest

from homeserver.config import Policy
from homeserver.storage.database import Database
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server
from tests.support.office import everything_in

DUMMY = {"type": "m.login.dummy"}
PASSWORD = "correct horse"


def with_auth(**settings: object):
    return OPEN.model_copy(update={"auth": OPEN.auth.model_copy(update=settings)})


@pytest.fixture
async def token_server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database, config=with_auth(registration="token")) as running:
        yield running


async def invitation(server: MatrixServer, database: Database) -> str:
    """A code for one account, made by an administrator."""
    root = await server.registers("root")
    async with database.transaction() as db:
        await db.execute("UPDATE accounts SET is_admin = true")
    answer = await server.nobody.request("POST", "v3/login", login("root"))
    root = MatrixUser(server.client, answer[1]["access_token"])
    return (await root.native.post("/api/invitations", {"uses": 1}))["code"]


def login(name: str) -> dict:
    identifier = {"type": "m.id.user", "user": name}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}


async def register(server: MatrixServer, status: int = 200, kind: str = "user", **body):
    query = {} if kind == "user" else {"kind": kind}
    return await server.nobody.asks("POST", "v3/register", body, query=query, status=status)


class TestRegister:
    """register."""

    async def test_who_registers_is_logged_in(self, server):
        alice = await server.registers("alice")
        who = await alice.get("v3/account/whoami")
        assert who["user_id"] == "@alice:example.org"
        assert who["device_id"]
        assert not who["is_guest"]

    async def test_without_proof_the_flows_are_told(self, server):
        told = await register(server, 401, username="alice", password=PASSWORD)
        assert told["flows"] == [{"stages": ["m.login.dummy"]}]
        assert told["session"]
        assert "errcode" not in told

    async def test_the_session_is_given_back(self, server):
        told = await register(server, 401, username="alice", password=PASSWORD)
        auth = {**DUMMY, "session": told["session"]}
        made = await register(server, username="alice", password=PASSWORD, auth=auth)
        assert made["user_id"] == "@alice:example.org"

    async def test_whoever_asks_first_without_parameters_gives_them_later(self, server):
        told = await register(server, 401)
        auth = {**DUMMY, "session": told["session"]}
        assert await register(server, username="alice", password=PASSWORD, auth=auth)

    async def test_a_session_is_used_once(self, server):
        told = await register(server, 401, username="alice", password=PASSWORD)
        auth = {**DUMMY, "session": told["session"]}
        await register(server, username="alice", password=PASSWORD, auth=auth)
        again = await register(server, 401, username="bob", password=PASSWORD, auth=auth)
        assert again["errcode"] == "M_UNKNOWN"
        assert again["session"] != told["session"]

    async def test_a_stage_that_is_not_offered_is_refused(self, server):
        auth = {"type": "m.login.recaptcha", "response": "x"}
        told = await register(server, 401, username="alice", password=PASSWORD, auth=auth)
        assert told["errcode"] == "M_UNRECOGNIZED"

    async def test_a_username_is_given_once_and_before_anything_is_proved(self, server):
        await server.registers("alice")
        answer = await register(server, 400, username="Alice", password=PASSWORD)
        assert answer["errcode"] == "M_USER_IN_USE"

    @pytest.mark.parametrize("username", ["", "a b", "é", "@alice:example.org", "x" * 300, "a\0"])
    async def test_an_impossible_username_is_refused(self, server, username):
        answer = await register(server, 400, username=username, password=PASSWORD)
        assert answer["errcode"] == "M_INVALID_USERNAME"

    async def test_without_a_username_one_is_made(self, server):
        made = await register(server, password=PASSWORD, auth=DUMMY)
        assert made["user_id"].endswith(":example.org")

    async def test_a_weak_password_is_refused(self, server):
        answer = await register(server, 400, username="alice", password="short", auth=DUMMY)
        assert answer["errcode"] == "M_WEAK_PASSWORD"

    async def test_a_password_is_needed(self, server):
        answer = await register(server, 400, username="alice", auth=DUMMY)
        assert answer["errcode"] == "M_MISSING_PARAM"

    async def test_one_need_not_be_logged_in(self, server):
        made = await register(
            server, username="alice", password=PASSWORD, auth=DUMMY, inhibit_login=True
        )
        assert made == {"user_id": "@alice:example.org"}
        assert (await server.nobody.post("v3/login", login("alice")))["access_token"]

    async def test_the_device_is_the_one_that_was_asked_for(self, server):
        made = await register(
            server,
            username="alice",
            password=PASSWORD,
            auth=DUMMY,
            device_id="PHONE",
            initial_device_display_name="My phone",
        )
        assert made["device_id"] == "PHONE"
        assert "refresh_token" not in made
        assert "expires_in_ms" not in made
        alice = MatrixUser(server.client, made["access_token"])
        assert (await alice.get("v3/devices/PHONE"))["display_name"] == "My phone"

    async def test_a_client_that_can_refresh_gets_what_it_needs(self, server):
        made = await register(
            server, username="alice", password=PASSWORD, auth=DUMMY, refresh_token=True
        )
        assert made["expires_in_ms"] == 86_400_000
        assert made["refresh_token"]

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b'"x"',
            {"username": 5},
            {"auth": "x"},
            {"auth": {"type": 5}},
            {"inhibit_login": "yes"},
            {"device_id": []},
        ],
    )
    async def test_a_body_of_the_wrong_shape_is_refused(self, server, body):
        assert (
            await server.nobody.is_refused("POST", "v3/register", body, status=400) == "M_BAD_JSON"
        )

    async def test_what_is_no_json_is_refused(self, server):
        assert (
            await server.nobody.is_refused("POST", "v3/register", b"{", status=400) == "M_NOT_JSON"
        )

    async def test_another_kind_of_account_is_refused(self, server):
        answer = await register(server, 400, kind="robot")
        assert answer["errcode"] == "M_INVALID_PARAM"

    async def test_what_is_secret_is_not_stored(self, server, database):
        made = await register(
            server, username="alice", password=PASSWORD, auth=DUMMY, refresh_token=True
        )
        stored = await everything_in(database)
        for secret in (PASSWORD, made["access_token"], made["refresh_token"]):
            assert secret not in stored

    async def test_native_views_know_people_without_an_address(self, server):
        alice = await server.registers("alice")
        me = await alice.native.get("/api/users/me")
        assert (me["email"], me["name"], me["username"]) == (None, "alice", "alice")


class TestPolicies:
    """auth.registration."""

    async def test_a_closed_server_makes_no_accounts(self, database):
        async with matrix_server(database, config=with_auth(registration="closed")) as server:
            answer = await register(server, 403, username="alice", password=PASSWORD, auth=DUMMY)
            assert answer["errcode"] == "M_FORBIDDEN"
            assert (
                await server.nobody.is_refused(
                    "GET", "v3/register/available", status=403, username="alice"
                )
                == "M_FORBIDDEN"
            )


class TestRegistrationToken:
    """m.login.registration_token, which is an invitation code."""

    async def test_the_flow_asks_for_one(self, token_server):
        told = await register(token_server, 401, username="alice", password=PASSWORD)
        assert told["flows"] == [{"stages": ["m.login.registration_token"]}]

    async def test_a_code_makes_one_account(self, database):
        async with matrix_server(database) as server:
            code = await invitation(server, database)
        async with matrix_server(database, config=with_auth(registration="token")) as server:
            auth = {"type": "m.login.registration_token", "token": code}
            await register(server, username="alice", password=PASSWORD, auth=auth)
            again = await register(server, 401, username="bob", password=PASSWORD, auth=auth)
            assert again["errcode"] == "M_FORBIDDEN"

    async def test_a_wrong_one_makes_none(self, token_server):
        auth = {"type": "m.login.registration_token", "token": "nonsense"}
        told = await register(token_server, 401, username="alice", password=PASSWORD, auth=auth)
        assert told["errcode"] == "M_FORBIDDEN"

    async def test_dummy_is_not_enough(self, token_server):
        told = await register(token_server, 401, username="alice", password=PASSWORD, auth=DUMMY)
        assert told["errcode"] == "M_UNRECOGNIZED"

    async def test_validity_can_be_asked(self, database):
        path = "v1/register/m.login.registration_token/validity"
        async with matrix_server(database) as server:
            code = await invitation(server, database)
            assert await server.nobody.get(path, token=code) == {"valid": True}
            assert await server.nobody.get(path, token="nonsense") == {"valid": False}
            assert await server.nobody.is_refused("GET", path, status=400) == "M_MISSING_PARAM"

    async def test_not_where_nobody_can_register(self, database):
        async with matrix_server(database, config=with_auth(registration="closed")) as server:
            path = "v1/register/m.login.registration_token/validity"
            refusal = await server.nobody.is_refused("GET", path, status=403, token="x")
            assert refusal == "M_FORBIDDEN"


class TestTerms:
    """m.login.terms."""

    @pytest.fixture
    async def strict(self, database: Database) -> AsyncIterator[MatrixServer]:
        terms = (Policy(id="rules", version="1", name="<Rules>", url="https://example.org/r"),)
        async with matrix_server(database, config=with_auth(terms=terms)) as running:
            yield running

    async def test_the_documents_are_told(self, strict):
        told = await register(strict, 401, username="alice", password=PASSWORD)
        assert told["flows"] == [{"stages": ["m.login.terms"]}]
        assert told["params"]["m.login.terms"]["policies"]["rules"]["en"] == {
            "name": "<Rules>",
            "url": "https://example.org/r",
        }

    async def test_who_accepts_them_is_registered(self, strict):
        told = await register(strict, 401, username="alice", password=PASSWORD)
        auth = {"type": "m.login.terms", "session": told["session"]}
        assert await register(strict, username="alice", password=PASSWORD, auth=auth)

    async def test_also_on_a_page(self, strict):
        told = await register(strict, 401, username="alice", password=PASSWORD)
        path = "/_matrix/client/v3/auth/m.login.terms/fallback/web"
        page = await strict.client.get(path, params={"session": told["session"]})
        text = await page.text()
        assert page.content_type == "text/html"
        assert "&lt;Rules&gt;" in text
        assert "onAuthDone" in text
        done = await strict.client.post(path, json={"session": told["session"]})
        assert done.status == 200
        assert await register(strict, auth={"session": told["session"]})

    async def test_what_a_page_shows_is_escaped(self, strict):
        path = "/_matrix/client/v3/auth/m.login.terms/fallback/web"
        page = await strict.client.get(path, params={"session": '"><script>'})
        assert '"><script>' not in await page.text()
        assert "script-src 'nonce-" in page.headers["Content-Security-Policy"]

    async def test_a_request_that_changes_after_its_first_stage_is_refused(self, strict):
        told = await register(strict, 401, username="alice", password=PASSWORD)
        path = "/_matrix/client/v3/auth/m.login.terms/fallback/web"
        await strict.client.post(path, json={"session": told["session"]})
        auth = {"session": told["session"]}
        answer = await register(strict, 403, username="mallory", password=PASSWORD, auth=auth)
        assert answer["errcode"] == "M_FORBIDDEN"

    async def test_an_unknown_session_completes_nothing(self, strict):
        path = "/_matrix/client/v3/auth/m.login.terms/fallback/web"
        assert (await strict.client.post(path, json={"session": "none"})).status == 404
        other = "/_matrix/client/v3/auth/m.login.password/fallback/web"
        assert (await strict.client.post(other, json={"session": "none"})).status == 404


class TestGuests:
    """register with kind=guest, and the module "Guest Access"."""

    @pytest.fixture
    async def hospitable(self, database: Database) -> AsyncIterator[MatrixServer]:
        async with matrix_server(database, config=with_auth(guests=True)) as running:
            yield running

    async def test_by_default_there_are_none(self, server):
        assert (await register(server, 403, kind="guest"))["errcode"] == "M_FORBIDDEN"

    async def test_a_guest_is_told_apart(self, hospitable):
        made = await register(hospitable, kind="guest", device_id="MINE", username="me")
        assert made["device_id"] != "MINE"
        guest = MatrixUser(hospitable.client, made["access_token"])
        assert (await guest.get("v3/account/whoami"))["is_guest"] is True

    async def test_a_guest_may_do_little(self, hospitable):
        made = await register(hospitable, kind="guest")
        guest = MatrixUser(hospitable.client, made["access_token"])
        refusal = await guest.is_refused("GET", "v3/capabilities", status=403)
        assert refusal == "M_GUEST_ACCESS_FORBIDDEN"

    async def test_a_guest_becomes_a_user(self, hospitable):
        made = await register(hospitable, kind="guest")
        token, localpart = made["access_token"], made["user_id"][1:].split(":")[0]
        body = {"guest_access_token": token, "password": PASSWORD, "auth": DUMMY}
        refused = await register(hospitable, 400, username="another", **body)
        assert refused["errcode"] == "M_INVALID_USERNAME"
        assert (await register(hospitable, username=localpart, **body))["user_id"] == (
            made["user_id"]
        )
        user = MatrixUser(hospitable.client, token)
        assert (await user.get("v3/account/whoami"))["is_guest"] is False
        assert await hospitable.nobody.post("v3/login", login(localpart))


class TestUsernameAvailability:
    """checkUsernameAvailability."""

    async def test_a_free_username(self, server):
        answer = await server.nobody.get("v3/register/available", username="alice")
        assert answer == {"available": True}

    @pytest.mark.parametrize(
        ("username", "errcode"), [("alice", "M_USER_IN_USE"), ("a b", "M_INVALID_USERNAME")]
    )
    async def test_another(self, server, username, errcode):
        await server.registers("alice")
        path = "v3/register/available"
        refusal = await server.nobody.is_refused("GET", path, status=400, username=username)
        assert refusal == errcode

    async def test_a_username_must_be_given(self, server):
        refusal = await server.nobody.is_refused("GET", "v3/register/available", status=400)
        assert refusal == "M_MISSING_PARAM"


class TestRequestTokens:
    """requestTokenToRegisterEmail, requestTokenToRegisterMSISDN."""

    async def test_no_address_can_be_validated(self, server):
        secret = {"client_secret": "s", "send_attempt": 1}
        for path, body in (
            ("email", {"email": "alice@example.org"}),
            ("msisdn", {"country": "GB", "phone_number": "07700900001"}),
        ):
            refusal = await server.nobody.is_refused(
                "POST", f"v3/register/{path}/requestToken", {**secret, **body}, status=403
            )
            assert refusal == "M_THREEPID_DENIED"

    async def test_a_body_without_what_is_required_is_refused(self, server):
        path = "v3/register/email/requestToken"
        assert await server.nobody.is_refused("POST", path, {}, status=400) == "M_BAD_JSON"
