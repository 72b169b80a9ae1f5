"""mautrix with its cryptography on python-olm, in one encrypted room with matrix-nio."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from mautrix.api import Method, Path
from mautrix.client import Client, MemoryStateStore
from mautrix.crypto import OlmMachine, StateStore
from mautrix.crypto.store import MemoryCryptoStore
from mautrix.types import DeviceID, EventType, MessageEvent, RoomID, TrustState, UserID

from tests.clients.client import PASSWORD
from tests.clients.test_encrypted_nio import Encrypted, enters
from tests.support.live_server import LiveServer

__all__ = ["enters"]
_PATIENCE_S = 60


class Store(MemoryStateStore, StateStore):
    """What the cryptography asks of the rooms that the client knows."""

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room_id for room_id, members in self.members.items() if user_id in members]


class Talker:
    """A device of somebody, with a loop of its own. heard: what it could read."""

    def __init__(self, url: str, localpart: str) -> None:
        self.localpart = localpart
        self.store = Store()
        self.client = Client(base_url=url, state_store=self.store)
        self.heard: list[str] = []
        self._news = asyncio.Event()

    async def registers(self) -> None:
        body = {
            "username": self.localpart,
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = await self.client.api.request(Method.POST, Path.v3.register, body)
        client = self.client
        client.api.token = answer["access_token"]
        client.mxid, client.device_id = UserID(answer["user_id"]), DeviceID(answer["device_id"])
        crypto_store = MemoryCryptoStore(client.device_id, "pickle")
        crypto = OlmMachine(client, crypto_store, self.store)
        crypto.send_keys_min_trust = crypto.share_keys_min_trust = TrustState.UNVERIFIED
        await crypto_store.open()
        await crypto.load()
        client.crypto = crypto
        client.add_event_handler(EventType.ROOM_MESSAGE, self._hears)
        client.start(None)
        await crypto.share_keys()

    async def says(self, room_id: str, text: str) -> None:
        await self.client.send_text(RoomID(room_id), text)

    async def hears(self, text: str) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while text not in self.heard:
                self._news.clear()
                await self._news.wait()

    async def closes(self) -> None:
        self.client.stop()
        await self.client.api.session.close()

    async def _hears(self, event: MessageEvent) -> None:
        self.heard.append(event.content.body)
        self._news.set()


@pytest.fixture
async def talker(server: LiveServer, tmp_path) -> AsyncIterator[Talker]:
    made = Talker(server.url, f"m.{tmp_path.name.replace('_', '')[-12:].lower()}")
    await made.registers()
    yield made
    await made.closes()


async def test_nio_and_mautrix_read_each_other(enters, talker):
    alice: Encrypted = enters("alice")
    await alice.registers()
    user_id = str(talker.client.mxid)
    answer = await alice.nio.room_create(invite=[user_id], initial_state=[_ENCRYPTION])
    room_id = str(answer.room_id)
    await talker.client.join_room(RoomID(room_id))
    for _ in range(3):
        await alice.syncs(timeout=500)
    await alice.says(room_id, "hello")
    await talker.hears("hello")
    await talker.says(room_id, "hello yourself")
    await alice.hears("hello yourself")
    assert not alice.unreadable


_ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}
