"""CPU time of a server, of its Postgres, of this program and of everything else; memory."""

import os
from dataclasses import dataclass, replace
from time import perf_counter

import psutil

from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stretch of time cost: CPU seconds, user and system."""

    seconds: float
    server: float
    postgres: float
    generator: float
    others: float
    """All other processes of the machine: figures with much of it are not to be trusted."""

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(
            self.seconds - before.seconds,
            self.server - before.server,
            self.postgres - before.postgres,
            self.generator - before.generator,
            self.others - before.others,
        )

    def __add__(self, more: "Usage") -> "Usage":
        return Usage(
            self.seconds + more.seconds,
            self.server + more.server,
            self.postgres + more.postgres,
            self.generator + more.generator,
            self.others + more.others,
        )


class Meter:
    """Measures from its making to `read`. Of a server's descendants those are its Postgres that are
    called so, unless that is named; the others are its own.
    """

    def __init__(self, server_pid: int, postgres_pid: int | None = None) -> None:
        self._server = psutil.Process(server_pid)
        self._postgres = None if postgres_pid is None else psutil.Process(postgres_pid)
        self._before = self._now()

    def read(self) -> Usage:
        usage = self._now() - self._before
        # Clocks of processes and of the machine tick apart: on a quiet machine it may be below 0.
        return replace(usage, others=max(0.0, usage.others))

    def _now(self) -> Usage:
        machine = psutil.cpu_times()
        # Without interrupts: those of the loopback network are for the three that are measured.
        busy = machine.user + machine.nice + machine.system
        own = os.times()
        own_s = own.user + own.system
        servers, postgres = self._parties()
        server_s, postgres_s = (
            sum(map(_with_ended_children, each)) for each in (servers, postgres)
        )
        others_s = busy - server_s - own_s - postgres_s
        return Usage(perf_counter(), server_s, postgres_s, own_s, others_s)

    def _parties(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        below = _descendants(self._server)
        postgres = [each for each in below if _is_postgres(each)]
        servers = [self._server, *(each for each in below if each not in postgres)]
        if self._postgres is not None:
            postgres = [self._postgres, *_descendants(self._postgres)]
        return servers, postgres


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def _is_postgres(process: psutil.Process) -> bool:
    try:
        return process.name() == "postgres"
    except psutil.NoSuchProcess:
        return False


def _with_ended_children(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # counts among its parent's ended children the next time
    return times.user + times.system + times.children_user + times.children_system


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, without its children."""
    return psutil.Process(pid).memory_info().rss


def usage_figures(usage: Usage, operations: int, operation: str = "message") -> list[Figure]:
    """CPU milliseconds per operation, and how busy each was, in cores."""
    parties = {
        "server": usage.server,
        "Postgres": usage.postgres,
        "load generator": usage.generator,
    }
    each = [
        Figure(f"{name} CPU per {operation}", 1000 * cpu / operations, "ms")
        for name, cpu in parties.items()
        if operations
    ]
    cores = {**parties, "other processes": usage.others}
    return each + [
        Figure(f"{name} busy", cpu / usage.seconds, "cores") for name, cpu in cores.items()
    ]
