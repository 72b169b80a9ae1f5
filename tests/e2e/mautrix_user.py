"""mautrix with its own cryptography on python-olm, as somebody in a room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mautrix.client import Client, InternalEventType, MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.crypto.attachments import decrypt_attachment, encrypt_attachment
from mautrix.types import Event, EventType, Membership, RoomID, TOFUSigningKey, UserID

from e2e.client.session import Credentials
from tests.e2e.people import Heard
from tests.support.olm_session import PATIENCE_S, registered


class States(MemoryStateStore):
    """What its cryptography asks of a state store."""

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room_id for room_id, members in self.members.items() if user_id in members]


class Store(MemoryCryptoStore):
    """The library's own of 0.21 fails at a cross-signing key that it has already."""

    async def put_cross_signing_key(self, user_id: Any, usage: Any, key: Any) -> None:
        keys = self._cross_signing_keys.setdefault(user_id, {})
        first = keys[usage].first if usage in keys else key
        keys[usage] = TOFUSigningKey(key=key, first=first)


class MautrixUser:
    """The client syncs by itself."""

    def __init__(self, account: Credentials) -> None:
        self.user_id = account.user_id
        self.device_id = account.device_id
        self.store = States()
        self.mautrix = Client(
            base_url=account.url,
            mxid=UserID(account.user_id),
            device_id=account.device_id,
            token=account.access_token,
            state_store=self.store,
        )
        self.crypto_store = Store(account.user_id, "pickle key")
        self.crypto = OlmMachine(self.mautrix, self.crypto_store, self.store)
        self.heard: list[Event] = []
        self._moved = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def enters(cls, url: str, localpart: str) -> AsyncIterator["MautrixUser"]:
        async with cls.on(await registered(url, localpart)) as user:
            yield user

    @classmethod
    @asynccontextmanager
    async def on(cls, account: Credentials) -> AsyncIterator["MautrixUser"]:
        """With a session that is there."""
        user = cls(account)
        await user.crypto_store.put_device_id(user.device_id)
        await user.crypto.load()
        user.mautrix.crypto = user.crypto
        await user.crypto.share_keys()
        user.mautrix.add_event_handler(EventType.ALL, user._hears, wait_sync=True)
        synced = InternalEventType.SYNC_SUCCESSFUL
        user.mautrix.add_event_handler(synced, user._has_synced, wait_sync=True)
        user.mautrix.start(None)
        try:
            yield user
        finally:
            user.mautrix.stop()
            await user.mautrix.api.session.close()

    async def joins(self, room_id: str) -> None:
        await self.mautrix.join_room_by_id(RoomID(room_id))
        await self.until(lambda: self.store.encryption.get(RoomID(room_id)))

    async def says(self, room_id: str, text: str) -> str:
        return await self.sends(room_id, {"msgtype": "m.text", "body": text})

    async def sends(self, room_id: str, content: dict[str, Any]) -> str:
        send = self.mautrix.send_message_event
        return str(await send(RoomID(room_id), EventType.ROOM_MESSAGE, content))

    async def hears(self, room_id: str, text: str) -> Heard:
        event = await self._message(room_id, text)
        assert event["mautrix"]["was_encrypted"]
        (encrypted,) = [
            one for one in self._events(event.event_id) if one.type == EventType.ROOM_ENCRYPTED
        ]
        return Heard(event.sender, encrypted.content.session_id, event.content.serialize())

    async def cannot_read(self, room_id: str, event_id: str) -> None:
        await self.until(lambda: self._events(event_id))
        assert {event.type for event in self._events(event_id)} == {EventType.ROOM_ENCRYPTED}

    async def sends_file(self, room_id: str, name: str, data: bytes) -> None:
        cipher, file = encrypt_attachment(data)
        file.url = await self.mautrix.upload_media(cipher, "application/octet-stream")
        content = {"msgtype": "m.file", "body": name, "file": file.serialize()}
        await self.sends(room_id, content)

    async def reads_file(self, room_id: str, name: str) -> bytes:
        file = (await self._message(room_id, name)).content.file
        cipher = await self.mautrix.download_media(file.url)
        return bytes(decrypt_attachment(cipher, file.key.key, file.hashes["sha256"], file.iv))

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        def is_so() -> bool:
            member = self.store.members.get(RoomID(room_id), {}).get(UserID(user_id))
            return member is not None and member.membership == Membership(membership)

        await self.until(is_so)

    async def sees_devices(self, user_id: str, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(await self.crypto_store.get_devices(UserID(user_id)) or {}) != number:
                # It looks them up beside its syncs, and says nothing when it has.
                await self.crypto._fetch_keys([UserID(user_id)], include_untracked=True)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    def _events(self, event_id: str) -> list[Event]:
        """One that could be read is there twice: as it came, and as it was meant."""
        return [one for one in self.heard if getattr(one, "event_id", None) == event_id]

    async def _message(self, room_id: str, text: str) -> Event:
        def found() -> list[Event]:
            return [
                event
                for event in self.heard
                if getattr(event, "room_id", None) == room_id
                and getattr(event.content, "body", None) == text
            ]

        await self.until(found)
        return found()[0]

    async def _hears(self, event: Event) -> None:
        self.heard.append(event)
        self._moved.set()

    async def _has_synced(self, _data: Any) -> None:
        self._moved.set()
