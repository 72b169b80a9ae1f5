"""Doing something once for all that asked for it within a moment."""

import asyncio
from collections.abc import Callable


class Later:
    """Calls something once, a moment after it was first asked for."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def ask(self, delay_s: float) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(delay_s, self._now)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _now(self) -> None:
        self._handle = None
        self._call()
