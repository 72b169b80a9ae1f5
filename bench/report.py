"""Figures as tables for people and as JSON for machines."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.figures import Figure, Target

_HEADER = ("figure", "value", "target", "")


def machine() -> str:
    """What the figures were measured on."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    rows = [_HEADER, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|".join(("", *("-" * (width + 2) for width in widths), "")))
    return "\n".join(lines)


def write_json(path: Path, results: Mapping[str, Sequence[Figure]], *, scale: float) -> None:
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "scale": scale,
        "workloads": {
            name: {figure.name: _record(figure) for figure in figures}
            for name, figures in results.items()
        },
    }
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def _record(figure: Figure) -> dict[str, Any]:
    record: dict[str, Any] = {"value": figure.value, "unit": figure.unit}
    if figure.target is not None:
        bound = "at_least" if figure.target.at_least else "at_most"
        record |= {bound: figure.target.bound, "missed": figure.is_missed}
    return record


def _row(figure: Figure) -> tuple[str, str, str, str]:
    if figure.target is None:
        return figure.name, _quantity(figure.value, figure.unit), "", ""
    verdict = "MISSED" if figure.is_missed else "met"
    return figure.name, _quantity(figure.value, figure.unit), _bound(figure.target), verdict


def _bound(target: Target) -> str:
    return f"{'≥' if target.at_least else '≤'} {_number(target.bound)}"


def _quantity(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    """Three digits that mean something, or a whole number."""
    if value == round(value) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.3g}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
