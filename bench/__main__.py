"""Runs workloads one after another and prints what they found."""

import asyncio
import resource
import sys
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory

import uvloop

from bench import options, report
from bench.figures import Figure
from bench.lab import Lab
from bench.options import Options
from bench.workloads import WORKLOADS

Results = dict[str, list[Figure]]


def main() -> int:
    """The exit status: 1 if a target was missed."""
    chosen = options.parse(sys.argv[1:])
    _raise_file_limit()
    results = uvloop.run(_measure_all(chosen))
    if chosen.json is not None:
        report.write_json(chosen.json, results, scale=chosen.scale)
    missed = [
        f"{name}: {figure.name}"
        for name, figures in results.items()
        for figure in figures
        if figure.is_missed
    ]
    print(f"{len(missed)} targets missed" + "".join(f"\n- {each}" for each in missed))
    return 1 if missed else 0


async def _measure_all(chosen: Options) -> Results:
    _stop_servers_when_terminated()
    print(f"Measured on: {report.machine()}; scale {chosen.scale:g}\n")
    results: Results = {}
    for name in chosen.workloads:
        print(f"## {name}\n", flush=True)
        results[name] = await _measure(name, chosen)
        print(report.table(results[name]) + "\n", flush=True)
    return results


async def _measure(name: str, chosen: Options) -> list[Figure]:
    with TemporaryDirectory(prefix=f"foyer-bench-{name}-", dir=chosen.data_dir) as folder:
        return await WORKLOADS[name](Lab(folder=Path(folder), scale=chosen.scale))


def _raise_file_limit() -> None:
    """A connection is a file, here and in the server, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop_servers_when_terminated() -> None:
    measuring = asyncio.current_task()
    assert measuring is not None
    asyncio.get_running_loop().add_signal_handler(SIGTERM, measuring.cancel)


if __name__ == "__main__":
    sys.exit(main())
