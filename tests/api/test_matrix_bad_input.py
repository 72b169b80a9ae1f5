"""Bad input: a clear Matrix error, nothing stored, and never a mistake of the server."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from homeserver.config import Config
from homeserver.storage.database import Database
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

TEXT = {"msgtype": "m.text", "body": "hello"}
LONG = "x" * 256
"""A character more than names of things may have."""

_txn_ids = (f"bad-{number}" for number in count(1))


class Room:
    """Alice's room, which nothing bad gets into."""

    def __init__(self, alice: MatrixUser, room_id: str, database: Database) -> None:
        self.alice = alice
        self.room_id = room_id
        self.path = f"v3/rooms/{q(room_id)}"
        self._database = database

    async def events(self) -> int:
        async with self._database.connection() as db:
            return int(await db.fetchval("SELECT count(*) FROM events"))

    async def refuses(self, method: str, path: str, body: Any, **query: Any) -> tuple[int, str]:
        """Status and errcode; what is stored is what was stored before."""
        before = await self.events()
        status, answer = await self.alice.request(method, path, body, query=query)
        assert await self.events() == before
        assert isinstance(answer["error"], str)
        return status, answer["errcode"]

    async def refuses_event(self, content: Any, event_type: str = "m.room.message") -> Any:
        path = f"{self.path}/send/{q(event_type)}/{next(_txn_ids)}"
        return await self.refuses("PUT", path, content)

    async def refuses_state(self, content: Any, event_type: str, state_key: str = "") -> Any:
        path = f"{self.path}/state/{q(event_type)}/{q(state_key)}"
        return await self.refuses("PUT", path, content)


@pytest.fixture
async def room(server: MatrixServer, database: Database) -> Room:
    alice = await server.registers("alice")
    return Room(alice, await alice.creates_room(name="Team"), database)


class TestBodies:
    """C-S API v1.19 "Standard error response": M_NOT_JSON, M_BAD_JSON."""

    @pytest.mark.parametrize("body", [b"", b"{", b"hello", b"{'a': 1}", b"\xff\xfe", b'{"a": NaN}'])
    async def test_what_is_not_json_is_refused(self, room, body):
        assert await room.refuses_event(body) == (400, "M_NOT_JSON")

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
    async def test_what_is_no_object_is_refused(self, room, body):
        assert await room.refuses_event(body) == (400, "M_BAD_JSON")

    async def test_a_body_that_is_too_large_is_refused(self, room):
        assert await room.refuses_event({"body": "x" * 2**20}) == (413, "M_TOO_LARGE")

    @pytest.mark.parametrize("opening", [b'{"a":', b'{"a":['])
    async def test_json_that_is_nested_too_deeply_is_refused(self, room, opening):
        closing = b"]}" if opening.endswith(b"[") else b"}"
        body = opening * 20_000 + b"1" + closing * 20_000
        status, code = await room.refuses_event(body)
        assert (status, code) in {(400, "M_NOT_JSON"), (400, "M_BAD_JSON")}

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("v3/createRoom", {"name": 1}),
            ("v3/createRoom", {"invite": "@bob:example.org"}),
            ("v3/createRoom", {"initial_state": [{"type": 5}]}),
            ("v3/createRoom", {"preset": "castle"}),
            ("v3/createRoom", {"power_level_content_override": []}),
            ("v3/login", {"type": 1}),
            ("v3/register", {"username": {}, "auth": {"type": "m.login.dummy"}}),
            ("v3/search", {"search_categories": []}),
            ("v3/user_directory/search", {"search_term": 1}),
            ("v3/publicRooms", {"limit": "many"}),
            ("v3/pushers/set", {"kind": "http"}),
        ],
    )
    async def test_wrong_types_are_refused(self, room, path, body):
        status, code = await room.refuses("POST", path, body)
        assert (status, code) in {
            (400, "M_BAD_JSON"),
            (400, "M_INVALID_PARAM"),
            (400, "M_MISSING_PARAM"),
        }


class TestEvents:
    """C-S API v1.19 "Size limits", appendices "Canonical JSON"."""

    async def test_an_event_of_more_than_65536_bytes_is_refused(self, room):
        assert await room.refuses_event({**TEXT, "body": "x" * 65_536}) == (413, "M_TOO_LARGE")
        assert await room.refuses_state({"topic": "x" * 65_536}, "m.room.topic") == (
            413,
            "M_TOO_LARGE",
        )

    async def test_an_event_that_just_fits_is_taken(self, room):
        await room.alice.sends(room.room_id, "m.room.message", {**TEXT, "body": "x" * 64_000})

    async def test_a_type_of_more_than_255_bytes_is_refused(self, room):
        status, code = await room.refuses_event(TEXT, event_type=LONG)
        assert (status, code) in {(400, "M_INVALID_PARAM"), (413, "M_TOO_LARGE")}
        assert (await room.refuses_state({}, "ü" * 128))[0] == status

    async def test_a_state_key_of_more_than_255_bytes_is_refused(self, room):
        status, code = await room.refuses_state({}, "org.example.thing", LONG)
        assert (status, code) in {(400, "M_INVALID_PARAM"), (413, "M_TOO_LARGE")}

    @pytest.mark.parametrize(
        "number", ["1.5", "1e-3", "-0.0", "9007199254740992", "-9007199254740992"]
    )
    async def test_numbers_that_canonical_json_has_not_are_refused(self, room, number):
        body = f'{{"msgtype": "m.text", "body": "n", "org.example.number": [{number}]}}'.encode()
        assert await room.refuses_event(body) == (400, "M_BAD_JSON")
        assert await room.refuses("PUT", f"{room.path}/state/org.example.n/", body) == (
            400,
            "M_BAD_JSON",
        )

    async def test_nesting_that_a_body_may_have_is_refused_or_kept(self, room):
        deep: Any = 1
        for _ in range(200):
            deep = {"a": deep}
        path = f"{room.path}/send/org.example.deep/{next(_txn_ids)}"
        status, answer = await room.alice.request("PUT", path, {"deep": deep})
        assert status in {200, 400}
        if status == 200:
            event = await room.alice.get(f"{room.path}/event/{q(answer['event_id'])}")
            assert event["content"] == {"deep": deep}

    @pytest.mark.parametrize(
        "content",
        [
            {"users": {"@alice:example.org": "100"}},
            {"users": []},
            {"events": {"m.room.name": None}},
            {"ban": {}},
            {"users": {"not a user": 1}},
        ],
    )
    async def test_power_levels_that_are_none_are_refused(self, room, content):
        status, code = await room.refuses_state(content, "m.room.power_levels")
        assert (status, code) in {(400, "M_BAD_JSON"), (403, "M_FORBIDDEN")}

    @pytest.mark.parametrize(
        ("state_key", "content"),
        [
            ("@alice:example.org", {"membership": "king"}),
            ("@alice:example.org", {}),
            ("alice", {"membership": "join"}),
            ("@bob:example.org", {"membership": 1}),
        ],
    )
    async def test_memberships_that_are_none_are_refused(self, room, state_key, content):
        status, code = await room.refuses_state(content, "m.room.member", state_key)
        assert status in {400, 403}
        assert code in {"M_BAD_JSON", "M_FORBIDDEN", "M_INVALID_PARAM"}

    async def test_a_text_with_a_nul_or_a_lone_surrogate_is_no_mistake_of_the_server(self, room):
        path = f"{room.path}/send/m.room.message/{next(_txn_ids)}"
        status, _ = await room.alice.request("PUT", path, {**TEXT, "body": "a\0b"})
        assert status in {200, 400}
        body = rb'{"msgtype": "m.text", "body": "\ud800"}'
        assert (await room.refuses_event(body))[0] == 400


class TestNames:
    """Rooms, events and people that are not there, or cannot be."""

    @pytest.mark.parametrize(
        "room_id", ["!nowhere:example.org", "!" + "A" * 43, "nonsense", "!a\0b", "!" + "x" * 300]
    )
    async def test_unknown_rooms_are_refused(self, room, room_id):
        path = f"v3/rooms/{q(room_id)}"
        for method, rest, body in (
            ("PUT", "send/m.room.message/1", TEXT),
            ("PUT", "state/m.room.topic/", {"topic": "t"}),
            ("GET", "state", None),
            ("GET", "messages?dir=b", None),
            ("GET", "members", None),
            ("POST", "join", {}),
            ("POST", "leave", {}),
            ("POST", "invite", {"user_id": "@alice:example.org"}),
            ("POST", "receipt/m.read/$e", {}),
            ("PUT", f"typing/{q(room.alice.user_id)}", {"typing": True, "timeout": 1}),
        ):
            status, code = await room.refuses(method, f"{path}/{rest}", body)
            assert status in {400, 403, 404}, (rest, status)
            assert code in {"M_FORBIDDEN", "M_NOT_FOUND", "M_INVALID_PARAM"}, (rest, code)

    @pytest.mark.parametrize("event_id", ["$nothing", "nonsense", "$" + "x" * 300, "$a\0b"])
    async def test_unknown_events_are_refused(self, room, event_id):
        for method, path, body in (
            ("GET", f"{room.path}/event/{q(event_id)}", None),
            ("GET", f"{room.path}/context/{q(event_id)}", None),
            ("PUT", f"{room.path}/redact/{q(event_id)}/{next(_txn_ids)}", {}),
            ("GET", f"v1/rooms/{q(room.room_id)}/relations/{q(event_id)}", None),
        ):
            status, code = await room.refuses(method, path, body)
            assert status in {400, 403, 404}, (path, status)
            assert code in {"M_NOT_FOUND", "M_INVALID_PARAM", "M_FORBIDDEN"}, (path, code)

    @pytest.mark.parametrize(
        "user_id", ["bob", "@bob", "@bob:", "@:", "@" + "x" * 300 + ":example.org", "@a\0:b"]
    )
    async def test_users_that_cannot_be_are_refused(self, room, user_id):
        for path in ("invite", "kick", "ban", "unban"):
            status, code = await room.refuses("POST", f"{room.path}/{path}", {"user_id": user_id})
            assert status in {400, 403, 404}
            assert code in {"M_INVALID_PARAM", "M_BAD_JSON", "M_FORBIDDEN", "M_NOT_FOUND"}


class TestTokens:
    @pytest.mark.parametrize("token", ["nonsense", "ü", "a.b.c", "x" * 4_000, " "])
    async def test_bad_tokens_are_refused(self, server, token):
        answer = await server.client.get(
            "/_matrix/client/v3/account/whoami", params={"access_token": token}
        )
        assert answer.status == 401
        assert (await answer.json())["errcode"] in {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"}


class TestGuests:
    """C-S API v1.19 "Guest Access": what is not listed there is not for them."""

    @pytest.fixture
    async def guest(self, database: Database) -> AsyncIterator[MatrixUser]:
        settings = OPEN.model_dump()
        settings["auth"]["guests"] = True
        config = Config.model_validate(settings)
        async with matrix_server(database, config=config) as running:
            path = "/_matrix/client/v3/register"
            answer = await running.client.post(path, params={"kind": "guest"}, json={})
            body = await answer.json()
            assert answer.status == 200, body
            yield MatrixUser(running.client, body["access_token"], body["user_id"])

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "v3/createRoom", {}),
            ("POST", "v3/delete_devices", {"devices": []}),
            ("POST", "v3/account/password", {"new_password": "a new password"}),
            ("POST", "v3/search", {"search_categories": {}}),
            ("POST", "v3/user_directory/search", {"search_term": "a"}),
            ("PUT", "v3/pushrules/global/content/x", {"actions": [], "pattern": "x"}),
        ],
    )
    async def test_guests_are_told_to_register(self, guest, method, path, body):
        assert await guest.is_refused(method, path, body, status=403) == "M_GUEST_ACCESS_FORBIDDEN"


class TestAmounts:
    async def test_ten_thousand_invitations_make_a_room_or_a_clear_error(self, room):
        invited = [f"@nobody{number}:example.org" for number in range(10_000)]
        status, code = await room.refuses("POST", "v3/createRoom", {"invite": invited})
        assert 400 <= status < 500
        assert code.startswith("M_")

    @pytest.mark.parametrize(
        "filter_",
        [
            {"room": {"rooms": [f"!room{number}:example.org" for number in range(20_000)]}},
            {"room": {"timeline": {"limit": 10**9, "types": ["m.*"] * 10_000}}},
            {"room": {"timeline": {"types": ["*" * 5_000]}}},
            {"event_fields": ["a." * 5_000 + "a"]},
        ],
        ids=["many rooms", "many types", "many stars", "a long field"],
    )
    async def test_filters_of_absurd_size_are_refused_or_obeyed(self, room, filter_):
        await room.alice.says(room.room_id, "hello")
        path = f"v3/user/{q(room.alice.user_id)}/filter"
        status, answer = await room.alice.request("POST", path, filter_)
        if status == 200:
            async with asyncio.timeout(30):
                await room.alice.get("v3/sync", filter=answer["filter_id"])
        else:
            assert status in {400, 413}
            assert answer["errcode"].startswith("M_")

    @pytest.mark.parametrize(
        "filter_", ["{", "[]", '{"room": 1}', '{"room": {"timeline": {"limit": "x"}}}', "999999"]
    )
    async def test_filters_that_are_none_are_refused(self, room, filter_):
        status, code = await room.refuses("GET", "v3/sync", None, filter=filter_)
        assert status in {400, 404}
        assert code.startswith("M_")

    @pytest.mark.parametrize("since", ["nonsense", "s", "s" + "9" * 400, "s_\0", "-1", "ü"])
    async def test_tokens_of_no_sync_are_refused(self, room, since):
        status, code = await room.refuses("GET", "v3/sync", None, since=since)
        assert (status, code) == (400, "M_INVALID_PARAM")
        path = f"{room.path}/messages"
        status, code = await room.refuses("GET", path, None, dir="b", **{"from": since})
        assert (status, code) == (400, "M_INVALID_PARAM")

    @pytest.mark.parametrize("limit", ["-1", "x", "1.5", "9" * 30])
    async def test_limits_that_are_none_are_no_mistake_of_the_server(self, room, limit):
        for path in (f"{room.path}/messages?dir=b", "v3/publicRooms?", "v3/notifications?"):
            status, answer = await room.alice.request("GET", f"{path}&limit={limit}")
            assert status in {200, 400}, (path, answer)

    async def test_keys_of_absurd_size_are_refused(self, room):
        me = q(room.alice.user_id)
        key = "k" * 70_000
        for method, path, body in (
            ("PUT", f"v3/user/{me}/account_data/{LONG * 8}", {}),
            ("PUT", f"v3/profile/{me}/displayname", {"displayname": key}),
            ("PUT", f"v3/profile/{me}/{LONG}", {LONG: 1}),
            ("PUT", f"{room.path}/send/m.room.message/{'t' * 4_000}", json.dumps(TEXT).encode()),
        ):
            status, answer = await room.alice.request(method, path, body)
            assert status in {200, 400, 413, 414}, (path[:40], answer)
