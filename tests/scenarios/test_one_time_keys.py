"""One-time keys under fire: many claim at once, while the server is killed and started again.

Each answer that somebody got counts. What was handed out and not heard of is lost, and never given
again.
"""

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.encryption import SIGNED, KeyMaker
from tests.support.live_server import GENEROUS, LiveServer, running

CLAIMERS = 50
KEYS = 400
KILLS = 3
_AWAY = (aiohttp.ClientError, OSError, TimeoutError)


@pytest.fixture
def server(tmp_path: Path):
    with running(tmp_path, GENEROUS) as started:
        yield started


class Person:
    """Asks the server wherever it is now."""

    def __init__(self, server: LiveServer, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self.token = ""
        self.user_id = ""
        self.device_id = ""

    async def registers(self, name: str) -> None:
        body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
        answer = await self.asks("POST", "register", body)
        self.token, self.user_id = answer["access_token"], answer["user_id"]
        self.device_id = answer["device_id"]

    async def asks(self, method: str, path: str, body: Any = None) -> Any:
        """Raises what happens while the server is away."""
        url = f"{self._server.url}/_matrix/client/v3/{path}"
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self._http.request(method, url, json=body, headers=headers) as response:
            if response.status >= 500:
                raise aiohttp.ClientConnectionError(str(response.status))
            answer = await response.json()
            assert response.status == 200, answer
            return answer


class Claiming:
    """People who claim keys of one device until there are none. given: what each answer held."""

    def __init__(self, phone: KeyMaker) -> None:
        self._wanted = {"one_time_keys": {phone.user_id: {phone.device_id: SIGNED}}}
        self._phone = phone
        self.given: list[str] = []
        self.kills = 0
        self._is_over = False
        self._enough = asyncio.Event()

    async def claims(self, person: Person) -> None:
        while True:
            try:
                answer = await person.asks("POST", "keys/claim", self._wanted)
            except _AWAY:
                await asyncio.sleep(0.05)
                continue
            found = answer["one_time_keys"].get(self._phone.user_id, {})
            if not found:
                return
            self.given += found[self._phone.device_id]
            if len(self.given) % (KEYS // (KILLS + 2)) == 0:
                self._enough.set()

    async def is_disturbed(self, server: LiveServer) -> None:
        """The server is killed in the middle, again and again."""
        while self.kills < KILLS:
            await self._enough.wait()
            if self._is_over:
                return
            await asyncio.to_thread(server.restart, signal.SIGKILL)
            self.kills += 1
            self._enough.clear()

    def ends(self) -> None:
        """There are no keys left."""
        self._is_over = True
        self._enough.set()


async def test_no_key_is_handed_out_twice_whatever_happens_to_the_server(server):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        owner = Person(server, http)
        await owner.registers("owner")
        phone = KeyMaker.of(owner.user_id, owner.device_id)
        uploaded = phone.upload(KEYS)
        await owner.asks("POST", "keys/upload", uploaded)
        people = [Person(server, http) for _ in range(CLAIMERS)]
        for number, person in enumerate(people):
            await person.registers(f"claimer{number}")
        claiming = Claiming(phone)
        disturbing = asyncio.ensure_future(claiming.is_disturbed(server))
        await asyncio.gather(*(claiming.claims(person) for person in people))
        claiming.ends()
        await disturbing

        assert claiming.kills
        assert len(claiming.given) == len(set(claiming.given))
        assert set(claiming.given) <= uploaded["one_time_keys"].keys()
        assert len(claiming.given) >= KEYS // 2
        answer = await owner.asks("POST", "keys/upload", {})
        assert answer == {"one_time_key_counts": {}}
        # The upload again, as by a client that missed the answer, brings none of them back.
        answer = await owner.asks("POST", "keys/upload", uploaded)
        assert answer == {"one_time_key_counts": {}}


async def test_messages_to_a_device_survive_kills_in_order(server):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        sender, reader = Person(server, http), Person(server, http)
        await sender.registers("sender")
        await reader.registers("reader")
        sent = asyncio.ensure_future(_sends(sender, reader, 60))
        heard: list[int] = []
        since = ""
        kills = 0
        while not heard or heard[-1] != 59:
            try:
                answer = await reader.asks("GET", f"sync?timeout=1000&since={since}")
            except _AWAY:
                await asyncio.sleep(0.05)
                continue
            since = answer["next_batch"]
            events = answer.get("to_device", {}).get("events", ())
            heard += [event["content"]["n"] for event in events]
            if kills < 2 and len(heard) > 15 * (kills + 1):
                kills += 1
                await asyncio.to_thread(server.restart, signal.SIGKILL)
        await sent
        assert heard == [*range(60)]
        assert kills == 2


async def _sends(sender: Person, reader: Person, count: int) -> None:
    """One after the other; what was not answered is sent again as the same transaction."""
    for n in range(count):
        body = {"messages": {reader.user_id: {reader.device_id: {"n": n}}}}
        while True:
            try:
                await sender.asks("PUT", f"sendToDevice/m.ping/t{n}", body)
                break
            except _AWAY:
                await asyncio.sleep(0.05)
