"""The command line of `python -m bench`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.workloads import WORKLOADS


@dataclass(frozen=True, slots=True)
class Options:
    """workloads: names, each once, in the order in which they were given.

    data_dir: where the folders of the runs are made; None: where the system keeps such things.
    """

    workloads: tuple[str, ...]
    scale: float
    json: Path | None
    data_dir: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Exits with a sentence about what is wrong."""
    given = _parser().parse_args(arguments)
    names = given.workload or list(WORKLOADS)
    return Options(tuple(dict.fromkeys(names)), given.scale, given.json, given.data_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures Foyer on this machine, with a fresh data folder for each workload. "
        "The exit status is 1 if a target was missed.",
    )
    parser.add_argument(
        "--workload",
        action="append",
        choices=list(WORKLOADS),
        help="what to measure; may be repeated; all of them if it is not given",
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="measure X times as long, with the same people and rooms",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--data-dir",
        type=_folder,
        metavar="DIR",
        help="make the data folders in DIR, to measure another disk",
    )
    return parser


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 100:
        raise argparse.ArgumentTypeError("must be above 0 and at most 100")
    return scale


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return folder
