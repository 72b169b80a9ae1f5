"""matrix-nio with its own cryptography, as somebody in a room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import nio
from nio.crypto.sas import Sas

from tests.e2e.people import Heard
from tests.support.olm_session import PASSWORD, PATIENCE_S

_WAIT_MS = 1_000


class NioUser:
    """Gives keys to every device, as its own examples do."""

    def __init__(self, url: str, localpart: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.nio = nio.AsyncClient(url, localpart, store_path=str(directory), config=config)
        self.heard: list[tuple[str, nio.Event]] = []
        self.told: list[nio.ToDeviceEvent] = []
        self.nio.add_event_callback(self._hears, nio.Event)
        self.nio.add_to_device_callback(self._is_told, nio.ToDeviceEvent)

    @classmethod
    @asynccontextmanager
    async def enters(
        cls, url: str, name: str, directory: Path, *, registers: bool = True
    ) -> AsyncIterator["NioUser"]:
        """name: a user name that nobody has, or the ID of who logs in."""
        user = cls(url, name, directory / f"nio-{uuid4().hex}")
        try:
            if registers:
                done(await user.nio.register(name, PASSWORD))
            done(await user.nio.login(PASSWORD))
            await user.syncs()
            yield user
        finally:
            await user.nio.close()

    @property
    def user_id(self) -> str:
        return str(self.nio.user_id)

    @property
    def device_id(self) -> str:
        return str(self.nio.device_id)

    async def syncs(self) -> None:
        done(await self.nio.sync(timeout=_WAIT_MS, full_state=not self.nio.rooms))
        if self.nio.should_upload_keys:
            done(await self.nio.keys_upload())
        if self.nio.should_query_keys:
            done(await self.nio.keys_query())
        if self.nio.should_claim_keys:
            done(await self.nio.keys_claim(self.nio.get_users_for_key_claiming()))
        await self.nio.send_to_device_messages()

    async def joins(self, room_id: str) -> None:
        done(await self.nio.join(room_id))
        await self.until(lambda: room_id in self.nio.rooms)

    async def says(self, room_id: str, text: str) -> str:
        return await self.sends(room_id, {"msgtype": "m.text", "body": text})

    async def sends(self, room_id: str, content: dict[str, Any]) -> str:
        answer = await self.nio.room_send(
            room_id, "m.room.message", content, ignore_unverified_devices=True
        )
        return str(done(answer).event_id)

    async def hears(self, room_id: str, text: str) -> Heard:
        event = await self._event(room_id, lambda event: getattr(event, "body", None) == text)
        assert event.decrypted
        return Heard(event.sender, event.session_id, event.source["content"])

    async def cannot_read(self, room_id: str, event_id: str) -> None:
        await self.unread(room_id, event_id)

    async def unread(self, room_id: str, event_id: str) -> nio.MegolmEvent:
        event = await self._event(room_id, lambda event: event.event_id == event_id)
        assert isinstance(event, nio.MegolmEvent)
        return event

    async def sends_file(self, room_id: str, name: str, data: bytes) -> None:
        answer, keys = await self.nio.upload(
            lambda *_: data, filename=name, encrypt=True, filesize=len(data)
        )
        file = {**keys, "url": done(answer).content_uri}
        await self.sends(room_id, {"msgtype": "m.file", "body": name, "file": file})

    async def reads_file(self, room_id: str, name: str) -> bytes:
        event = await self._event(room_id, lambda event: getattr(event, "body", None) == name)
        assert isinstance(event, nio.RoomEncryptedFile)
        cipher = done(await self.nio.download(event.url)).body
        plain = nio.crypto.decrypt_attachment(
            cipher, event.key["k"], event.hashes["sha256"], event.iv
        )
        return bytes(plain)

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        def is_so() -> bool:
            user = self.nio.rooms[room_id].users.get(user_id)
            return (user is not None and not user.invited) == (membership == "join")

        await self.until(is_so)

    async def sees_devices(self, user_id: str, number: int) -> None:
        devices = self.nio.device_store.active_user_devices
        await self.until(lambda: len([*devices(user_id)]) == number)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.syncs()

    async def _event(self, room_id: str, fits: Callable[[nio.Event], bool]) -> Any:
        def found() -> list[nio.Event]:
            return [event for where, event in self.heard if where == room_id and fits(event)]

        await self.until(found)
        return found()[0]

    async def _is_told(self, event: nio.ToDeviceEvent) -> None:
        self.told.append(event)

    async def _hears(self, room: nio.MatrixRoom, event: nio.Event) -> None:
        self.heard.append((room.room_id, event))


class NioFlow:
    """What its user does to verify."""

    def __init__(self, bot: NioUser) -> None:
        self.bot = bot

    async def starts(self, user_id: str, device_id: str) -> None:
        device = self.bot.nio.device_store[user_id][device_id]
        done(await self.bot.nio.start_key_verification(device))

    async def accepts(self, transaction_id: str) -> None:
        await self.bot.until(lambda: transaction_id in self.bot.nio.key_verifications)
        done(await self.bot.nio.accept_key_verification(transaction_id))

    async def decimals(self) -> tuple[int, ...]:
        await self.bot.until(lambda: self._sas.established_sas)
        return tuple(self._sas.get_decimals())

    async def confirms(self) -> None:
        done(await self.bot.nio.confirm_short_auth_string(self._sas.transaction_id))
        await self.bot.until(lambda: self._sas.verified)

    @property
    def _sas(self) -> Sas:
        return [*self.bot.nio.key_verifications.values()][-1]


def done(answer: Any) -> Any:
    assert not isinstance(answer, nio.ErrorResponse), answer
    return answer
