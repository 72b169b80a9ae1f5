"""Servers as processes: started, waited for, and always stopped."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

READY = "ready http://"
_STARTING_S = 60.0
_STOPPING_S = 60.0
_LAST_LINES = 15

FOYER_CONFIG = """\
# Accounts are made quickly, and nobody is held back. Everything else is as it comes.
[auth]
registration = "open"
argon2_time_cost = 1
argon2_memory_kib = 8

[rate_limits]
enabled = false

[websocket]
max_connections_per_user = 1000
frames_per_second = 1000000
frames_burst = 1000000
"""


class ServerNotReadyError(Exception):
    """A server did not become ready."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready. ready_s: seconds from its start to its ready line."""

    address: tuple[str, int]
    pid: int
    ready_s: float


@asynccontextmanager
async def foyer(folder: Path, settings: str = FOYER_CONFIG) -> AsyncIterator[Server]:
    """`foyer serve` on what the folder holds, with its embedded Postgres. settings: TOML."""
    config = folder / "foyer.toml"
    config.write_text(settings)
    arguments = ("serve", "--config", str(config), "--data-dir", str(folder / "data"))
    command = (sys.executable, "-m", "homeserver", *arguments, "--listen", "127.0.0.1:0")
    async with _running(command, log=folder / "foyer.log") as server:
        yield server


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[Server]:
    """The bare reference, with a Postgres that is set up the same."""
    command = (sys.executable, "-m", "bench.bare", str(folder / "data"))
    async with _running(command, log=folder / "bare.log") as server:
        yield server


@asynccontextmanager
async def _running(command: Sequence[str], *, log: Path) -> AsyncIterator[Server]:
    started = perf_counter()
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        address = await _ready(process, log)
        yield Server(address, process.pid, perf_counter() - started)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, log: Path) -> tuple[str, int]:
    """The address of the ready line. Raises ServerNotReadyError."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_STARTING_S):
            while line := (await process.stdout.readline()).decode():
                if line.startswith(READY):
                    host, _, port = line.removeprefix(READY).strip().rpartition(":")
                    return host, int(port)
    except TimeoutError:
        raise ServerNotReadyError(f"not ready after {_STARTING_S:.0f} s\n{_tail(log)}") from None
    raise ServerNotReadyError(f"ended before it was ready\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOPPING_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
