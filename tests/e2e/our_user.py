"""`e2e.client`, as somebody in a room."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.client import files
from e2e.client.key_sharing import Audience
from tests.e2e.people import Heard
from tests.support.olm_session import OlmClient, olm_session, registered


class OurUser:
    """client: for what only this library can do."""

    def __init__(self, client: OlmClient) -> None:
        self.client = client
        self.user_id = client.user_id
        self.device_id = client.device_id
        self.recovery_key = ""

    @classmethod
    @asynccontextmanager
    async def enters(
        cls, url: str, localpart: str, directory: Path, audience: Audience = Audience.ALL
    ) -> AsyncIterator["OurUser"]:
        async with olm_session(directory, await registered(url, localpart), audience) as client:
            yield cls(client)

    async def joins(self, room_id: str) -> None:
        await self.client.joins(room_id)

    async def says(self, room_id: str, text: str) -> str:
        return await self.client.says(room_id, text)

    async def hears(self, room_id: str, text: str) -> Heard:
        said = await self.client.hears(text)
        assert said.room_id == room_id
        assert said.decrypted is not None
        return Heard(said.event["sender"], said.decrypted.session_id, said.event["content"])

    async def cannot_read(self, room_id: str, event_id: str) -> None:
        assert "missing" in await self.client.cannot_read(event_id)

    async def sends_file(self, room_id: str, name: str, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / name
            path.write_bytes(data)
            await files.send(self.client.session, room_id, path)

    async def reads_file(self, room_id: str, name: str) -> bytes:
        heard = await self.hears(room_id, name)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / name
            await files.save(self.client.session, heard.content, path)
            return path.read_bytes()

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        await self.client.sees_member(room_id, user_id, membership)

    async def sees_devices(self, user_id: str, number: int) -> None:
        step = self.client.session.step
        await step(lambda m: m.track([user_id]))

        async def is_so() -> bool:
            return len((await step(lambda m: m.tracking.user(user_id))).devices) == number

        await self.client.until(is_so)
