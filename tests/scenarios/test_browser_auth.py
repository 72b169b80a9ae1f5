"""What browsers can do: they send no headers with a WebSocket, and say where a page comes from."""

import json
import time

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.devices import Device
from tests.support.live_server import JWT_SECRET, ORIGIN
from tests.support.play import Person, Play
from tests.support.promises import Json

STRANGE = "https://evil.example.com"


async def refusal(play: Play, query: str = "", **more: Json) -> tuple[int, str]:
    """Status and code with which the server refuses a WebSocket."""
    with pytest.raises(InvalidStatus) as refused:
        await play.opens(query, **more)
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"{}")["code"]


async def works(device: Device, person: Person) -> None:
    room = (await person.creates("group", name="Proof"))["id"]
    await device.hears("room.joined", id=room)


def lasting(person: Person, seconds: int, **claims: Json) -> str:
    """The person's token as the server would have issued it for another lifetime."""
    given = jwt.decode(person.token, options={"verify_signature": False})
    given["exp"] = int(time.time()) + seconds
    return jwt.encode({**given, **claims}, JWT_SECRET, algorithm="HS256")


class TestSubprotocol:
    """`new WebSocket(url, ["foyer", "bearer." + token])`."""

    async def test_the_token_travels_as_a_subprotocol(self, play: Play) -> None:
        alice = await play.enters("alice")
        device = await play.opens(subprotocols=["foyer", f"bearer.{alice.token}"])
        assert device.socket.subprotocol == "foyer"
        await works(device, alice)

    async def test_in_any_order(self, play: Play) -> None:
        alice = await play.enters("alice")
        device = await play.opens(subprotocols=[f"bearer.{alice.token}", "foyer"])
        assert device.socket.subprotocol == "foyer"

    async def test_without_foyer_the_token_would_be_chosen(self, play: Play) -> None:
        """And would stand in an answer, where no token belongs."""
        alice = await play.enters("alice")
        assert await refusal(play, subprotocols=[f"bearer.{alice.token}"]) == (
            400,
            "INVALID_INPUT",
        )
        assert alice.token not in play.server.log

    async def test_a_token_that_is_none(self, play: Play) -> None:
        for protocols in (["foyer"], ["foyer", "bearer.nonsense"], ["foyer", "bearer."]):
            assert await refusal(play, subprotocols=protocols) == (401, "UNAUTHENTICATED")


class TestTickets:
    """`/ws?ticket=…`: what stands in an address works once, and not for long."""

    async def test_a_ticket_opens_one_websocket(self, play: Play) -> None:
        alice = await play.enters("alice")
        issued = (await alice.post("/api/ws/ticket")).json
        assert issued.keys() == {"ticket", "expires_in"}
        assert issued["expires_in"] == 30
        device = await play.opens(f"?ticket={issued['ticket']}")
        await works(device, alice)
        assert await refusal(play, f"?ticket={issued['ticket']}") == (401, "UNAUTHENTICATED")

    async def test_it_goes_together_with_a_cursor(self, play: Play) -> None:
        alice = await play.enters("alice")
        ticket = (await alice.post("/api/ws/ticket")).json["ticket"]
        device = await play.opens(f"?ticket={ticket}&cursor=now")
        await device.hears("resumed")

    async def test_it_ends_with_the_session(self, play: Play) -> None:
        alice = await play.enters("alice")
        ticket = (await alice.post("/api/ws/ticket")).json["ticket"]
        await alice.post("/api/auth/logout")
        assert await refusal(play, f"?ticket={ticket}") == (401, "UNAUTHENTICATED")

    async def test_what_is_none(self, play: Play) -> None:
        alice = await play.enters("alice")
        for ticket in ("", "nonsense", alice.token):
            assert await refusal(play, f"?ticket={ticket}") == (401, "UNAUTHENTICATED")

    async def test_only_who_is_logged_in_gets_one(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert (await alice.post("/api/ws/ticket", token="")).error == (401, "UNAUTHENTICATED")

    async def test_a_token_in_the_address_is_not_taken(self, play: Play) -> None:
        """It would end up in logs."""
        alice = await play.enters("alice")
        for name in ("token", "access_token"):
            assert await refusal(play, f"?{name}={alice.token}") == (401, "UNAUTHENTICATED")


class TestTokensThatEnd:
    async def test_an_expired_one_closes_the_connection(self, play: Play) -> None:
        alice = await play.enters("alice")
        token = lasting(alice, 3)
        headers = {"Authorization": f"Bearer {token}"}
        device = await play.opens(headers=headers)
        await device.is_up_to_date()
        assert (await device.hears("error"))["code"] == "UNAUTHENTICATED"
        assert (await device.is_closed())[0] == 4001
        assert await refusal(play, headers=headers) == (401, "UNAUTHENTICATED")
        assert (await alice.get("/api/rooms", token=token)).error == (401, "UNAUTHENTICATED")
        assert (await alice.get("/api/rooms")).status == 200

    async def test_a_revoked_session_closes_its_connections_only(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        first = alice.session_id
        await alice.logs_in()
        other = await alice.connects()
        assert (await alice.delete(f"/api/sessions/{first}")).status == 204
        gone = alice.devices[0]
        await gone.hears("session.revoked")
        assert (await gone.is_closed())[0] == 4001
        await other.is_up_to_date()

    async def test_forgeries(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        claims = jwt.decode(alice.token, options={"verify_signature": False})
        unsigned = jwt.encode(claims, "", algorithm="none")
        foreign = jwt.encode(claims, "another secret, which is long enough too", algorithm="HS256")
        body, _, signature = alice.token.rpartition(".")
        for token in (
            unsigned,
            foreign,
            f"{body}.{signature[:-2]}",
            lasting(alice, -1),
            lasting(alice, 600, sub=bob.id),
            lasting(alice, 600, sid=bob.session_id),
            lasting(alice, 600, iss="elsewhere.example"),
            lasting(alice, 600, sub="nobody"),
            "x" * 6_000,
        ):
            assert (await alice.get("/api/rooms", token=token)).error == (401, "UNAUTHENTICATED")
            headers = {"Authorization": f"Bearer {token}"}
            if len(token) < 5_000:
                assert await refusal(play, headers=headers) == (401, "UNAUTHENTICATED")


class TestOrigins:
    async def test_pages_of_configured_origins_may_connect(self, play: Play) -> None:
        alice = await play.enters("alice")
        protocols = ["foyer", f"bearer.{alice.token}"]
        device = await play.opens(subprotocols=protocols, origin=ORIGIN)
        await works(device, alice)
        own = await play.opens(subprotocols=protocols, origin=play.server.url)
        await works(own, alice)

    async def test_other_pages_may_not(self, play: Play) -> None:
        alice = await play.enters("alice")
        protocols = ["foyer", f"bearer.{alice.token}"]
        for origin in (STRANGE, "null", f"{ORIGIN}.evil.example.com", "http://app.example.com"):
            assert await refusal(play, subprotocols=protocols, origin=origin) == (
                403,
                "FORBIDDEN",
            )

    async def test_a_refused_page_does_not_use_a_ticket_up(self, play: Play) -> None:
        alice = await play.enters("alice")
        ticket = (await alice.post("/api/ws/ticket")).json["ticket"]
        assert (await refusal(play, f"?ticket={ticket}", origin=STRANGE))[0] == 403
        await works(await play.opens(f"?ticket={ticket}", origin=ORIGIN), alice)


class TestCrossOriginRequests:
    """Fetch Standard, "CORS protocol"."""

    def preflight(self, origin: str) -> dict[str, str]:
        return {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }

    @pytest.mark.parametrize("path", ["/api/rooms", "/api/auth/login", "/api/users/search?q=a"])
    async def test_a_preflight_of_a_configured_origin(self, play: Play, path: str) -> None:
        answer = await play.request("OPTIONS", path, headers=self.preflight(ORIGIN))
        assert answer.status == 204
        headers = {name.lower(): value.lower() for name, value in answer.headers.items()}
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "origin" in headers["vary"]
        assert {"authorization", "content-type"} <= set(
            headers["access-control-allow-headers"].split(", ")
        )
        methods = set(headers["access-control-allow-methods"].split(", "))
        assert {"get", "post", "put", "patch", "delete"} <= methods
        assert "access-control-allow-credentials" not in headers

    async def test_a_preflight_of_another_origin(self, play: Play) -> None:
        answer = await play.request("OPTIONS", "/api/rooms", headers=self.preflight(STRANGE))
        assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_answers_and_errors_alike_may_be_read(self, play: Play) -> None:
        alice = await play.enters("alice")
        for path, status in (("/api/rooms", 200), ("/api/nothing", 404)):
            answer = await alice.requests("GET", path, headers={"Origin": ORIGIN})
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"].lower()
        answer = await alice.requests("GET", "/api/rooms", headers={"Origin": STRANGE})
        assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_nothing_of_a_person_is_kept_by_caches(self, play: Play) -> None:
        alice = await play.enters("alice")
        for path in ("/api/rooms", "/api/users/me", "/api/sessions"):
            answer = await alice.get(path)
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
