"""Foyer and Synapse under the same load, taking turns on one machine.

    python -m bench.side_by_side --harness DIR --peer DIR > table.md

The load is that of the homeserver benchmark, which knows neither of the two and is not part of
this repository: --harness is the folder that it is in, --peer one where it may keep a Synapse of
its own, which is installed there if it is absent. Keys of devices it does not load: that does
`bench.encryption_load`, the workload "encryption". Prints a table of both, of their ratios and of
the ratios that Foyer is to reach.
"""

import argparse
import asyncio
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import orjson
import psutil
import uvloop

from bench import encryption_load, report
from bench.encryption_load import CLAIMERS, CLAIMS_AT_ONCE, UPLOADERS, Target
from bench.processes import FOYER_CONFIG, Server, foyer
from homeserver.storage.embedded import running_dsn

CONFIG = FOYER_CONFIG.replace("argon2_memory_kib = 8\n", "argon2_memory_kib = 2048\n")
"""With password hashes that take as long as Synapse's, which are bcrypt's with 4 rounds: 0.9 ms."""

WORKLOADS = (
    "send:concurrency=1",
    "send:concurrency=8",
    "send:concurrency=32",
    "sync-initial",
    "sync-empty",
    "join",
    "history",
    "media",
    "register",
    "encryption",
    "fanout:members=100,rate=1,presence=offline",
    "fanout:members=300,rate=0.5,presence=offline",
    "fanout:members=1000,rate=0.1,seconds=40,presence=offline",
)
ALONE = (
    "fanout:members=300,rate=2,presence=offline",
    "fanout:members=300,rate=2,presence=online",
    "fanout:members=1000,rate=1,presence=offline",
    "fanout:members=1000,rate=1,presence=online",
)
"""For Foyer only: Synapse is overloaded by these, or never gets everybody connected."""

Summary = Mapping[str, Any]
Summaries = Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of a measurement. least, most: what Foyer's divided by Synapse's is to be."""

    title: str
    measurement: str
    figure: str
    least: float | None = None
    most: float | None = None


CPU = "cpu_ms"
UPLOADED = f"one-time keys uploaded c={UPLOADERS}"
CLAIMED = f"one-time keys claimed c={CLAIMERS}"
CLAIMED_BY_MANY = f"one-time keys claimed c={CLAIMS_AT_ONCE}"
ROWS = (
    Row("messages/s, 1 sender", "send c=1", "rate"),
    Row("messages/s, 8 senders", "send c=8", "rate", least=25),
    Row("messages/s, 32 senders", "send c=32", "rate"),
    Row("CPU a message, ms", "send c=8", CPU, most=1 / 25),
    Row("a message to 100 members, p95 ms", "fanout 100 offline 1/s", "p95_ms"),
    Row("a message to 300 members, p95 ms", "fanout 300 offline 0.5/s", "p95_ms", most=1 / 20),
    Row("a message to 1,000 members, p95 ms", "fanout 1000 offline 0.1/s", "p95_ms", most=1 / 40),
    Row("first sync of 50 rooms, p50 ms", "sync-initial 50 rooms c=1", "p50_ms", most=1 / 15),
    Row("first sync of 50 rooms, 4 at once, p50 ms", "sync-initial 50 rooms c=4", "p50_ms"),
    Row("empty syncs/s", "sync-empty c=8", "rate", least=15),
    Row("joins/s, one by one", "join 60 users c=1", "rate", least=12),
    Row("joins/s, 8 at once", "join 60 users c=8", "rate", least=12),
    Row("pages of 100 messages/s, 1 reader", "history limit=100 c=1", "rate", least=15),
    Row("pages of 100 messages/s, 4 readers", "history limit=100 c=4", "rate", least=15),
    Row("uploads of 1 MiB/s", "media upload 1024 KiB", "rate", least=3),
    Row("downloads of 1 MiB/s", "media download 1024 KiB", "rate", least=3),
    Row("uploads of pictures/s", "media upload 64 KiB image", "rate"),
    Row("thumbnails/s, first asked for", "media thumbnail 96x96", "rate", least=5),
    Row("thumbnails/s, asked for again", "media thumbnail 96x96 again", "rate", least=5),
    Row("accounts/s", "register", "rate"),
    Row("log-ins/s", "login", "rate", least=5),
    Row("uploads of 100 one-time keys/s", UPLOADED, "rate", least=5),
    Row("an upload of 100 one-time keys, p95 ms", UPLOADED, "p95_ms", most=1 / 5),
    Row("CPU an upload of 100 one-time keys, ms", UPLOADED, CPU),
    Row("claims/s, 8 at once", CLAIMED, "rate", least=5),
    Row("claims/s, 1,000 at once", CLAIMED_BY_MANY, "rate", least=5),
    Row("a claim of 1,000 at once, p95 ms", CLAIMED_BY_MANY, "p95_ms", most=1 / 5),
    Row("CPU a claim, ms", CLAIMED_BY_MANY, CPU),
    Row("memory after all this, MiB", "after", "rss_mib", most=1 / 2),
    Row("database bytes an event", "after", "bytes_an_event", most=1 / 5),
)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. options: of the benchmark, to reach it. target: the same, for our own."""

    pid: int
    dsn: str
    options: str
    target: Target

    async def database_bytes(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
        finally:
            await connection.close()

    def rss_mib(self) -> float:
        return psutil.Process(self.pid).memory_info().rss / 2**20


@dataclass(slots=True)
class Findings:
    """Summaries of both, by measurement; those of Foyer alone."""

    synapse: dict[str, Summary] = field(default_factory=dict)
    foyer: dict[str, Summary] = field(default_factory=dict)
    alone: dict[str, Summary] = field(default_factory=dict)


class Comparison:
    """Runs the homeserver benchmark against both."""

    def __init__(self, options: argparse.Namespace, synapse: Side, foyer: Side) -> None:
        self._options = options
        self._synapse = synapse
        self._foyer = foyer
        self.findings = Findings()

    async def run(self) -> None:
        for workload in self._options.workload or WORKLOADS:
            if workload == "encryption":
                await self._encryption()
                continue
            before = await self._database_bytes()
            await self._both(workload)
            if workload.startswith("history"):
                self._note_growth(before, await self._database_bytes())
        self._note("rss_mib", self._synapse.rss_mib(), self._foyer.rss_mib())
        for workload in [] if self._options.workload else ALONE:
            await self._alone(workload)

    async def _both(self, workload: str) -> None:
        names = ("--a", self._synapse.options, "--b", self._foyer.options)
        found = await self._benchmark("compare.py", workload, *names)
        self.findings.synapse |= _by_name(found["summaries"]["a"])
        self.findings.foyer |= _by_name(found["summaries"]["b"])

    async def _encryption(self) -> None:
        theirs, ours = encryption_load.Findings(), encryption_load.Findings()
        for _ in range(self._options.repeat):
            theirs.add(await encryption_load.take_turn(self._synapse.target))
            ours.add(await encryption_load.take_turn(self._foyer.target))
        self.findings.synapse |= theirs.summaries()
        self.findings.foyer |= ours.summaries()

    async def _alone(self, workload: str) -> None:
        options = shlex.split(self._foyer.options)
        found = await self._benchmark("bench.py", workload, *options)
        self.findings.alone |= _by_name(found["summary"])

    async def _benchmark(self, script: str, workload: str, *arguments: str) -> Any:
        with TemporaryDirectory() as folder:
            output = Path(folder) / "figures.json"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(self._options.harness / script),
                *("--workload", workload, "--output", str(output)),
                *("--repeat", str(self._options.repeat), "--scale", str(self._options.scale)),
                *("--state-directory", str(self._options.peer / "state")),
                *("--max-other-cores", str(self._options.max_other_cores)),
                *arguments,
                stdout=asyncio.subprocess.DEVNULL,
            )
            if await process.wait() != 0:
                raise SystemExit(f"{script} {workload} failed")
            return orjson.loads(output.read_bytes())

    async def _database_bytes(self) -> tuple[int, int]:
        return await self._synapse.database_bytes(), await self._foyer.database_bytes()

    def _note_growth(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        """The workload wrote its 5,000 messages when it first ran, and nothing since."""
        a, b = ((new - old) / 5000 for old, new in zip(before, after, strict=True))
        self._note("bytes_an_event", a, b)

    def _note(self, figure: str, of_synapse: float, of_foyer: float) -> None:
        for summaries, value in (
            (self.findings.synapse, of_synapse),
            (self.findings.foyer, of_foyer),
        ):
            summaries["after"] = {**summaries.get("after", {}), figure: {"median": value}}


def _by_name(summaries: Sequence[Summary]) -> dict[str, Summary]:
    return {each["name"]: each for each in summaries}


def value(summaries: Summaries, measurement: str, figure: str) -> float | None:
    """The median; `cpu_ms` is that of the server and of its PostgreSQL together."""
    summary = summaries.get(measurement)
    if summary is None:
        return None
    if figure == CPU:
        parts = [summary.get(f"{part}_cpu_ms") for part in ("server", "postgres")]
        return float(sum(part["median"] for part in parts if part is not None))
    return float(summary[figure]["median"]) if figure in summary else None


def table(findings: Findings) -> str:
    lines = ["| | Synapse | Foyer | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in ROWS:
        theirs = value(findings.synapse, row.measurement, row.figure)
        ours = value(findings.foyer, row.measurement, row.figure)
        if theirs is not None and ours is not None:
            lines.append(_line(row, theirs, ours))
    return "\n".join(lines)


def _line(row: Row, theirs: float, ours: float) -> str:
    quotient = ours / theirs if theirs else float("inf")
    if row.least is not None:
        target, met = f"≥ {row.least:g}", quotient >= row.least
    elif row.most is not None:
        target, met = f"≤ 1/{1 / row.most:g}", quotient <= row.most
    else:
        return f"| {row.title} | {_number(theirs)} | {_number(ours)} | {_ratio(quotient)} | | |"
    verdict = "met" if met else "**missed**"
    cells = (row.title, _number(theirs), _number(ours), _ratio(quotient), target, verdict)
    return f"| {' | '.join(cells)} |"


def fanouts(findings: Findings) -> str:
    """What was lost and doubled, and what presence costs."""
    lines = [
        "| fan-out of Foyer | p50 ms | p95 ms | CPU a delivery, ms | lost | doubled |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    shown = {**findings.foyer, **findings.alone}
    for name, summary in shown.items():
        if name.startswith("fanout"):
            figures = [value(shown, name, key) or 0.0 for key in ("p50_ms", "p95_ms", CPU)]
            counts = [summary["lost"]["max"], summary["duplicates"]["max"]]
            cells = [name.removeprefix("fanout "), *map(_number, figures), *map(str, counts)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def errors(findings: Findings) -> int:
    everything = (*findings.foyer.values(), *findings.alone.values())
    return sum(int(each.get("error_count", 0)) for each in everything)


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _ratio(quotient: float) -> str:
    return f"{quotient:.3g}" if quotient >= 1 else f"1/{1 / quotient:.3g}" if quotient else "0"


def main() -> None:
    options = _parser().parse_args()
    synapse = _peer(options, "start")
    try:
        findings = uvloop.run(_compare(options, synapse))
    finally:
        _peer(options, "stop")
    print(f"{report.machine()}; scale {options.scale:g}, median of {options.repeat}\n")
    print(f"{table(findings)}\n\n{fanouts(findings)}\n\nErrors: {errors(findings)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.side_by_side", description=__doc__)
    parser.add_argument("--harness", type=Path, required=True, help="the homeserver benchmark")
    parser.add_argument("--peer", type=Path, required=True, help="where Synapse is, or comes")
    parser.add_argument("--port", type=int, default=8018, help="Synapse's")
    parser.add_argument("--workload", action="append", help="instead of all; may be repeated")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--max-other-cores", type=float, default=float("inf"))
    parser.add_argument("--keep", action="store_true", help="keep what Synapse has from last time")
    return parser


def _peer(options: argparse.Namespace, action: str) -> dict[str, Any]:
    """What the benchmark's script for a Synapse says about it."""
    if action == "start" and not (options.peer / "venv").exists():
        _peer(options, "install")
    if action == "start" and not options.keep:
        _peer(options, "reset")
    script = str(options.harness / "peers" / "synapse_peer.py")
    command = [sys.executable, script, action, str(options.peer), "--port", str(options.port)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    described: dict[str, Any] = orjson.loads(said[said.index(b"{") :]) if b"{" in said else {}
    return described


async def _compare(options: argparse.Namespace, peer: Mapping[str, Any]) -> Findings:
    with TemporaryDirectory(prefix="foyer-bench-") as folder:
        async with foyer(Path(folder), CONFIG) as server:
            comparison = Comparison(options, _synapse(peer), _foyer(server, Path(folder)))
            await comparison.run()
            return comparison.findings


def _synapse(peer: Mapping[str, Any]) -> Side:
    folder = Path(peer["postgres_pid_file"]).parent
    secret = f"--registration-shared-secret {peer['registration_shared_secret']}"
    pids = f"--server-pid {peer['server_pid']} --postgres-pid {peer['postgres_pid_file']}"
    postgres_pid = int(Path(peer["postgres_pid_file"]).read_text().split()[0])
    return Side(
        target=Target(peer["base_url"], peer["server_pid"], postgres_pid),
        pid=peer["server_pid"],
        dsn=f"postgresql://postgres@/synapse?host={folder}",
        options=f"--base-url {peer['base_url']} {secret} {pids}",
    )


def _foyer(server: Server, folder: Path) -> Side:
    """Its PostgreSQL is among the server's descendants, so it is counted with the server."""
    host, port = server.address
    dsn = running_dsn(folder / "data")
    assert dsn is not None
    return Side(
        target=Target(f"http://{host}:{port}", server.pid),
        pid=server.pid,
        dsn=dsn,
        options=f"--base-url http://{host}:{port} --server-pid {server.pid}",
    )


if __name__ == "__main__":
    main()
