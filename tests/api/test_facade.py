"""The REST façade alone: parsing, errors, headers, limits."""

import json
from contextlib import asynccontextmanager
from ipaddress import ip_network
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from clientapi.native.api_docs import add_docs
from clientapi.native.rest.endpoint import Existing, Private, Public
from homeserver.config import RateLimitsConfig
from homeserver.errors import NotAllowed, Unavailable
from schema.operations import accounts, messages, people, rooms
from schema.wire.errors import ErrorBody
from tests.support.facade import ALICE, MAX_BODY_BYTES, TOKEN, Facade

ROOM = "0b7c2f3e-9a4d-5c1e-8f60-1a2b3c4d5e6f"
MESSAGES = f"/api/rooms/{ROOM}/messages"
APP = "https://app.example.com"

STRICT = RateLimitsConfig(
    requests_per_second=0.001,
    requests_burst=2,
    address_requests_per_second=0.001,
    address_requests_burst=3,
)


class Told:
    """Endpoints that keep what they were told."""

    def __init__(self) -> None:
        self.calls = []
        self.answer = {"id": ROOM}
        self.error = None

    def endpoints(self):
        return [
            Public(accounts.LOGIN, self.hear),
            Private(messages.LIST_MESSAGES, self.hear),
            Private(messages.SEND_MESSAGE, self.hear),
            Private(messages.DELETE_MESSAGE, self.hear),
            Private(messages.ADD_REACTION, self.hear),
            Private(rooms.CREATE_ROOM, self.hear),
            Private(rooms.MARK_READ, self.hear),
            Private(people.GET_USER, self.hear),
        ]

    async def hear(self, call, by=None):
        self.calls.append((call, by))
        if self.error is not None:
            raise self.error
        return self.answer

    @property
    def call(self):
        return self.calls[-1][0]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def client(told):
    async with Facade().client(told.endpoints()) as client:
        yield client


@asynccontextmanager
async def asking(told, **settings):
    async with Facade(**settings).client(told.endpoints()) as client:
        yield client


async def problem(response, status, code):
    """The body of an error, which must be as documented."""
    assert response.status == status
    assert response.content_type == "application/json"
    body = await response.json()
    assert body["code"] == code
    ErrorBody.model_validate_json(json.dumps(body), extra="forbid")
    return body


class TestAccess:
    async def test_a_token_says_who_asks(self, client, told):
        assert (await client.get(MESSAGES)).status == 200
        assert told.calls[-1][1] is ALICE

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
    async def test_the_scheme_may_be_written_in_any_case(self, client, scheme):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert (await client.get(MESSAGES, headers=headers)).status == 200

    @pytest.mark.parametrize(
        "value", ["", "Bearer", "Bearer  ", f"Basic {TOKEN}", TOKEN, "Bearer x"]
    )
    async def test_without_a_valid_token_the_answer_is_401(self, client, value, told):
        response = await client.get(MESSAGES, headers={"Authorization": value})
        await problem(response, 401, "UNAUTHENTICATED")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert not told.calls

    async def test_a_login_needs_none(self, client):
        body = {"email": "a@example.com", "password": "b"}
        response = await client.post("/api/auth/login", json=body, headers={"Authorization": ""})
        assert response.status == 200

    async def test_a_stranger_does_not_learn_whether_his_request_is_well_formed(self, client):
        response = await client.post(MESSAGES, data="{", headers={"Authorization": ""})
        await problem(response, 401, "UNAUTHENTICATED")


class TestPaths:
    async def test_an_unknown_path_is_not_found(self, client):
        await problem(await client.get("/api/nothing"), 404, "NOT_FOUND")

    async def test_a_known_path_says_which_methods_it_has(self, client):
        response = await client.put(MESSAGES)
        await problem(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["Allow"] == "GET, HEAD, POST"

    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [
            ("GET", "/api/rooms/nothing/messages", "INVALID_ROOM"),
            ("DELETE", "/api/messages/nothing", "INVALID_MESSAGE"),
            ("GET", "/api/users/nobody", "INVALID_USER"),
        ],
    )
    async def test_an_identifier_that_cannot_be_one_is_not_found(self, client, method, path, code):
        await problem(await client.request(method, path), 404, code)

    async def test_a_reaction_may_be_any_emoji(self, client, told):
        path = f"/api/messages/{ROOM}/reactions/%F0%9F%91%8D%F0%9F%8F%BD"
        assert (await client.put(path)).status == 200
        assert told.call.path.key == "👍🏽"

    async def test_a_reaction_may_hold_a_slash(self, client, told):
        await client.put(f"/api/messages/{ROOM}/reactions/1%2F2")
        assert told.call.path.key == "1/2"

    async def test_nul_is_no_reaction(self, client):
        response = await client.put(f"/api/messages/{ROOM}/reactions/%00")
        assert (await problem(response, 400, "INVALID_INPUT"))["field"] == "key"

    async def test_head_is_get_without_a_body(self, client):
        response = await client.head(MESSAGES)
        assert response.status == 200
        assert await response.read() == b""
        assert int(response.headers["Content-Length"]) > 0


class TestQueries:
    async def test_a_page_has_fifty_entries_unless_told(self, client, told):
        await client.get(MESSAGES)
        assert (told.call.query.limit, told.call.query.before) == (50, None)

    async def test_parameters_are_understood(self, client, told):
        await client.get(f"{MESSAGES}?limit=7&before={ROOM}&more=yes")
        assert (told.call.query.limit, told.call.query.before) == (7, UUID(ROOM))

    @pytest.mark.parametrize("limit", ["0", "201", "ten"])
    async def test_a_limit_out_of_range_is_refused(self, client, limit):
        body = await problem(await client.get(f"{MESSAGES}?limit={limit}"), 400, "INVALID_INPUT")
        assert body["field"] == "limit"


class TestBodies:
    async def test_a_body_needs_no_content_type(self, client, told):
        response = await client.post(
            MESSAGES, data=b'{"content": "Hello"}', skip_auto_headers=["Content-Type"]
        )
        assert response.status == 201
        assert told.call.body.content == "Hello"

    async def test_without_a_body_something_is_missing(self, client):
        refused = await problem(await client.post(MESSAGES, data=b""), 400, "INVALID_INPUT")
        assert refused["message"] == "content is missing"

    @pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b'{"content": "\\ud800"}', b"[" * 999])
    async def test_what_is_no_json_is_refused(self, client, data):
        assert (
            "JSON"
            in (await problem(await client.post(MESSAGES, data=data), 400, "INVALID_INPUT"))[
                "message"
            ]
        )

    async def test_the_field_is_named(self, client):
        body = {"content": "Hello", "replyto": ROOM}
        answer = await problem(await client.post(MESSAGES, json=body), 400, "INVALID_INPUT")
        assert answer["field"] == "replyto"

    async def test_attachments_are_named_by_uuids(self, client):
        body = {"content": "Hello", "attachments": [{"id": "cat"}]}
        answer = await problem(await client.post(MESSAGES, json=body), 400, "INVALID_INPUT")
        assert answer["field"] == "attachments.0"

    async def test_no_attachments_are_fine(self, client):
        body = {"content": "Hello", "attachments": []}
        assert (await client.post(MESSAGES, json=body)).status == 201

    async def test_a_body_over_the_limit_is_too_large(self, client):
        body = {"content": "a" * MAX_BODY_BYTES}
        await problem(await client.post(MESSAGES, json=body), 413, "TOO_LARGE")

    async def test_a_body_over_the_limit_is_too_large_in_pieces_too(self, client):
        async def pieces():
            for _ in range(5):
                yield b" " * (MAX_BODY_BYTES // 4)

        await problem(await client.post(MESSAGES, data=pieces()), 413, "TOO_LARGE")

    async def test_a_body_that_cannot_be_unpacked_is_refused(self, client):
        headers = {"Content-Encoding": "gzip"}
        response = await client.post(MESSAGES, data=b"not gzip at all", headers=headers)
        await problem(response, 400, "INVALID_INPUT")

    async def test_a_small_body_that_unpacks_to_a_large_one_is_too_large(self, client):
        body = json.dumps({"content": "a" * MAX_BODY_BYTES}).encode()
        response = await client.post(MESSAGES, data=body, compress="gzip")
        await problem(response, 413, "TOO_LARGE")


class TestAnswers:
    async def test_something_new_is_201(self, client):
        assert (await client.post(MESSAGES, json={"content": "Hello"})).status == 201

    async def test_something_that_was_there_is_200(self, client, told):
        told.answer = Existing({"id": ROOM})
        response = await client.post("/api/rooms", json={"type": "direct", "members": [ROOM]})
        assert (response.status, await response.json()) == (200, {"id": ROOM})

    async def test_nothing_to_say_is_204(self, client, told):
        told.answer = None
        response = await client.delete(f"/api/messages/{ROOM}")
        assert (response.status, await response.read()) == (204, b"")

    async def test_nothing_may_be_kept_by_a_cache(self, client):
        assert (await client.get(MESSAGES)).headers["Cache-Control"] == "no-store"

    async def test_identifiers_are_written_as_text(self, client, told):
        told.answer = {"id": UUID(ROOM)}
        assert await (await client.get(MESSAGES)).json() == {"id": ROOM}


class TestErrors:
    async def test_what_a_rule_forbids_is_403(self, client, told):
        told.error = NotAllowed("Only admins may")
        body = await problem(await client.get(MESSAGES), 403, "FORBIDDEN")
        assert body["message"] == "Only admins may"

    async def test_an_outage_is_503_and_says_when_to_try_again(self, client, told):
        told.error = Unavailable("The database is away")
        response = await client.get(MESSAGES)
        await problem(response, 503, "UNAVAILABLE")
        assert response.headers["Retry-After"] == "1"

    async def test_a_defect_is_logged_and_named_by_the_request_id(self, client, told):
        told.error = ZeroDivisionError("secret")
        with capture_logs() as lines:
            response = await client.get(MESSAGES, headers={"X-Request-ID": "mine-1"})
        body = await problem(response, 500, "INTERNAL")
        assert "mine-1" in body["message"]
        assert "secret" not in body["message"]
        assert any(line.get("exc_info") is told.error for line in lines)


class TestRequestIDs:
    async def test_one_is_made_up(self, client):
        assert (await client.get(MESSAGES)).headers["X-Request-ID"] == "request-1"

    async def test_that_of_the_client_comes_back(self, client):
        response = await client.get(MESSAGES, headers={"X-Request-ID": "abc.DEF_1-2"})
        assert response.headers["X-Request-ID"] == "abc.DEF_1-2"

    @pytest.mark.parametrize("given", ["", "a b", "a" * 65, "<script>", "é"])
    async def test_an_unusable_one_is_replaced(self, client, given):
        response = await client.get("/api/nothing", headers={"X-Request-ID": given})
        assert response.headers["X-Request-ID"] == "request-1"


class TestTheLog:
    async def test_a_request_is_one_line_without_its_query_and_secrets(self, client):
        with capture_logs() as lines:
            await client.get(f"{MESSAGES}?limit=5&ticket=geheim")
        (line,) = [line for line in lines if line["event"] == "request"]
        assert line["status"] == 200
        assert line["path"] == MESSAGES
        assert line["route"] == "/api/rooms/{room_id}/messages"
        assert line["user_id"] == ALICE.user_id
        assert "geheim" not in str(line)
        assert TOKEN not in str(line)

    async def test_requests_are_counted_by_route(self, told):
        facade = Facade()
        async with facade.client(told.endpoints()) as client:
            await client.get(MESSAGES)
            await client.get("/api/nothing")
        page = facade.metrics.render().decode()
        route = 'route="/api/rooms/{room_id}/messages"'
        assert f'foyer_http_requests_total{{method="GET",{route},status="200"}} 1.0' in page
        assert 'route="none",status="404"' in page


class TestLimits:
    async def test_a_user_who_asks_too_fast_has_to_wait(self, told):
        async with asking(told, limits=STRICT) as client:
            statuses = [(await client.get(MESSAGES)).status for _ in range(3)]
            assert statuses == [200, 200, 429]

    async def test_so_has_a_stranger_by_his_address(self, told):
        async with asking(told, limits=STRICT) as client:
            strangers = {"headers": {"Authorization": ""}}
            statuses = [(await client.get(MESSAGES, **strangers)).status for _ in range(4)]
            assert statuses == [401, 401, 401, 429]
            response = await client.get(MESSAGES, **strangers)
            body = await problem(response, 429, "RATE_LIMITED")
            assert int(response.headers["Retry-After"]) * 1000 >= body["retry_after_ms"] > 0

    async def test_behind_a_trusted_proxy_each_client_counts_for_himself(self, told):
        proxies = [ip_network("127.0.0.0/8")]
        async with asking(told, limits=STRICT, trusted_proxies=proxies) as client:
            for address in ("192.0.2.1", "192.0.2.2"):
                headers = {"Authorization": "", "X-Forwarded-For": address}
                statuses = [(await client.get(MESSAGES, headers=headers)).status for _ in range(3)]
                assert statuses == [401, 401, 401]

    async def test_probes_are_never_limited(self, told):
        async with asking(told, limits=STRICT, probes=["/api/nothing"]) as client:
            statuses = {(await client.get("/api/nothing")).status for _ in range(9)}
            assert statuses == {404}


class TestAddresses:
    async def test_a_client_cannot_choose_his_address(self, told):
        facade = Facade()
        async with facade.client(told.endpoints()) as client:
            await client.get(MESSAGES, headers={"X-Forwarded-For": "203.0.113.5"})
        assert facade.authenticator.addresses == ["127.0.0.1"]
        assert told.call.client.address == "127.0.0.1"

    async def test_a_trusted_proxy_says_it(self, told):
        facade = Facade(trusted_proxies=[ip_network("127.0.0.0/8")])
        async with facade.client(told.endpoints()) as client:
            await client.get(MESSAGES, headers={"X-Forwarded-For": "203.0.113.5"})
        assert facade.authenticator.addresses == ["203.0.113.5"]


class TestCrossOrigin:
    async def test_a_preflight_is_answered_without_a_token(self, told):
        async with asking(told, origins=[APP]) as client:
            headers = {
                "Origin": APP,
                "Access-Control-Request-Method": "POST",
                "Authorization": "",
            }
            response = await client.options(MESSAGES, headers=headers)
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == APP
        assert "POST" in response.headers["Access-Control-Allow-Methods"]

    async def test_a_preflight_of_another_origin_gets_nothing(self, told):
        async with asking(told, origins=[APP]) as client:
            headers = {
                "Origin": "https://evil.example",
                "Access-Control-Request-Method": "POST",
            }
            response = await client.options(MESSAGES, headers=headers)
        assert response.status == 405
        assert "Access-Control-Allow-Origin" not in response.headers

    async def test_errors_can_be_read_by_pages_too(self, told):
        async with asking(told, origins=[APP]) as client:
            response = await client.get("/api/nothing", headers={"Origin": APP})
        assert response.headers["Access-Control-Allow-Origin"] == APP
        assert response.headers["Vary"] == "Origin"


class TestTheDocuments:
    @pytest.fixture
    async def client(self):
        facade = Facade()
        application = facade.application([])
        add_docs(application)
        async with facade.serving(application) as client:
            yield client

    async def test_openapi_is_served_as_committed(self, client):
        document = await (await client.get("/api/docs/openapi.json")).json()
        assert document["openapi"] == "3.1.0"

    async def test_asyncapi_is_served_as_committed(self, client):
        document = await (await client.get("/api/docs/asyncapi.json")).json()
        assert document["asyncapi"] == "3.0.0"

    async def test_the_page_loads_nothing_from_elsewhere(self, client):
        response = await client.get("/api/docs")
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "//" not in page.replace("<!doctype html>", "")

    @pytest.mark.parametrize("name", ["page.js", "page.css"])
    async def test_what_the_page_needs_is_there(self, client, name):
        page = await (await client.get("/api/docs")).text()
        assert f"docs/{name}" in page
        assert (await client.get(f"/api/docs/{name}")).status == 200
