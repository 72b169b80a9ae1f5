"""An imaging process, as the server sees it."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from mediarepo.imaging.jobs import MAX_LINE_BYTES, Answer, Job, decode_answer, encode_job

_ROOT = Path(__file__).parents[2]


class WorkerDied(Exception):
    """The process ended, or said what no process of ours says."""


class ImagingProcess:
    """One process; it does one job at a time. Made by `start`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs = 0

    @classmethod
    async def start(cls, *, max_memory_bytes: int) -> "ImagingProcess":
        """Raises OSError when the system allows no further process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "mediarepo.imaging.worker", str(max_memory_bytes)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=MAX_LINE_BYTES,
            cwd=_ROOT,
            env=_environment(),
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, job: Job) -> Answer:
        """Raises WorkerDied. Whoever cancels this kills the process as well."""
        self.jobs += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(encode_job(job))
            await self._process.stdin.drain()
            return decode_answer(await self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise WorkerDied(f"the imaging process {self.pid} failed") from error

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await self._process.wait()


def _environment() -> dict[str, str]:
    """Nothing of the server's, which may hold secrets, but what the interpreter needs.

    One thread a process, and one arena: what a process may use is said by the number of processes.
    Pictures that are unpacked stay in memory, which has a limit, and do not go to the disk.
    """
    kept = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "VIPS_CONCURRENCY": "1",
        "VIPS_DISC_THRESHOLD": "1000g",
        "MALLOC_ARENA_MAX": "2",
    }
