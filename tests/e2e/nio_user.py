"""matrix-nio with its own cryptography, as somebody in a room."""

import asyncio
from pathlib import Path
from typing import Any

import nio

from tests.support.olm_session import PASSWORD, PATIENCE_S

_WAIT_MS = 1_000


class NioUser:
    """Trusts every device that it sees, as its own examples do."""

    def __init__(self, url: str, localpart: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.nio = nio.AsyncClient(url, localpart, store_path=str(directory), config=config)
        self.heard: list[nio.Event] = []
        self.nio.add_event_callback(self._hears, nio.Event)

    async def __aenter__(self) -> "NioUser":
        done(await self.nio.register(self.nio.user, PASSWORD))
        done(await self.nio.login(PASSWORD))
        await self.syncs()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.nio.close()

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
        for device in self.nio.device_store:
            if device.user_id != self.user_id:
                self.nio.verify_device(device)
        await self.nio.send_to_device_messages()

    async def joins(self, room_id: str) -> None:
        done(await self.nio.join(room_id))
        await self.until(lambda: room_id in self.nio.rooms)

    async def says(self, room_id: str, content: dict[str, Any]) -> str:
        done(await self.nio.room_send(room_id, "m.room.message", content))
        return str(content["body"])

    async def hears(self, text: str) -> nio.Event:
        def found() -> list[nio.Event]:
            return [event for event in self.heard if getattr(event, "body", None) == text]

        await self.until(found)
        return found()[0]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.syncs()

    async def _hears(self, _room: nio.MatrixRoom, event: nio.Event) -> None:
        self.heard.append(event)


def done(answer: Any) -> Any:
    assert not isinstance(answer, nio.ErrorResponse), answer
    return answer
