"""Starting a Postgres program as the right account, with the directories it needs."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from homeserver.storage.embedded import launcher
from homeserver.storage.embedded.account import Account
from homeserver.storage.embedded.binaries import program

# Nothing of ours: PGDATA and its like would change what Postgres does.
_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
)
_OUTPUT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Running:
    """A Postgres program that was started. `output` is where it writes (an open file)."""

    process: asyncio.subprocess.Process
    output: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process.returncode is not None

    def last_lines(self) -> list[str]:
        """The end of what it wrote to standard output and error."""
        start = max(0, os.fstat(self.output).st_size - _OUTPUT_BYTES)
        return os.pread(self.output, _OUTPUT_BYTES, start).decode(errors="replace").splitlines()

    def forget(self) -> None:
        """Close what was opened to read its words."""
        os.close(self.output)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self.has_ended():
            self.process.send_signal(number)

    async def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but not longer."""
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            return False
        return True


class Directories:
    """Directories for a program, under paths that it can follow whatever lies above them.

    For a borrowed account these are /proc/self/fd/N of an open file that it inherits; see
    homeserver/storage/embedded/launcher.py.
    """

    def __init__(self, *, account: Account) -> None:
        self._account = account
        self.open_files: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self.open_files:
            os.close(fd)

    def path_of(self, directory: Path) -> str:
        if not self._account.borrowed:
            return str(directory)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.open_files.append(fd)
        return f"/proc/self/fd/{fd}"


async def launch(
    name: str,
    arguments: Sequence[str],
    *,
    account: Account,
    open_files: Iterable[int],
    when_foyer_dies: signal.Signals,
) -> Running:
    """Start `postgres` or `initdb`. It gets the signal when the thread that calls this ends.

    open_files: stay open in it, under the same numbers.
    """
    output = os.memfd_create(f"foyer-{name}-output", os.MFD_CLOEXEC)  # works on a full disk
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            launcher.__file__,
            str(os.getpid()),
            str(int(when_foyer_dies)),
            f"{account.uid}:{account.gid}" if account.borrowed else "",
            str(program(name)),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(_ENVIRONMENT),
            pass_fds=tuple(open_files),
            start_new_session=True,  # Ctrl-C in Foyer's terminal is for Foyer alone
        )
    except BaseException:
        os.close(output)
        raise
    return Running(process, output)
