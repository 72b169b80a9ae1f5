"""A process that runs the embedded Postgres as Foyer does: to be killed, or run by other accounts.

    python -m tests.support.stand_in <data directory> [<directory with Postgres programs>]

Prints one JSON line, {"dsn": …} or {"error": …}, and stops when its standard input ends.
"""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from homeserver.errors import FoyerError
from homeserver.storage.embedded import EmbeddedPostgres, process

QUICK = {"fsync": "off", "shared_buffers": "16MB"}
_ROOT = Path(__file__).parents[2]
_PACKAGES = sysconfig.get_path("platlib")


@dataclass(frozen=True)
class StandIn:
    """What the process said first."""

    process: subprocess.Popen[str]
    dsn: str | None
    error: str | None


@contextmanager
def stand_in(
    data_dir: Path,
    *,
    prefix: Sequence[str] = (),
    programs: Path | None = None,
    python: str = sys.executable,
) -> Iterator[StandIn]:
    """Run it, by way of the command `prefix`, and let it stop at the end."""
    arguments = [str(data_dir), *([str(programs)] if programs else [])]
    child = subprocess.Popen(
        [*prefix, python, "-m", __name__, *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": _PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        first = json.loads(child.stdout.readline() or '{"error": "it ended at once"}')
        yield StandIn(child, first.get("dsn"), first.get("error"))


async def _run(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
    try:
        answer = {"dsn": await server.start()}
    except FoyerError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        process.program = Path(sys.argv[2]).joinpath
    asyncio.run(_run(Path(sys.argv[1])))
