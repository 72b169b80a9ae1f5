"""matrix-nio with its cryptography: people who talk so that the server cannot read it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import aiohttp
import nio
import pytest

from tests.clients.client import PASSWORD
from tests.support.live_server import LiveServer

_SYNC_MS = 3_000
_ATTEMPTS = 40
_numbers = iter(range(1_000_000))


class Encrypted:
    """A device that encrypts. heard: what it could read."""

    def __init__(self, url: str, localpart: str, store: Path) -> None:
        store.mkdir(parents=True, exist_ok=True)
        config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.nio = nio.AsyncClient(url, localpart, store_path=str(store), config=config)
        self.localpart = localpart
        self.heard: list[str] = []
        self.unreadable: list[str] = []
        self.nio.add_event_callback(self._hears, nio.RoomMessageText)
        self.nio.add_event_callback(self._cannot_read, nio.MegolmEvent)

    async def registers(self) -> None:
        answer = await self.nio.register(self.localpart, PASSWORD)
        assert isinstance(answer, nio.RegisterResponse), answer
        await self.syncs()

    async def logs_in(self) -> None:
        answer = await self.nio.login(PASSWORD)
        assert isinstance(answer, nio.LoginResponse), answer
        await self.syncs()

    async def syncs(self, *, timeout: int = 0) -> None:
        """And does what the library says is due then: keys are uploaded, looked up and claimed."""
        answer = await self.nio.sync(timeout=timeout)
        assert isinstance(answer, nio.SyncResponse), answer
        await self.nio.send_to_device_messages()
        due: list[tuple[bool, Callable[[], Awaitable[object]]]] = [
            (self.nio.should_upload_keys, self.nio.keys_upload),
            (self.nio.should_query_keys, self.nio.keys_query),
        ]
        for is_due, act in due:
            if is_due:
                assert not isinstance(await act(), nio.ErrorResponse)
        if self.nio.should_claim_keys:
            users = self.nio.get_users_for_key_claiming()
            assert not isinstance(await self.nio.keys_claim(users), nio.ErrorResponse)

    async def says(self, room_id: str, text: str) -> None:
        answer = await self.nio.room_send(
            room_id,
            "m.room.message",
            {"msgtype": "m.text", "body": text},
            ignore_unverified_devices=True,
        )
        assert isinstance(answer, nio.RoomSendResponse), answer

    async def hears(self, text: str) -> None:
        for _ in range(_ATTEMPTS):
            if text in self.heard:
                return
            await self.syncs(timeout=_SYNC_MS)
        raise AssertionError((text, self.heard, self.unreadable))

    async def _hears(self, _room: nio.MatrixRoom, event: nio.RoomMessageText) -> None:
        assert event.decrypted
        self.heard.append(event.body)

    async def _cannot_read(self, _room: nio.MatrixRoom, event: nio.MegolmEvent) -> None:
        self.unreadable.append(event.event_id)


@pytest.fixture
async def enters(server: LiveServer, tmp_path: Path) -> AsyncIterator[Callable[..., Encrypted]]:
    """Makes devices of people: a person's name, and whether it is a new person."""
    devices: list[Encrypted] = []
    tag = f"e{next(_numbers)}{tmp_path.name.replace('_', '')[-12:].lower()}"

    def make(name: str) -> Encrypted:
        device = Encrypted(server.url, f"{name}.{tag}", tmp_path / f"{name}{len(devices)}")
        devices.append(device)
        return device

    begins = len(server.log)
    yield make
    for device in devices:
        await device.nio.close()
    problems = server.problems(begins)
    assert not problems, problems


async def encrypted_room(owner: Encrypted, *others: Encrypted) -> str:
    answer = await owner.nio.room_create(
        invite=[each.nio.user_id for each in others],
        initial_state=[nio.EnableEncryptionBuilder().as_dict()],
    )
    room_id = str(answer.room_id)
    for each in others:
        assert isinstance(await each.nio.join(room_id), nio.JoinResponse)
    for each in (*others, owner):
        await each.syncs()
    return room_id


async def kinds_of(reader: Encrypted, room_id: str) -> set[str]:
    """The types of a room's events as the server has them: the library would decrypt them."""
    url = (
        f"{reader.nio.homeserver}/_matrix/client/v3/rooms/{quote(room_id)}/messages?dir=b&limit=50"
    )
    headers = {"Authorization": f"Bearer {reader.nio.access_token}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return {event["type"] for event in (await response.json())["chunk"]}


class TestEncryptedRooms:
    """Each message goes through a real server, which cannot read it."""

    async def test_two_people_talk(self, enters):
        alice, bob = enters("alice"), enters("bob")
        await alice.registers()
        await bob.registers()
        room_id = await encrypted_room(alice, bob)
        await alice.says(room_id, "hello")
        await bob.hears("hello")
        await bob.says(room_id, "hello yourself")
        await alice.hears("hello yourself")
        assert await kinds_of(alice, room_id) >= {"m.room.encrypted"}
        assert "m.room.message" not in await kinds_of(alice, room_id)
        assert not bob.unreadable

    async def test_a_new_device_is_found_and_reads_what_comes(self, enters):
        alice, bob = enters("alice"), enters("bob")
        await alice.registers()
        await bob.registers()
        room_id = await encrypted_room(alice, bob)
        await alice.says(room_id, "before")
        await bob.hears("before")
        laptop = enters("bob")
        await laptop.logs_in()
        await alice.syncs(timeout=_SYNC_MS)
        alice.nio.invalidate_outbound_session(room_id)
        await alice.says(room_id, "after")
        await laptop.hears("after")
        await bob.hears("after")

    async def test_a_device_that_logged_out_is_forgotten(self, enters):
        alice, bob = enters("alice"), enters("bob")
        await alice.registers()
        await bob.registers()
        room_id = await encrypted_room(alice, bob)
        laptop = enters("bob")
        await laptop.logs_in()
        await alice.syncs(timeout=_SYNC_MS)
        assert len([*alice.nio.device_store.active_user_devices(bob.nio.user_id)]) == 2
        await laptop.nio.logout()
        await alice.syncs(timeout=_SYNC_MS)
        assert len([*alice.nio.device_store.active_user_devices(bob.nio.user_id)]) == 1
        await alice.says(room_id, "between us")
        await bob.hears("between us")

    async def test_who_joins_late_reads_what_comes(self, enters):
        alice, bob, carol = enters("alice"), enters("bob"), enters("carol")
        for each in (alice, bob, carol):
            await each.registers()
        room_id = await encrypted_room(alice, bob)
        await alice.says(room_id, "before")
        await alice.nio.room_invite(room_id, carol.nio.user_id)
        await carol.nio.join(room_id)
        await carol.syncs()
        await alice.syncs(timeout=_SYNC_MS)
        await alice.says(room_id, "welcome")
        await carol.hears("welcome")
        await bob.hears("welcome")
        assert "before" not in carol.heard
