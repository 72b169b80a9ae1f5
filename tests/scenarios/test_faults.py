"""The server is killed in the middle of its work, and so is its database: nothing that was
acknowledged is lost, nothing comes twice, and nobody has to lend a hand.

The clients are the `websockets` library and aiohttp's client.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.storage.embedded import running_dsn
from homeserver.verify import verify
from tests.support.live_server import BASE, GENEROUS, SERVER_NAME, LiveServer, merged, running

KILLS = 20
ACKNOWLEDGED_BEFORE_A_KILL = 40
HANGING_S = 60.0

Frame = dict[str, Any]


@dataclass
class Person:
    """Says one thing after the other, and keeps what was acknowledged and what was heard."""

    name: str
    id: str
    token: str
    room: str = ""
    cursor: str = "now"
    unanswered: str | None = None
    count: int = 0
    acknowledged: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    socket: ClientConnection | None = None

    async def comes(self, server: LiveServer) -> None:
        """Connects where it left off; afterwards everything that was missed has been heard."""
        self.socket = await websockets.connect(
            f"{server.websocket_url}?cursor={self.cursor}",
            additional_headers={"Authorization": f"Bearer {self.token}"},
        )
        await self.hears_until(lambda frame: frame["type"] == "resumed")

    async def talks(self) -> None:
        """Until the connection ends."""
        while True:
            await self.says_next()

    async def says_next(self) -> None:
        """What was not answered is said again with the same `ref`, when the server says so: who
        does not wait is soon flooding.
        """
        if self.unanswered is None:
            self.count += 1
            self.unanswered = f"{self.name} {self.count}"
        text = self.unanswered
        assert self.socket is not None
        frame = {"type": "message.send", "room_id": self.room, "content": text, "ref": text}
        await self.socket.send(json.dumps(frame))
        answer = await self.hears_until(lambda frame: frame.get("ref") == text)
        if answer["type"] == "message.sent":
            self.acknowledged[text] = answer["message_id"]
            self.unanswered = None
        else:
            assert answer["code"] in ("UNAVAILABLE", "RATE_LIMITED"), answer
            await asyncio.sleep(answer["retry_after_ms"] / 1000)

    async def hears_until(self, is_it: Any) -> Frame:
        assert self.socket is not None
        while True:
            async with asyncio.timeout(HANGING_S):
                frame: Frame = json.loads(await self.socket.recv())
            self.cursor = frame.get("cursor", self.cursor)
            if frame["type"] == "message.new":
                self.heard.append(frame["message"]["id"])
            if is_it(frame):
                return frame

    async def hears_all(self, message_ids: Sequence[str]) -> None:
        while len(self.heard) < len(message_ids):
            await self.hears_until(lambda frame: frame["type"] == "message.new")
        assert self.heard == list(message_ids)


@asynccontextmanager
async def api(server: LiveServer, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as session:
        yield session


async def registers(server: LiveServer, name: str) -> Person:
    body = {"email": f"{name}@example.org", "name": name, "password": "long enough"}
    async with api(server) as session, session.post("/api/auth/register", json=body) as answer:
        made = await answer.json()
    return Person(name, made["user"]["id"], made["token"])


async def in_one_room(server: LiveServer, *people: Person) -> None:
    body = {"type": "group", "name": "room", "members": [each.id for each in people]}
    async with (
        api(server, people[0].token) as session,
        session.post("/api/rooms", json=body) as answer,
    ):
        room = (await answer.json())["id"]
    for person in people:
        person.room = room


async def history(server: LiveServer, person: Person) -> list[Frame]:
    """All messages of the person's room, the oldest first."""
    found: list[Frame] = []
    before: dict[str, str] = {}
    async with api(server, person.token) as session:
        while True:
            path = f"/api/rooms/{person.room}/messages"
            async with session.get(path, params={"limit": "200", **before}) as answer:
                page = await answer.json()
            if not page:
                return found
            found = page + found
            before = {"before": page[0]["id"]}


async def kept_promises(server: LiveServer, people: Sequence[Person]) -> None:
    """Each acknowledged message is there once, in the order of its sender, and everybody heard
    the room exactly as it is.
    """
    for person in people:
        messages = await history(server, person)
        texts = [message["content"] for message in messages]
        assert len(set(texts)) == len(texts)
        ids = {message["content"]: message["id"] for message in messages}
        assert person.acknowledged.items() <= ids.items()
        own = [text for text in texts if text.startswith(f"{person.name} ")]
        assert own == [f"{person.name} {number + 1}" for number in range(len(own))]
        await person.hears_all([message["id"] for message in messages])


async def enough_acknowledged(people: Sequence[Person], count: int) -> None:
    begun = sum(len(person.acknowledged) for person in people)
    async with asyncio.timeout(HANGING_S):
        while sum(len(person.acknowledged) for person in people) < begun + count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def is_whole(server: LiveServer) -> None:
    """What `foyer admin verify` checks, without the start of a process."""
    dsn = running_dsn(server.data_dir)
    assert dsn is not None
    database = await Database.connect(dsn, max_connections=1)
    checks = await verify(database, server_name=ServerName(SERVER_NAME))
    await database.close()
    assert {check.name: check.first for check in checks if check.broken} == {}


def is_whole_says_the_command(server: LiveServer) -> None:
    done = server.foyer("admin", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def postmaster_of(server: LiveServer) -> int:
    pid_file: Path = server.data_dir / "postgres" / "postmaster.pid"
    return int(next(iter(pid_file.read_text().splitlines())))


class TestKilledInTheMiddleOfItsWork:
    async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path, GENEROUS) as server:
            people = [await registers(server, f"person{number}") for number in range(6)]
            await in_one_room(server, *people[:3])
            await in_one_room(server, *people[3:])
            for _ in range(KILLS):
                await self.work_until_killed(server, people)
                await self.come_back(server, people)
                await kept_promises(server, people)
                await is_whole(server)
            is_whole_says_the_command(server)

    async def work_until_killed(self, server: LiveServer, people: Sequence[Person]) -> None:
        for person in people:
            if person.socket is None:
                await person.comes(server)
        talking = [asyncio.create_task(person.talks()) for person in people]
        await enough_acknowledged(people, ACKNOWLEDGED_BEFORE_A_KILL)
        server.stop(signal.SIGKILL)
        ended = await asyncio.gather(*talking, return_exceptions=True)
        assert {type(each) for each in ended} <= {
            websockets.ConnectionClosedError,
            websockets.ConnectionClosedOK,
        }

    async def come_back(self, server: LiveServer, people: Sequence[Person]) -> None:
        server.start()
        for person in people:
            await person.comes(server)
        for person in people:
            if person.unanswered is not None:
                await person.says_next()


class TestTheDatabaseIsKilled:
    async def test_the_server_stays_and_goes_on_by_itself(self, tmp_path: Path) -> None:
        with running(tmp_path, GENEROUS) as server:
            pid = server.pid
            people = [await registers(server, f"person{number}") for number in range(3)]
            await in_one_room(server, *people)
            for person in people:
                await person.comes(server)
            talking = [asyncio.create_task(person.talks()) for person in people]
            for _ in range(3):
                await enough_acknowledged(people, ACKNOWLEDGED_BEFORE_A_KILL)
                os.kill(postmaster_of(server), signal.SIGKILL)
            await enough_acknowledged(people, ACKNOWLEDGED_BEFORE_A_KILL)
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
            for person in people:
                while person.unanswered is not None:
                    await person.says_next()
            await kept_promises(server, people)
            is_whole_says_the_command(server)
            assert server.pid == pid

    async def test_meanwhile_requests_fail_with_a_typed_error(self, tmp_path: Path) -> None:
        with running(tmp_path, GENEROUS) as server:
            alice = await registers(server, "alice")
            await in_one_room(server, alice)
            # Stopped, it answers nothing at all; killed, it would be back too soon to be seen.
            os.kill(postmaster_of(server), signal.SIGSTOP)
            os.kill(postmaster_of(server), signal.SIGKILL)
            async with api(server, alice.token) as session:
                statuses = set()
                while 201 not in statuses:
                    path = f"/api/rooms/{alice.room}/messages"
                    async with session.post(path, json={"content": "hello"}) as answer:
                        statuses.add(answer.status)
                        if answer.status != 201:
                            assert answer.status == 503
                            assert "Retry-After" in answer.headers
                            assert (await answer.json())["code"] == "UNAVAILABLE"
                async with session.get("/health") as answer:
                    assert answer.status == 200


class TestRefusingToStart:
    """One clear sentence and an exit code of its own for each kind of failure."""

    def refused(self, server: LiveServer, *options: str) -> tuple[int, str]:
        done = server.foyer("serve", *options)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    async def test_on_data_that_another_server_uses(self, tmp_path: Path) -> None:
        with running(tmp_path, GENEROUS) as server:
            code, said = self.refused(server, "--listen", "127.0.0.1:0")
            assert code == 4
            assert "already using the data directory" in said
            async with aiohttp.ClientSession(server.url) as session, session.get("/ready") as ready:
                assert ready.status == 200

    def test_on_an_address_that_is_taken(self, tmp_path: Path) -> None:
        server = LiveServer(tmp_path, BASE)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, said = self.refused(server, "--listen", f"127.0.0.1:{port}")
        assert code == 6
        assert str(port) in said

    def test_without_a_database(self, tmp_path: Path) -> None:
        nowhere = {"database": {"url": "postgres://nobody@127.0.0.1:1/none"}}
        server = LiveServer(tmp_path, merged(BASE, nowhere))
        code, said = self.refused(server, "--listen", "127.0.0.1:0")
        assert code == 5
        assert said.count("\n") == 1

    def test_with_a_setting_that_does_not_exist(self, tmp_path: Path) -> None:
        server = LiveServer(tmp_path, merged(BASE, {"websocket": {"ping_intervall_seconds": 3}}))
        code, said = self.refused(server)
        assert code == 3
        assert "ping_interval_seconds" in said

    def test_under_another_name_than_at_first(self, tmp_path: Path) -> None:
        with running(tmp_path, GENEROUS) as server:
            pass
        code, said = self.refused(
            server, "--server-name", "other.example", "--listen", "127.0.0.1:0"
        )
        assert code == 3
        assert "cannot change" in said
