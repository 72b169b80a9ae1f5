"""Tokens of pages: places between the events of a room.

`t` and the position of the event before the place; tokens of sync are good for pages, too, and
positions of sliding sync, which are tokens with something behind a dot.
"""

import re

from homeserver.errors import InvalidInput
from homeserver.sync.token import parse_sync_token

_TOKEN = re.compile(r"t(-?(?:0|[1-9][0-9]{0,17}))", re.ASCII)


def page_token(place: int) -> str:
    return f"t{place}"


def place_of(token: str, field: str) -> int:
    """Raises InvalidInput."""
    found = _TOKEN.fullmatch(token)
    if found is not None:
        return int(found[1])
    try:
        return parse_sync_token(token.partition(".")[0]).events
    except InvalidInput:
        raise InvalidInput("This is no token of this server.", field=field) from None


def optional_place(token: str | None, field: str) -> int | None:
    return None if token is None else place_of(token, field)
