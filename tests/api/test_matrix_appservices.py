"""Application services: the Application Service API v1.19, "Client-Server API Extensions"."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeserver.application_services import load_application_services
from homeserver.config import AppservicesConfig, ConfigError, RateLimitsConfig
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

AS_TOKEN = "the token of the application service"
HS_TOKEN = "the token of this server"
REGISTRATION = {
    "id": "irc",
    "url": None,
    "as_token": AS_TOKEN,
    "hs_token": HS_TOKEN,
    "sender_localpart": "_irc_bot",
    "namespaces": {
        "users": [{"exclusive": True, "regex": "@_irc_.*"}],
        "aliases": [{"exclusive": True, "regex": "#_irc_.*"}],
        "rooms": [],
    },
    "rate_limited": False,
}
AS_LOGIN = "m.login.application_service"
GHOST = "@_irc_alice:example.org"


def registration_file(folder: Path, **changes: object) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(json.dumps({**REGISTRATION, **changes}))  # JSON is YAML
    return path


def config_with(*files: Path):
    services = AppservicesConfig(registration_files=files, ping_timeout_seconds=0.2)
    return OPEN.model_copy(update={"appservices": services})


@pytest.fixture
async def server(database: Database, tmp_path: Path) -> AsyncIterator[MatrixServer]:
    config = config_with(registration_file(tmp_path))
    async with matrix_server(database, config=config) as running:
        yield running


@pytest.fixture
def service(server: MatrixServer) -> MatrixUser:
    return MatrixUser(server.client, AS_TOKEN)


async def makes_ghost(service: MatrixUser, name: str = "_irc_alice", **more) -> dict:
    return await service.post("v3/register", {"type": AS_LOGIN, "username": name, **more})


class TestRegistration:
    """ "Server admin style permissions"."""

    async def test_a_user_without_a_password(self, server, service):
        made = await makes_ghost(service, inhibit_login=True)
        assert made == {"user_id": "@_irc_alice:example.org"}

    async def test_and_with_a_session(self, server, service):
        made = await makes_ghost(service)
        ghost = MatrixUser(server.client, made["access_token"])
        assert (await ghost.get("v3/account/whoami"))["device_id"] == made["device_id"]

    @pytest.mark.parametrize(
        ("username", "errcode"),
        [
            ("alice", "M_EXCLUSIVE"),
            ("_irc_bot", "M_USER_IN_USE"),
            ("_irc_ä", "M_INVALID_USERNAME"),
            (None, "M_MISSING_PARAM"),
        ],
    )
    async def test_not_everybody(self, service, username, errcode):
        body = {"type": AS_LOGIN, "username": username}
        assert await service.is_refused("POST", "v3/register", body, status=400) == errcode

    async def test_its_token_is_needed(self, server, service):
        body = {"type": AS_LOGIN, "username": "_irc_alice"}
        refusal = await server.nobody.is_refused("POST", "v3/register", body, status=401)
        assert refusal == "M_MISSING_TOKEN"
        alice = await server.registers("alice")
        refusal = await alice.is_refused("POST", "v3/register", body, status=401)
        assert refusal == "M_UNKNOWN_TOKEN"

    async def test_people_cannot_have_its_names(self, server):
        body = {
            "username": "_irc_bob",
            "password": "correct horse",
            "auth": {"type": "m.login.dummy"},
        }
        refusal = await server.nobody.is_refused("POST", "v3/register", body, status=400)
        assert refusal == "M_EXCLUSIVE"
        refusal = await server.nobody.is_refused(
            "GET", "v3/register/available", status=400, username="_irc_bob"
        )
        assert refusal == "M_EXCLUSIVE"


class TestLogin:
    """C-S API v1.19 "Appservice Login"."""

    def body(self, user: str) -> dict:
        return {"type": AS_LOGIN, "identifier": {"type": "m.id.user", "user": user}}

    async def test_as_a_user_of_its_own(self, server, service):
        await makes_ghost(service, inhibit_login=True)
        answer = await service.post("v3/login", self.body("_irc_alice"))
        ghost = MatrixUser(server.client, answer["access_token"])
        assert (await ghost.get("v3/account/whoami"))["user_id"] == "@_irc_alice:example.org"

    async def test_not_as_somebody_else(self, server, service):
        await server.registers("bob")
        refusal = await service.is_refused("POST", "v3/login", self.body("bob"), status=403)
        assert refusal == "M_EXCLUSIVE"

    async def test_not_as_nobody(self, service):
        refusal = await service.is_refused("POST", "v3/login", self.body("_irc_x"), status=403)
        assert refusal == "M_FORBIDDEN"

    async def test_its_token_is_needed(self, server):
        refusal = await server.nobody.is_refused(
            "POST", "v3/login", self.body("_irc_alice"), status=401
        )
        assert refusal == "M_MISSING_TOKEN"


class TestIdentityAssertion:
    """ "Identity assertion"."""

    async def test_it_is_its_own_user(self, service):
        who = await service.get("v3/account/whoami")
        assert who == {"user_id": "@_irc_bot:example.org", "is_guest": False}

    async def test_it_acts_as_its_users(self, service):
        await makes_ghost(service, inhibit_login=True)
        ghost = "@_irc_alice:example.org"
        who = await service.get("v3/account/whoami", user_id=ghost)
        assert who["user_id"] == ghost
        room = await service.asks("POST", "v3/createRoom", {}, query={"user_id": ghost})
        assert room["room_id"]

    async def test_not_as_others(self, server, service):
        await server.registers("bob")
        for user_id in ("@bob:example.org", "@_irc_nobody:example.org", "nonsense"):
            refusal = await service.is_refused(
                "GET", "v3/account/whoami", status=403, user_id=user_id
            )
            assert refusal == "M_FORBIDDEN"

    async def test_a_device_is_one_of_the_user(self, service):
        await makes_ghost(service, device_id="BRIDGE")
        ghost = {"user_id": "@_irc_alice:example.org"}
        who = await service.get("v3/account/whoami", device_id="BRIDGE", **ghost)
        assert who["device_id"] == "BRIDGE"
        refusal = await service.is_refused(
            "GET", "v3/account/whoami", status=400, device_id="NONE", **ghost
        )
        assert refusal == "M_UNKNOWN_DEVICE"

    async def test_people_cannot_assert_anything(self, server):
        alice = await server.registers("alice")
        who = await alice.get("v3/account/whoami", user_id="@_irc_bot:example.org")
        assert who["user_id"] == alice.user_id

    async def test_it_cannot_manage_the_account(self, service):
        refusal = await service.is_refused("POST", "v3/account/deactivate", {}, status=403)
        assert refusal == "M_FORBIDDEN"


class TestTimestamps:
    """ "Timestamp massaging"."""

    @pytest.mark.parametrize(
        "path", ["send/m.room.message/t", "state/m.room.topic/", "state/m.room.topic"]
    )
    async def test_an_event_happened_when_it_says(self, service, path):
        room = await service.creates_room()
        content = {"msgtype": "m.text", "body": "old", "topic": "old"}
        sent = await service.put(f"v3/rooms/{q(room)}/{path}", content, ts=1_000)
        event = await service.get(f"v3/rooms/{q(room)}/event/{q(sent['event_id'])}")
        assert event["origin_server_ts"] == 1_000
        # "The event will still be appended at the tip of the DAG".
        page = await service.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=1)
        assert page["chunk"][0]["event_id"] == sent["event_id"]

    async def test_memberships_too(self, service):
        """ "callers can use the `PUT /state` endpoint to mimic the behaviour of the other APIs" """
        await makes_ghost(service, inhibit_login=True)
        room, bot, ghost = await service.creates_room(), "@_irc_bot:example.org", GHOST
        times = {}
        for ts, (by, membership) in enumerate(
            [(bot, "invite"), (ghost, "join"), (ghost, "leave"), (bot, "ban"), (bot, "leave")],
            1_000,
        ):
            path = f"v3/rooms/{q(room)}/state/m.room.member/{q(ghost)}"
            sent = await service.put(path, {"membership": membership}, ts=ts, user_id=by)
            event = await service.get(f"v3/rooms/{q(room)}/event/{q(sent['event_id'])}")
            times[by, membership] = event["origin_server_ts"]
        assert list(times.values()) == list(range(1_000, 1_005))

    async def test_a_knock_too(self, service):
        await makes_ghost(service, inhibit_login=True)
        knock = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        room = await service.creates_room(initial_state=[knock])
        path = f"v3/rooms/{q(room)}/state/m.room.member/{q(GHOST)}"
        sent = await service.put(path, {"membership": "knock"}, ts=7, user_id=GHOST)
        event = await service.get(f"v3/rooms/{q(room)}/event/{q(sent['event_id'])}")
        assert event["origin_server_ts"] == 7

    async def test_other_endpoints_know_no_such_thing(self, service):
        await makes_ghost(service, inhibit_login=True)
        room = await service.creates_room(preset="public_chat")
        await service.post(f"v3/join/{q(room)}", user_id=GHOST, ts=7)
        said = await service.says(room, "hello")
        redacted = await service.put(f"v3/rooms/{q(room)}/redact/{q(said)}/t", {}, ts=7)
        page = await service.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=10)
        assert redacted["event_id"] in {each["event_id"] for each in page["chunk"]}
        assert all(each["origin_server_ts"] > 7 for each in page["chunk"])

    async def test_people_cannot_choose(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        sent = await alice.put(f"v3/rooms/{q(room)}/state/m.room.topic/", {"topic": "?"}, ts=7)
        event = await alice.get(f"v3/rooms/{q(room)}/event/{q(sent['event_id'])}")
        assert event["origin_server_ts"] > 7

    @pytest.mark.parametrize("ts", [-1, 2**60, "yesterday", "1.5"])
    async def test_no_time_that_cannot_be(self, service, ts):
        room = await service.creates_room()
        for path in ("send/m.room.message/t", "state/m.room.topic/"):
            refusal = await service.is_refused(
                "PUT", f"v3/rooms/{q(room)}/{path}", {}, status=400, ts=ts
            )
            assert refusal == "M_INVALID_PARAM"


class TestExclusiveAliases:
    ALIAS = "v3/directory/room/%23_irc_lunch:example.org"

    async def test_are_for_their_service_alone(self, server, service):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"room_id": room}
        assert await alice.is_refused("PUT", self.ALIAS, body, status=400) == "M_EXCLUSIVE"
        wanted = {"room_alias_name": "_irc_lunch"}
        refusal = await alice.is_refused("POST", "v3/createRoom", wanted, status=400)
        assert refusal == "M_EXCLUSIVE"
        own = await service.creates_room(room_alias_name="_irc_lunch")
        assert (await alice.get(self.ALIAS))["room_id"] == own
        assert await alice.is_refused("DELETE", self.ALIAS, status=403) == "M_FORBIDDEN"


class TestRateLimits:
    """`rate_limited`."""

    async def asks_often(self, database, path: Path) -> list[int]:
        """The statuses of ten requests as a user of the application service."""
        limits = RateLimitsConfig(requests_per_second=0.01, requests_burst=3)
        config = config_with(path).model_copy(update={"rate_limits": limits})
        async with matrix_server(database, config=config) as server:
            service = MatrixUser(server.client, AS_TOKEN)
            await makes_ghost(service, inhibit_login=True)
            return [
                (
                    await service.request(
                        "GET",
                        "v3/account/whoami",
                        query={"user_id": "@_irc_alice:example.org"},
                    )
                )[0]
                for _ in range(10)
            ]

    async def test_its_users_are_limited_where_it_says_so(self, database, tmp_path):
        path = registration_file(tmp_path, rate_limited=True)
        assert 429 in await self.asks_often(database, path)

    async def test_and_not_where_it_does_not(self, database, tmp_path):
        path = registration_file(tmp_path, rate_limited=False)
        assert set(await self.asks_often(database, path)) == {200}


class TestDevices:
    """ "Device management"."""

    async def test_it_makes_and_deletes_devices_without_proof(self, service):
        path = "v3/devices/NEW"
        assert await service.asks("PUT", path, {"display_name": "Bridge"}, status=201) == {}
        assert await service.asks("PUT", path, {"display_name": "Bridge"}) == {}
        assert (await service.get(path))["display_name"] == "Bridge"
        assert (await service.get("v3/account/whoami", device_id="NEW"))["device_id"] == "NEW"
        assert await service.asks("DELETE", path, {}) == {}
        refusal = await service.is_refused("GET", "v3/account/whoami", status=400, device_id="NEW")
        assert refusal == "M_UNKNOWN_DEVICE"
        assert await service.post("v3/delete_devices", {"devices": ["NEW"]}) == {}


class TestPing:
    """pingAppservice."""

    @pytest.fixture
    async def heard(self) -> list:
        return []

    @pytest.fixture
    async def url(self, heard) -> AsyncIterator[str]:
        async def answer(request: web.Request) -> web.Response:
            heard.append((request.headers["Authorization"], await request.json()))
            status = 403 if heard[-1][1].get("transaction_id") == "bad" else 200
            return web.json_response({}, status=status)

        application = web.Application()
        application.router.add_post("/base/_matrix/app/v1/ping", answer)
        async with TestServer(application) as listening:
            yield str(listening.make_url("/base"))

    async def ping(self, server: MatrixServer, status: int = 200, name: str = "irc", **body):
        user = MatrixUser(server.client, AS_TOKEN)
        return await user.asks("POST", f"v1/appservice/{name}/ping", body, status=status)

    async def test_it_is_reached(self, database, tmp_path, url, heard):
        config = config_with(registration_file(tmp_path, url=url))
        async with matrix_server(database, config=config) as server:
            assert (await self.ping(server, transaction_id="meow"))["duration_ms"] >= 0
            assert heard == [(f"Bearer {HS_TOKEN}", {"transaction_id": "meow"})]
            bad = await self.ping(server, 502, transaction_id="bad")
            assert (bad["errcode"], bad["status"], bad["body"]) == ("M_BAD_STATUS", 403, "{}")

    async def test_it_is_not_there(self, database, tmp_path, unused_port):
        config = config_with(registration_file(tmp_path, url=f"http://127.0.0.1:{unused_port}"))
        async with matrix_server(database, config=config) as server:
            assert (await self.ping(server, 502))["errcode"] == "M_CONNECTION_FAILED"

    async def test_it_does_not_answer(self, database, tmp_path, silent_port):
        config = config_with(registration_file(tmp_path, url=f"http://127.0.0.1:{silent_port}"))
        async with matrix_server(database, config=config) as server:
            assert (await self.ping(server, 504))["errcode"] == "M_CONNECTION_TIMEOUT"

    async def test_it_wants_to_hear_nothing(self, server):
        assert (await self.ping(server, 400))["errcode"] == "M_URL_NOT_SET"

    async def test_only_its_own_token_asks(self, server):
        assert (await self.ping(server, 403, name="other"))["errcode"] == "M_FORBIDDEN"
        alice = await server.registers("alice")
        refusal = await alice.is_refused("POST", "v1/appservice/irc/ping", {}, status=403)
        assert refusal == "M_FORBIDDEN"

    @pytest.fixture
    def unused_port(self) -> int:
        """Nobody listens there any more."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    @pytest.fixture
    def silent_port(self) -> Iterator[int]:
        """Connections are made there, and nothing follows."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            yield silent.getsockname()[1]


class TestRegistrationFiles:
    """ "Registration"."""

    @pytest.mark.parametrize(
        "change",
        [
            {"id": ""},
            {"as_token": 5},
            {"url": "ftp://example.org"},
            {"sender_localpart": "Not A Localpart"},
            {"namespaces": {"users": [{"exclusive": True, "regex": "("}]}},
            {"namespaces": None},
        ],
    )
    def test_what_cannot_be_is_refused_with_its_place(self, tmp_path, change):
        path = registration_file(tmp_path, **change)
        with pytest.raises(ConfigError, match=path.name):
            load_application_services([path], ServerName("example.org"))

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_application_services([tmp_path / "none.yaml"], ServerName("example.org"))

    def test_what_is_no_yaml_is_told(self, tmp_path):
        path = tmp_path / "bad.yaml"
        path.write_text("a: [")
        with pytest.raises(ConfigError, match="not YAML"):
            load_application_services([path], ServerName("example.org"))

    def test_two_may_not_have_the_same_token(self, tmp_path):
        files = [registration_file(tmp_path), registration_file(tmp_path, id="other")]
        with pytest.raises(ConfigError):
            load_application_services(files, ServerName("example.org"))
