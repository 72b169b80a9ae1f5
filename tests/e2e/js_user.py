"""matrix-js-sdk with its Rust crypto, as somebody in a room."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.e2e.people import Heard
from tests.support.olm_session import PASSWORD, PATIENCE_S

_DRIVER = Path(__file__).parents[1] / "clients" / "js" / "encrypting.mjs"
_MAX_LINE = 1 << 24


class JsUser:
    """A process of Node. What the library logs is shown by pytest if a test fails."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = count(1)
        self.user_id = self.device_id = ""

    @classmethod
    @asynccontextmanager
    async def enters(
        cls, url: str, name: str, *, registers: bool = True
    ) -> AsyncIterator["JsUser"]:
        """name: a user name that nobody has, or the ID of who logs in."""
        process = await asyncio.create_subprocess_exec(
            "node", str(_DRIVER), stdin=PIPE, stdout=PIPE, limit=_MAX_LINE
        )
        try:
            user = cls(process)
            verb = "registers" if registers else "logsIn"
            user.user_id, user.device_id = await user.asks(verb, url, name, PASSWORD)
            yield user
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def asks(self, verb: str, *given: Any) -> Any:
        """One at a time. Raises AssertionError with what the library raised."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        question = {"id": next(self._numbers), "do": verb, "with": given}
        stdin.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            line = await stdout.readline()
        assert line, "Node ended"
        answer = json.loads(line)
        assert "error" not in answer, answer.get("error")
        return answer["is"]

    async def creates(self, name: str, *invited: str, **rotation: int) -> str:
        return str(await self.asks("creates", name, invited, rotation))

    async def joins(self, room_id: str) -> None:
        await self.asks("joins", room_id)

    async def says(self, room_id: str, text: str) -> str:
        return str(await self.asks("says", room_id, text))

    async def hears(self, room_id: str, text: str) -> Heard:
        found = await self.asks("hears", room_id, text)
        assert found["encrypted"]
        return Heard(found["sender"], found["session"], found["content"])

    async def cannot_read(self, room_id: str, event_id: str) -> None:
        await self.asks("cannotRead", room_id, event_id)

    async def sends_file(self, room_id: str, name: str, data: bytes) -> None:
        await self.asks("sendsFile", room_id, name, b64encode(data).decode())

    async def reads_file(self, room_id: str, name: str) -> bytes:
        return b64decode(await self.asks("readsFile", room_id, name))

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        await self.asks("seesMember", room_id, user_id, membership)

    async def sees_devices(self, user_id: str, number: int) -> None:
        await self.asks("seesDevices", user_id, number)
