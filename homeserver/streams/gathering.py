"""Small changes that wait a moment and are committed together.

While one batch is committed the next one gathers: idle, a batch is one change; under load it grows
by itself. Of several changes of one thing only one is written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from homeserver.errors import Unavailable

MAX_BATCH = 1_000
MAX_WAITING = 50_000

Key = TypeVar("Key")
Change = TypeVar("Change")


@dataclass(slots=True)
class _Waiting(Generic[Change]):
    change: Change
    done: "list[asyncio.Future[None]]" = field(default_factory=list)


class Gathering(Generic[Key, Change]):
    """What waits, by the thing that it changes.

    commit: writes a batch; may raise Unavailable. prefer: of two changes of one thing, the former
    and the latter, the one to write.
    """

    def __init__(
        self,
        *,
        commit: Callable[[dict[Key, Change]], Awaitable[None]],
        prefer: Callable[[Change, Change], Change],
    ) -> None:
        self._commit = commit
        self._prefer = prefer
        self._waiting: dict[Key, _Waiting[Change]] = {}
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None

    async def put(self, key: Key, change: Change) -> None:
        """Returns when it is committed. Raises Unavailable."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("Too many changes are waiting; please try again.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(key, change).done.append(done)
        self._wake.set()
        await done

    def put_later(self, key: Key, change: Change, *, within_s: float) -> None:
        """Soon, or with the next one that somebody waits for; a crash may lose it."""
        if len(self._waiting) >= MAX_WAITING:
            return
        self._add(key, change)
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(within_s, self._wake.set)

    async def run(self) -> None:
        """Commits batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._later is not None:
                self._later.cancel()
                self._later = None
            while self._waiting:
                await self._write(self._take())

    def _add(self, key: Key, change: Change) -> _Waiting[Change]:
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(change)
        else:
            waiting.change = self._prefer(waiting.change, change)
        return waiting

    def _take(self) -> dict[Key, _Waiting[Change]]:
        return {key: self._waiting.pop(key) for key in list(self._waiting)[:MAX_BATCH]}

    async def _write(self, batch: dict[Key, _Waiting[Change]]) -> None:
        try:
            await self._commit({key: each.change for key, each in batch.items()})
        except Exception as error:  # noqa: BLE001 - those who wait raise it, and others go on
            _finish(batch, error)
        else:
            _finish(batch, None)


def _finish(batch: dict[Key, _Waiting[Change]], error: Exception | None) -> None:
    for done in (done for each in batch.values() for done in each.done if not done.done()):
        if error is None:
            done.set_result(None)
        else:
            is_away = isinstance(error, Unavailable)
            done.set_exception(Unavailable(str(error)) if is_away else error)
