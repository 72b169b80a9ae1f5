"""What commands print: results on standard output, remarks on standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

# Programs that read a table get its lines whole.
_PIPED_WIDTH = 1000


def print_json(value: Any) -> None:
    sys.stdout.write(f"{orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}\n")


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def print_text(text: str) -> None:
    sys.stdout.write(text)


def remark(text: str) -> None:
    """For people; programs that read standard output do not see it."""
    sys.stderr.write(f"{text}\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """One line a field, values aligned."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print_line(f"{name:<{width}}  {shown(value)}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    # Not loaded by a server: they take 5 MiB.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    console.print(table)


def shown(value: object) -> str:
    """yes, no, - for nothing, anything else as it is."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
