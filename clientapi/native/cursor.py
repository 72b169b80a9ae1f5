"""How far a connection has come, as clients keep it: opaque to them, the same for everyone."""

import re
from typing import NamedTuple

from homeserver.errors import InvalidInput

_CURSOR = re.compile(r"e([0-9]{1,18})_r([0-9]{1,18})", re.ASCII)

NOW = "now"
"""In place of a cursor: nothing was missed that matters."""


class Cursor(NamedTuple):
    """Positions in the streams of events and of receipts."""

    events: int
    receipts: int

    def __str__(self) -> str:
        return f"e{self.events}_r{self.receipts}"


def parse_cursor(text: str) -> Cursor:
    """Raises InvalidInput."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidInput("The cursor is none that this server gave", field="cursor")
    return Cursor(int(match[1]), int(match[2]))


class Progress:
    """How far everybody who is live has come: up to here, all has been written that they hear."""

    __slots__ = ("events", "receipts")

    def __init__(self) -> None:
        self.events = 0
        self.receipts = 0

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.events, self.receipts)
