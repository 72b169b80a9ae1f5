"""Waiting for files that somebody is going to upload, and hearing that media changed.

Announcements go over the bus, so a file may arrive in another process; one that is lost costs those
who wait a second or two.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

from homeserver.streams.bus import Bus

TOPIC = "media"
EVERYTHING = "*"
"""Payload for changes of more media than can be named."""

_POLL_S = 2.0


class Arrivals:
    """Who waits for which media. changed: called with what changed; None: anything may have."""

    def __init__(self, *, bus: Bus, changed: Callable[[UUID | None], None]) -> None:
        self._bus = bus
        self._changed = changed
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        bus.subscribe(TOPIC, self._heard)

    def announce(self, uuid: UUID) -> None:
        """Something was uploaded, removed, or put into quarantine."""
        self._bus.announce(TOPIC, str(uuid))

    def forget_all(self) -> None:
        """For when announcements may have been missed."""
        self._heard(EVERYTHING)

    async def wait(self, uuid: UUID, timeout_s: float) -> None:
        """Until something was announced, or a while has passed."""
        arrived = asyncio.Event()
        self._waiting.setdefault(uuid, set()).add(arrived)
        try:
            async with asyncio.timeout(min(timeout_s, _POLL_S)):
                await arrived.wait()
        except TimeoutError:
            return
        finally:
            self._stop(uuid, arrived)

    def _stop(self, uuid: UUID, arrived: asyncio.Event) -> None:
        waiting = self._waiting[uuid]
        waiting.discard(arrived)
        if not waiting:
            del self._waiting[uuid]

    def _heard(self, payload: str) -> None:
        uuid = None if payload == EVERYTHING else UUID(payload)
        self._changed(uuid)
        woken = self._waiting if uuid is None else {uuid} & self._waiting.keys()
        for each in tuple(woken):
            for arrived in self._waiting[each]:
                arrived.set()
