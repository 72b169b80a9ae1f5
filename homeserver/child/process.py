"""A child process, as the server sees it."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

_ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")


class ChildDied(Exception):
    """The process ended, or said what no process of ours says."""


class ChildProcess(asyncio.SubprocessProtocol):
    """Answers lines with lines, in their order. Made by `start`; what it runs calls `answer_lines`.

    What it was not yet able to read waits in memory: whoever asks says how much that may be.
    """

    def __init__(self, *, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._transport: asyncio.SubprocessTransport
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._arrived = bytearray()
        self._gone = asyncio.Event()
        self.is_alive = True

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        max_line_bytes: int,
        variables: Mapping[str, str] | None = None,
    ) -> "ChildProcess":
        """Runs `python -m module`. max_line_bytes: of an answer. variables: of its environment,
        which has nothing else of the server's, for that may hold secrets, but what the interpreter
        needs.

        Raises OSError when the system allows no further process.
        """
        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(max_line_bytes=max_line_bytes),
            sys.executable,
            *("-m", module, *arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=_ROOT,
            env={name: os.environ[name] for name in _KEPT if name in os.environ}
            | dict(variables or {}),
        )
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def is_at_work(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._waiting)

    async def ask(self, line: bytes) -> bytes:
        """Both without an end of line. Raises ChildDied."""
        if not self.is_alive:
            raise ChildDied(f"the process {self.pid} has ended")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        stdin.write(line + b"\n")
        return await answer

    def kill(self) -> None:
        """Whoever waits for an answer is told."""
        with suppress(ProcessLookupError):
            self._transport.kill()
        self._end()

    async def stop(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Of the only pipe that is read."""
        del fd
        *ends, rest = cast("bytes", data).split(b"\n")
        for end in ends:
            self._gather(end)
            self._hand_over(bytes(self._arrived))
            self._arrived.clear()
        self._gather(rest)

    def _gather(self, some: bytes) -> None:
        self._arrived += some
        if len(self._arrived) > self._max_line_bytes:
            self.kill()

    def _hand_over(self, line: bytes) -> None:
        """Who was not asked has nothing to say."""
        if not self._waiting:
            self.kill()
            return
        answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del fd, exc
        self.kill()

    def process_exited(self) -> None:
        self._end()
        self._gone.set()

    def _end(self) -> None:
        self.is_alive = False
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ChildDied(f"the process {self.pid} has ended"))
