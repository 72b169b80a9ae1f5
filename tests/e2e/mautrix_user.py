"""mautrix with its own cryptography on python-olm, as somebody in a room."""

import asyncio
from typing import Any

from mautrix.client import Client, InternalEventType, MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.types import Event, EventType, RoomID, UserID

from e2e.client.session import Credentials
from tests.support.olm_session import PATIENCE_S


class States(MemoryStateStore):
    """What its cryptography asks of a state store."""

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room_id for room_id, members in self.members.items() if user_id in members]


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
        self.crypto_store = MemoryCryptoStore(account.user_id, "pickle key")
        self.heard: list[Event] = []
        self._moved = asyncio.Event()

    async def __aenter__(self) -> "MautrixUser":
        await self.crypto_store.put_device_id(self.device_id)
        crypto = OlmMachine(self.mautrix, self.crypto_store, self.store)
        await crypto.load()
        self.mautrix.crypto = crypto
        await crypto.share_keys()
        self.mautrix.add_event_handler(EventType.ALL, self._hears, wait_sync=True)
        synced = InternalEventType.SYNC_SUCCESSFUL
        self.mautrix.add_event_handler(synced, self._has_synced, wait_sync=True)
        self.mautrix.start(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.mautrix.stop()
        await self.mautrix.api.session.close()

    async def joins(self, room_id: str) -> None:
        await self.mautrix.join_room_by_id(RoomID(room_id))
        await self.until(lambda: self.store.encryption.get(RoomID(room_id)))

    async def says(self, room_id: str, content: dict[str, Any]) -> None:
        await self.mautrix.send_message_event(RoomID(room_id), EventType.ROOM_MESSAGE, content)

    async def hears(self, text: str) -> Event:
        def found() -> list[Event]:
            return [event for event in self.heard if getattr(event.content, "body", None) == text]

        await self.until(found)
        return found()[0]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    async def _hears(self, event: Event) -> None:
        self.heard.append(event)
        self._moved.set()

    async def _has_synced(self, _data: Any) -> None:
        self._moved.set()
