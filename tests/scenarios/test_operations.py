"""What operators rely on: how it starts and stops, what watches it, what stands in its log."""

import asyncio
import re
import signal
from pathlib import Path
from secrets import token_hex

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live_server import running
from tests.support.play import PASSWORD, Person, Play

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TestStarting:
    async def test_ready_is_the_last_that_it_prints_and_it_is(self, play: Play) -> None:
        *_, last = play.server.said.splitlines()
        assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+", last)
        for path, status in (("/health", "ok"), ("/ready", "ready")):
            answer = await play.request("GET", path)
            assert (answer.status, answer.json) == (200, {"status": status})

    async def test_metrics_may_have_an_address_of_their_own(self, tmp_path: Path) -> None:
        settings = {"server": {"metrics_addr": "127.0.0.1:0"}}
        with running(tmp_path, settings) as server:
            async with aiohttp.ClientSession() as http:
                async with http.get(f"{server.url}/metrics") as answer:
                    assert answer.status == 404
                async with http.get(f"{server.url}/ready") as answer:
                    assert answer.status == 200


class TestStopping:
    async def test_everything_acknowledged_is_there_afterwards(self, play: Play) -> None:
        """Twenty people write as fast as they can, over both protocols, when it is told to stop."""
        people = [await play.enters("writer") for _ in range(20)]
        room = await people[0].creates_group(*people[1:])
        for person in people[:10]:
            await person.connects()
        acknowledged: list[str] = []
        writing = [
            asyncio.create_task(self._writes(person, room, acknowledged)) for person in people
        ]
        while len(acknowledged) < 100:  # noqa: ASYNC110 - whoever is first
            await asyncio.sleep(0.01)
        play.server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(play.server.wait) == 0
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        for person in people[:10]:
            assert (await person.devices[0].is_closed())[0] == 1012
        await asyncio.to_thread(play.server.start)
        stored = set()
        before: dict[str, str] = {}
        while page := await people[0].messages(room, limit=200, **before):
            stored |= {message["id"] for message in page}
            before = {"before": page[0]["id"]}
        assert stored >= set(acknowledged)

    async def _writes(self, person: Person, room: str, acknowledged: list[str]) -> None:
        """Until the server is gone."""
        for number in range(100_000):
            text = f"Message {number}"
            if person.devices:
                acknowledged.append(await person.says(room, text))
            else:
                answer = await person.post(f"/api/rooms/{room}/messages", {"content": text})
                if answer.status == 201:
                    acknowledged.append(answer.json["id"])

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    async def test_it_ends_well_and_starts_again(self, play: Play, how: signal.Signals) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.says(room, "Good night")
        assert await asyncio.to_thread(play.server.stop, how) == 0
        await asyncio.to_thread(play.server.start)
        assert await alice.texts(room) == ["Good night"]

    async def test_a_client_that_does_not_answer_does_not_keep_it(self, play: Play) -> None:
        """Neither an idle connection, nor half a request, nor half a WebSocket."""
        host, _, port = play.server.url.removeprefix("http://").partition(":")
        halves = [
            b"",
            b"GET /api/rooms HTTP/1.1\r\nHost: x\r\n",
            b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        ]
        writers = []
        for half in halves:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(half)
            await writer.drain()
            writers.append(writer)
        assert (await play.request("GET", "/health")).status == 200
        assert await asyncio.to_thread(play.server.stop) == 0
        await asyncio.to_thread(play.server.start)
        for writer in writers:
            writer.close()


class TestRequestIDs:
    async def test_one_that_the_client_gave_comes_back_and_is_logged(self, play: Play) -> None:
        alice = await play.enters("alice")
        name = f"trace.{token_hex(8)}"
        answer = await alice.requests("GET", "/api/rooms", headers={"X-Request-ID": name})
        assert answer.headers["X-Request-ID"] == name
        (line,) = [line for line in play.server.log_lines if line.get("request_id") == name]
        assert (line["method"], line["path"], line["status"]) == ("GET", "/api/rooms", 200)
        assert line["address"] == alice.address
        assert line["user_id"] == (await alice.gets("/api/users/me"))["user_id"]

    async def test_otherwise_the_server_makes_one_up(self, play: Play) -> None:
        alice = await play.enters("alice")
        ids = set()
        for given in ({}, {"X-Request-ID": "no good ID"}, {"X-Request-ID": "x" * 65}):
            answer = await alice.requests("GET", "/api/rooms", headers=given)
            assert REQUEST_ID.fullmatch(answer.headers["X-Request-ID"])
            ids.add(answer.headers["X-Request-ID"])
        assert len(ids) == 3
        assert ids.isdisjoint({"no good ID", "x" * 65})

    async def test_errors_have_one_too(self, play: Play) -> None:
        alice = await play.enters("alice")
        answer = await alice.requests("GET", "/api/nothing", headers={"X-Request-ID": "lost"})
        assert (answer.status, answer.headers["X-Request-ID"]) == (404, "lost")


class TestMetrics:
    async def test_the_page_can_be_read_by_prometheus(self, play: Play) -> None:
        answer = await play.request("GET", "/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {
            family.name: family for family in text_string_to_metric_families(answer.raw.decode())
        }
        assert all(family.documentation for family in families.values())
        assert {name for name in families if name.startswith("foyer_")} >= {
            "foyer_events_committed",
            "foyer_commit_seconds",
            "foyer_websocket_connections",
            "foyer_frames_in",
            "foyer_frames_out",
            "foyer_deliveries",
            "foyer_http_requests",
            "foyer_http_request_seconds",
            "foyer_slow_consumers_cut",
            "foyer_database_pool_in_use",
        }

    async def test_they_count_what_happens(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await bob.connects()
        room = await alice.creates_group(bob)
        names = {
            "events": ("foyer_events_committed_total", {}),
            "frames in": ("foyer_frames_in_total", {"type": "message.send"}),
            "deliveries": ("foyer_deliveries_total", {}),
            "refused logins": (
                "foyer_http_requests_total",
                {"method": "POST", "route": "/api/auth/login", "status": "401"},
            ),
        }

        async def counted() -> dict[str, float]:
            return {
                meaning: await play.metric(name, **labels)
                for meaning, (name, labels) in names.items()
            }

        before = await counted()
        assert await play.metric("foyer_websocket_connections") == 3
        for number in range(5):
            await alice.says(room, str(number))
        await bob.hears("message.new", content="4")
        await bob.logs_in("a wrong password")
        after = await counted()
        assert {meaning: after[meaning] - before[meaning] for meaning in names} == {
            "events": 5,
            "frames in": 5,
            "deliveries": 10,
            "refused logins": 1,
        }

    async def test_no_label_names_a_person_or_a_room(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.says(room, "Hello")
        await alice.gets(f"/api/rooms/{room}")
        await alice.get(f"/api/nothing/{room}")
        page = (await play.request("GET", "/metrics")).raw.decode()
        for word in (alice.id, room, alice.email, alice.address, "alice"):
            assert word not in page


class TestLog:
    """One line of JSON for each thing that happened, and nothing that is nobody's business."""

    async def test_no_content_and_no_secret_stands_in_it(self, play: Play) -> None:
        marker = f"marker{token_hex(8)}"
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, name=f"Name {marker}", topic=f"Topic {marker}")
        message = await alice.says(room, f"Text {marker}", ref=f"ref{marker}")
        await alice.asks("message.edit", message_id=message, content=f"Edited {marker}")
        await alice.asks("reaction.add", message_id=message, key=marker)
        await alice.device.sends(f"type-{marker}", content=marker)
        await alice.device.socket.send(f"no JSON {marker}")
        await alice.asks("message.send", room_id=room, content=f"{marker} " * 3_000)
        await alice.gets("/api/users/search", q=marker)
        await alice.get("/api/search", q=marker)
        await alice.post(f"/api/rooms/{room}/messages", {"content": marker, "misspelt": marker})
        await alice.post("/api/auth/login", {"email": alice.email, "password": marker}, token="")
        await alice.post("/api/auth/register", {"email": marker, "password": marker}, token="")
        ticket = (await alice.post("/api/ws/ticket")).json["ticket"]
        await (await play.opens(f"?ticket={ticket}")).is_up_to_date()
        await (await play.opens(subprotocols=["foyer", f"bearer.{bob.token}"])).is_up_to_date()
        await bob.post("/api/auth/refresh", {"refresh_token": bob.refresh_token}, token="")
        invitation = await (await play.administrator()).post("/api/invitations", {})
        await alice.delete(f"/api/messages/{message}")
        log = play.server.log
        secrets = {marker, ticket, invitation.json["code"], PASSWORD, *play.secrets}
        assert {secret for secret in secrets if secret in log} == set()
        signatures = {token.rpartition(".")[2] for token in (alice.token, bob.token)}
        assert {signature for signature in signatures if signature in log} == set()

    async def test_every_line_is_an_object_that_says_when_and_what(self, play: Play) -> None:
        await play.cast("alice")
        for entry in play.server.log_lines:
            assert entry.keys() >= {"timestamp", "level", "event"}

    async def test_even_of_requests_that_are_no_http(self, play: Play) -> None:
        host, _, port = play.server.url.removeprefix("http://").partition(":")
        secret = f"secret{token_hex(8)}"
        for raw in (
            f"GET /ws?ticket={secret}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {secret}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {secret}{'x' * 9_000}\r\n\r\n",
            "\x16\x03\x01 hello TLS",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(raw.encode("latin-1"))
            assert await reader.read() != b""
            writer.close()
        assert secret not in play.server.log


class TestDocuments:
    async def test_the_server_shows_how_it_is_spoken_to(self, play: Play) -> None:
        page = await play.request("GET", "/api/docs")
        assert page.status in (200, 301, 302, 308)
        for name in ("openapi", "asyncapi"):
            document = await play.request("GET", f"/api/docs/{name}.json")
            assert document.status == 200
            assert document.json[name].startswith("3.")
