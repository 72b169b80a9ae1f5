"""Who reads page by page gets the next one at once: it is read while he looks at the last one."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from homeserver.errors import Unavailable
from homeserver.requester import Requester
from homeserver.views.page_cache import Key

_WALKS = 10_000
"""Readers of whom is remembered where their last page ended."""
_AT_ONCE = 4

Walk = tuple[int, int, int]
"""User, session and room."""


class ReadAhead:
    """Reads a page beforehand for those who took one and then the one that follows it; nothing for
    who looks at a single page.
    """

    def __init__(self) -> None:
        self._ends: OrderedDict[Walk, int] = OrderedDict()
        self._reading: dict[Key, asyncio.Task[None]] = {}

    async def arrived(self, key: Key) -> None:
        """Returns when nobody is reading this page beforehand (any more)."""
        task = self._reading.get(key)
        if task is not None:
            await asyncio.wait((task,))

    def goes_on(self, by: Requester, room_nid: int, *, start: int | None, end: int) -> bool:
        """Whether a page follows the one before it, of the same reader. Places: where it starts,
        and where it ends.
        """
        walk = (by.user_nid, by.session_nid, room_nid)
        former = self._ends.pop(walk, None)
        self._ends[walk] = end
        if len(self._ends) > _WALKS:
            self._ends.popitem(last=False)
        return start is not None and former == start

    def begin(self, key: Key, read: Callable[[], Awaitable[object]]) -> None:
        """Reads a page that somebody is likely to want, unless too many are being read."""
        if key in self._reading or len(self._reading) >= _AT_ONCE:
            return
        task = asyncio.create_task(_try(read))
        self._reading[key] = task
        task.add_done_callback(lambda _: self._reading.pop(key))


async def _try(read: Callable[[], Awaitable[object]]) -> None:
    """Nobody has asked for it yet; who does reads it himself."""
    with suppress(Unavailable):
        await read()
