"""matrix-js-sdk with its Rust crypto, as somebody in a room."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.olm_session import PASSWORD, PATIENCE_S

_DRIVER = Path(__file__).parents[1] / "clients" / "js" / "encrypting.mjs"


class JsUser:
    """A process of Node. What the library logs is shown by pytest if a test fails."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = count(1)
        self.user_id = self.device_id = ""

    @classmethod
    async def enters(cls, url: str, localpart: str) -> "JsUser":
        process = await asyncio.create_subprocess_exec(
            "node", str(_DRIVER), stdin=PIPE, stdout=PIPE
        )
        user = cls(process)
        user.user_id, user.device_id = await user.asks("enters", url, localpart, PASSWORD)
        return user

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

    async def closes(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
