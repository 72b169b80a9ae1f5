"""One-time keys under fire: many claim at once, while the server is killed and started again.

Each answer that somebody got counts. What was handed out and not heard of is lost, and never given
again.
"""

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.client.libolm import (
    Account,
    InboundSession,
    OlmMessage,
    OlmPreKeyMessage,
    OutboundSession,
    Session,
)
from homeserver.events import canonical_json
from tests.support.encryption import SIGNED, KeyMaker
from tests.support.live_server import GENEROUS, LiveServer, running

CLAIMERS = 50
KEYS = 400
KILLS = 3
TALKS = 4
"""Olm sessions that each of the claimers begins, one after the other."""
SAID = 2
"""Messages in each of them."""
POOL = 30
"""One-time keys that the server has at most. An account of libolm remembers a hundred."""
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

    async def insists(self, method: str, path: str, body: Any = None) -> Any:
        """Asks until there is an answer."""
        while True:
            try:
                return await self.asks(method, path, body)
            except _AWAY:
                await asyncio.sleep(0.05)


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


class OlmDevice(Person):
    """A device with an account of libolm."""

    def __init__(self, server: LiveServer, http: aiohttp.ClientSession) -> None:
        super().__init__(server, http)
        self.account = Account()

    async def begins(self, name: str) -> None:
        await self.registers(name)
        await self.insists("POST", "keys/upload", {"device_keys": self.signs(self.identity())})

    def identity(self) -> dict[str, Any]:
        return {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {f"{name}:{self.device_id}": key for name, key in self.public.items()},
        }

    @property
    def public(self) -> dict[str, str]:
        return self.account.identity_keys

    def signs(self, obj: dict[str, Any]) -> dict[str, Any]:
        signature = self.account.sign(canonical_json.encode(obj).decode())
        return {**obj, "signatures": {self.user_id: {f"ed25519:{self.device_id}": signature}}}


class Listener(OlmDevice):
    """Whom everybody writes to. heard: what each sender said, in the order in which it came."""

    def __init__(self, server: LiveServer, http: aiohttp.ClientSession) -> None:
        super().__init__(server, http)
        self.heard: dict[str, list[int]] = defaultdict(list)
        self.count = 0
        self.uploads = 0
        self.news = asyncio.Condition()
        self._sessions: dict[str, list[Session]] = defaultdict(list)
        self._since = ""

    async def listens(self, expected: int) -> None:
        """Until so many messages have come. Keys that were handed out are replaced."""
        while self.count < expected:
            path = f"sync?timeout=1000&since={self._since}"
            answer = await self.insists("GET", path)
            self._since = answer["next_batch"]
            for event in answer.get("to_device", {}).get("events", ()):
                self._hears(event)
            await self._restocks(answer["device_one_time_keys_count"].get(SIGNED, 0))
            async with self.news:
                self.news.notify_all()

    async def _restocks(self, left: int) -> None:
        if left > POOL // 2:
            return
        self.account.generate_one_time_keys(POOL - left)
        keys = {
            f"{SIGNED}:{name}": self.signs({"key": key})
            for name, key in self.account.one_time_keys["curve25519"].items()
        }
        await self.insists("POST", "keys/upload", {"one_time_keys": keys})
        self.account.mark_keys_as_published()
        self.uploads += 1

    def _hears(self, event: dict[str, Any]) -> None:
        """Raises OlmSessionError, OlmAccountError for what cannot be decrypted."""
        content = event["content"]
        mine = content["ciphertext"][self.public["curve25519"]]
        text = self._decrypts(content["sender_key"], mine["type"], mine["body"])
        said = json.loads(text)
        assert said["sender"] == event["sender"]
        self.heard[event["sender"]].append(said["n"])
        self.count += 1

    def _decrypts(self, sender_key: str, kind: int, body: str) -> str:
        sessions = self._sessions[sender_key]
        if kind:
            return sessions[-1].decrypt(OlmMessage(body))
        message = OlmPreKeyMessage(body)
        for session in sessions:
            if session.matches(message, sender_key):
                return session.decrypt(message)
        session = InboundSession(self.account, message, sender_key)
        # Whoever was given the same key once more could not be understood now.
        self.account.remove_one_time_keys(session)
        sessions.append(session)
        return session.decrypt(message)


class Talker(OlmDevice):
    """Claims a key for each conversation, and says a few things in it."""

    def __init__(self, server: LiveServer, http: aiohttp.ClientSession, to: Listener) -> None:
        super().__init__(server, http)
        self._to = to
        self._said = 0
        self.given: list[str] = []

    async def talks(self) -> None:
        for _ in range(TALKS):
            session = OutboundSession(
                self.account, self._to.public["curve25519"], await self._claims()
            )
            for _ in range(SAID):
                await self._says(session)

    async def _claims(self) -> str:
        """Waits for another upload where there is no key left."""
        wanted = {"one_time_keys": {self._to.user_id: {self._to.device_id: SIGNED}}}
        while True:
            seen = self._to.uploads
            answer = await self.insists("POST", "keys/claim", wanted)
            found = answer["one_time_keys"].get(self._to.user_id, {}).get(self._to.device_id, {})
            for name, key in found.items():
                self.given.append(name)
                return str(key["key"])
            async with self._to.news:
                await self._to.news.wait_for(lambda seen=seen: self._to.uploads > seen)

    async def _says(self, session: Session) -> None:
        """What was not answered is sent again as the same transaction."""
        plain = json.dumps({"sender": self.user_id, "n": self._said})
        message = session.encrypt(plain)
        content = {
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": self.public["curve25519"],
            "ciphertext": {
                self._to.public["curve25519"]: {
                    "type": message.message_type,
                    "body": message.ciphertext,
                }
            },
        }
        body = {"messages": {self._to.user_id: {self._to.device_id: content}}}
        await self.insists("PUT", f"sendToDevice/m.room.encrypted/t{self._said}", body)
        self._said += 1


async def _kills(server: LiveServer, listener: Listener, after: Iterable[int]) -> None:
    """When so many messages have come: while others are on their way."""
    for count in after:
        async with listener.news:
            await listener.news.wait_for(lambda count=count: listener.count >= count)
        await asyncio.to_thread(server.restart, signal.SIGKILL)


async def test_fifty_devices_claim_and_write_while_the_server_is_killed(server):
    """With real Olm sessions: no key is handed out twice, no message is lost or reordered, and
    every one decrypts.
    """
    everything = CLAIMERS * TALKS * SAID
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        listener = Listener(server, http)
        await listener.begins("listener")
        talkers = [Talker(server, http, listener) for _ in range(CLAIMERS)]
        for number, talker in enumerate(talkers):
            await talker.begins(f"talker{number}")
        kills = [everything * (number + 1) // (KILLS + 1) for number in range(KILLS)]
        async with asyncio.TaskGroup() as group:
            group.create_task(listener.listens(everything))
            group.create_task(_kills(server, listener, kills))
            for talker in talkers:
                group.create_task(talker.talks())

        given = [name for talker in talkers for name in talker.given]
        assert len(given) == len(set(given)) == CLAIMERS * TALKS
        everyone = {talker.user_id: [*range(TALKS * SAID)] for talker in talkers}
        assert listener.heard == everyone
        # Nothing comes once more, and the senders are who their published keys say.
        answer = await listener.insists("GET", f"sync?since={listener._since}")
        assert "to_device" not in answer
        wanted = {"device_keys": {talker.user_id: [] for talker in talkers}}
        published = (await listener.insists("POST", "keys/query", wanted))["device_keys"]
        for talker in talkers:
            keys = published[talker.user_id][talker.device_id]["keys"]
            assert keys[f"curve25519:{talker.device_id}"] in listener._sessions
