"""Sessions over the Matrix API: login.yaml, login_token.yaml, refresh.yaml, logout.yaml."""

from collections.abc import AsyncIterator

import pytest

from clientapi.matrix.errors import matrix_error
from homeserver.actions.tokens import Client
from homeserver.config import RateLimitsConfig, ServerConfig
from homeserver.errors import NotAuthenticated, TokenExpired
from homeserver.storage.database import Database
from tests.support.api_server import OPEN, ApiServer
from tests.support.api_server import PASSWORD as NATIVE_PASSWORD
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server
from tests.support.office import CHEAP, DAY_MS, Office, everything_in
from tests.support.queries import counted

PASSWORD = "correct horse"


@pytest.fixture
async def token_server(database: Database) -> AsyncIterator[MatrixServer]:
    auth = OPEN.auth.model_copy(update={"login_tokens": True})
    config = OPEN.model_copy(update={"auth": auth})
    async with matrix_server(database, config=config) as running:
        yield running


def password_login(user: str = "alice", password: str = PASSWORD, **more: object) -> dict:
    identifier = {"type": "m.id.user", "user": user}
    return {
        "type": "m.login.password",
        "identifier": identifier,
        "password": password,
        **more,
    }


async def logs_in(server: MatrixServer, **body) -> MatrixUser:
    answer = await server.nobody.post("v3/login", password_login(**body))
    return MatrixUser(server.client, answer["access_token"], answer["user_id"])


class TestGetLoginFlows:
    async def test_passwords_and_application_services(self, server):
        flows = (await server.nobody.get("v3/login"))["flows"]
        assert flows == [{"type": "m.login.password"}, {"type": "m.login.application_service"}]

    async def test_tokens_where_they_are_on(self, token_server):
        flows = (await token_server.nobody.get("v3/login"))["flows"]
        assert {"type": "m.login.token", "get_login_token": True} in flows


class TestLogin:
    """login."""

    @pytest.mark.parametrize("user", ["alice", "@alice:example.org", "ALICE"])
    async def test_by_username_or_user_id(self, server, user):
        await server.registers("alice")
        alice = await logs_in(server, user=user)
        assert alice.user_id == "@alice:example.org"

    async def test_by_the_deprecated_field(self, server):
        await server.registers("alice")
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        assert (await server.nobody.post("v3/login", body))["device_id"]

    async def test_by_the_address_of_a_native_account(self, server):
        await ApiServer(server.client).registers("alice")
        address = {"medium": "email", "address": "Alice@example.org"}
        for named in ({"identifier": {"type": "m.id.thirdparty", **address}}, address):
            body = {"type": "m.login.password", "password": NATIVE_PASSWORD, **named}
            assert (await server.nobody.post("v3/login", body))["user_id"] == "@alice:example.org"

    @pytest.mark.parametrize(
        "identifier",
        [
            {"type": "m.id.thirdparty", "medium": "email", "address": "no@where.org"},
            {"type": "m.id.thirdparty", "medium": "msisdn", "address": "447700900001"},
            {"type": "m.id.phone", "country": "GB", "phone": "07700900001"},
            {"type": "m.id.user", "user": "nobody"},
            {"type": "m.id.user", "user": "@alice:elsewhere.org"},
        ],
    )
    async def test_an_unknown_identifier_is_forbidden(self, server, identifier):
        await server.registers("alice")
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        assert await server.nobody.is_refused("POST", "v3/login", body, status=403) == (
            "M_FORBIDDEN"
        )

    async def test_a_wrong_password_is_forbidden(self, server):
        await server.registers("alice")
        body = password_login(password="wrong horse")
        assert await server.nobody.is_refused("POST", "v3/login", body, status=403) == (
            "M_FORBIDDEN"
        )

    @pytest.mark.parametrize(
        ("body", "errcode"),
        [
            ({}, "M_BAD_JSON"),
            ({"type": 5}, "M_BAD_JSON"),
            ({"type": "m.login.nonsense"}, "M_UNKNOWN"),
            ({"type": "m.login.token", "token": "x"}, "M_UNKNOWN"),
            ({"type": "m.login.password", "password": "x"}, "M_MISSING_PARAM"),
            ({"type": "m.login.password", "user": "alice"}, "M_MISSING_PARAM"),
            (
                {"type": "m.login.password", "identifier": {"type": "m.id.x"}, "password": "x"},
                "M_UNKNOWN",
            ),
            ({"type": "m.login.password", "identifier": {}, "password": "x"}, "M_BAD_JSON"),
            (password_login(device_id="x" * 300), "M_INVALID_PARAM"),
            (password_login(device_id="a\0b"), "M_INVALID_PARAM"),
        ],
    )
    async def test_what_cannot_be_a_login_is_refused(self, server, body, errcode):
        await server.registers("alice")
        assert await server.nobody.is_refused("POST", "v3/login", body, status=400) == errcode

    async def test_a_known_device_is_the_same_device_with_another_token(self, server):
        await server.registers("alice")
        first = await logs_in(server, device_id="PHONE", initial_device_display_name="Mine")
        second = await logs_in(
            server, device_id="PHONE", initial_device_display_name="Another name"
        )
        refusal = await first.is_refused("GET", "v3/account/whoami", status=401)
        assert refusal == "M_UNKNOWN_TOKEN"
        devices = (await second.get("v3/devices"))["devices"]
        phones = [each for each in devices if each["device_id"] == "PHONE"]
        assert [each["display_name"] for each in phones] == ["Mine"]

    async def test_the_device_of_another_user_is_not_touched(self, server):
        await server.registers("alice")
        await server.registers("bob")
        bob = await logs_in(server, user="bob", device_id="PHONE")
        await logs_in(server, device_id="PHONE")
        assert await bob.get("v3/account/whoami")

    async def test_the_address_of_the_server_is_told_where_it_is_known(self, database):
        place = ServerConfig(public_url="https://matrix.example.org")
        async with matrix_server(database, config=OPEN.model_copy(update={"server": place})) as s:
            await s.registers("alice")
            answer = await s.nobody.post("v3/login", password_login())
            assert answer["well_known"] == {
                "m.homeserver": {"base_url": "https://matrix.example.org"}
            }

    async def test_guessing_is_limited(self, database):
        limits = RateLimitsConfig(login_failures_burst=2, login_failures_per_minute=0.01)
        config = OPEN.model_copy(update={"rate_limits": limits})
        async with matrix_server(database, config=config) as server:
            await server.registers("alice")
            wrong = password_login(password="wrong horse")
            for _ in range(2):
                await server.nobody.is_refused("POST", "v3/login", wrong, status=403)
            refusal = await server.nobody.is_refused(
                "POST", "v3/login", password_login(), status=429
            )
            assert refusal == "M_LIMIT_EXCEEDED"

    async def test_it_costs_two_statements(self, server, database):
        await server.registers("alice")
        async with counted(database) as statements:
            await logs_in(server)
        assert len(statements) == 2

    async def test_the_token_works_on_the_native_side(self, server):
        await server.registers("alice")
        alice = await logs_in(server, device_id="PHONE", initial_device_display_name="Mine")
        sessions = await alice.native.get("/api/sessions")
        assert [each["name"] for each in sessions if each["current"]] == ["Mine"]


class TestTokensWithoutRefresh:
    """A client that cannot refresh stays logged in for as long as it is used."""

    @pytest.fixture
    def office(self, database) -> Office:
        return Office(database, CHEAP)

    async def test_its_token_does_not_expire_while_it_is_used(self, office):
        await office.registers("Alice")
        grant = await office.accounts.login.login(
            "alice", NATIVE_PASSWORD, Client(), refreshable=False
        )
        assert (grant.expires_in_s, grant.refresh_token) == (None, None)
        for _ in range(5):
            office.clock.ms += 60 * DAY_MS
            assert await office.is_welcome(grant)
            await office.accounts.sightings.flush()
            await office.accounts.upkeep.once()

    async def test_its_session_ends_when_it_is_not_used(self, office):
        await office.registers("Alice")
        grant = await office.accounts.login.login(
            "alice", NATIVE_PASSWORD, Client(), refreshable=False
        )
        office.clock.ms += 91 * DAY_MS
        assert not await office.is_welcome(grant)


class TestRefresh:
    """refresh."""

    async def test_new_tokens_for_old(self, server):
        await server.registers("alice")
        answer = await server.nobody.post("v3/login", password_login(refresh_token=True))
        token = {"refresh_token": answer["refresh_token"]}
        fresh = await server.nobody.post("v3/refresh", token)
        assert fresh["expires_in_ms"] > 0
        again = await server.nobody.post("v3/refresh", token)
        assert again["refresh_token"] == fresh["refresh_token"]
        alice = MatrixUser(server.client, fresh["access_token"])
        who = await alice.get("v3/account/whoami")
        assert who["device_id"] == answer["device_id"]
        refusal = await server.nobody.is_refused("POST", "v3/refresh", token, status=401)
        assert refusal == "M_UNKNOWN_TOKEN"

    @pytest.mark.parametrize("token", ["", "x", "é", "A" * 64])
    async def test_an_unknown_token_is_refused(self, server, token):
        refusal = await server.nobody.is_refused(
            "POST", "v3/refresh", {"refresh_token": token}, status=401
        )
        assert refusal == "M_UNKNOWN_TOKEN"

    async def test_a_body_without_one_is_refused(self, server):
        assert await server.nobody.is_refused("POST", "v3/refresh", {}, status=400) == "M_BAD_JSON"

    def test_who_can_refresh_is_told_to_keep_what_he_has(self):
        expired = matrix_error(TokenExpired("It has expired."))
        assert expired.body()["soft_logout"] is True
        assert (expired.status, expired.errcode) == (401, "M_UNKNOWN_TOKEN")
        assert "soft_logout" not in matrix_error(NotAuthenticated("Over.")).body()


class TestLogout:
    """logout, logout_all."""

    async def test_it_ends_this_session_and_its_device(self, server):
        await server.registers("alice")
        phone = await logs_in(server, device_id="PHONE")
        laptop = await logs_in(server, device_id="LAPTOP")
        assert await phone.post("v3/logout") == {}
        refusal = await phone.is_refused("GET", "v3/account/whoami", status=401)
        assert refusal == "M_UNKNOWN_TOKEN"
        devices = (await laptop.get("v3/devices"))["devices"]
        assert "PHONE" not in {each["device_id"] for each in devices}

    async def test_or_all(self, server):
        alice = await server.registers("alice")
        phone = await logs_in(server)
        assert await phone.post("v3/logout/all") == {}
        for one in (alice, phone):
            assert await one.is_refused("GET", "v3/devices", status=401) == "M_UNKNOWN_TOKEN"

    async def test_an_empty_body_is_fine(self, server):
        alice = await server.registers("alice")
        assert await alice.asks("POST", "v3/logout", b"") == {}

    async def test_nobody_is_logged_out(self, server):
        for path in ("v3/logout", "v3/logout/all"):
            assert await server.nobody.is_refused("POST", path, status=401) == "M_MISSING_TOKEN"


class TestLoginTokens:
    """generateLoginToken, and logging in with what it gives."""

    async def token(self, alice: MatrixUser) -> str:
        auth = {"type": "m.login.password", "password": PASSWORD}
        answer = await alice.post("v1/login/get_token", {"auth": auth})
        assert answer["expires_in_ms"] == 120_000
        return answer["login_token"]

    async def test_another_client_logs_in_once(self, token_server, database):
        alice = await token_server.registers("alice")
        token = await self.token(alice)
        assert token not in await everything_in(database)
        body = {"type": "m.login.token", "token": token}
        assert (await token_server.nobody.post("v3/login", body))["user_id"] == alice.user_id
        refusal = await token_server.nobody.is_refused("POST", "v3/login", body, status=403)
        assert refusal == "M_FORBIDDEN"

    async def test_one_proves_who_one_is(self, token_server):
        alice = await token_server.registers("alice")
        told = await alice.asks("POST", "v1/login/get_token", {}, status=401)
        assert told["flows"] == [{"stages": ["m.login.password"]}]
        auth = {"type": "m.login.password", "password": "wrong horse"}
        told = await alice.asks("POST", "v1/login/get_token", {"auth": auth}, status=401)
        assert told["errcode"] == "M_FORBIDDEN"

    async def test_a_token_is_needed(self, token_server):
        body = {"type": "m.login.token"}
        refusal = await token_server.nobody.is_refused("POST", "v3/login", body, status=400)
        assert refusal == "M_MISSING_PARAM"

    async def test_by_default_there_are_none(self, server):
        alice = await server.registers("alice")
        refusal = await alice.is_refused("POST", "v1/login/get_token", {}, status=404)
        assert refusal == "M_UNRECOGNIZED"


class TestFallback:
    """C-S API v1.19 "Login Fallback"."""

    @pytest.mark.parametrize("end", ["", "/", "/?device_id=PHONE"])
    async def test_a_page_logs_in(self, server, end):
        page = await server.client.get(f"/_matrix/static/client/login{end}")
        assert page.content_type == "text/html"
        assert "matrixLogin.onLogin" in await page.text()


class TestSingleSignOn:
    """redirectToSSO, redirectToIdP."""

    async def test_there_is_none(self, server):
        for path in ("v3/login/sso/redirect", "v3/login/sso/redirect/github"):
            refusal = await server.nobody.is_refused(
                "GET", path, status=404, redirectUrl="https://app.example.org"
            )
            assert refusal == "M_UNRECOGNIZED"

    async def test_where_to_go_back_must_be_said(self, server):
        refusal = await server.nobody.is_refused("GET", "v3/login/sso/redirect", status=400)
        assert refusal == "M_MISSING_PARAM"


class TestAuthMetadata:
    """getAuthMetadata."""

    async def test_there_is_no_oauth_api(self, server):
        refusal = await server.nobody.is_refused("GET", "v1/auth_metadata", status=404)
        assert refusal == "M_UNRECOGNIZED"
