"""Who is here: the statuses of all connections of a user, seen as one.

Source: seed section 1 (online, away, busy, offline); C-S API v1.19 "Presence" for last seen.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.storage import presence
from homeserver.storage.database import Database
from homeserver.streams.people import Person

TICK_S = 0.25
SAVE_S = 5.0

# Over several devices, the one that says most counts.
_RANK = {"busy": 3, "online": 2, "away": 1, "offline": 0}

Listener = Callable[[Person, str, int], None]
"""Who, status, last seen in milliseconds."""


@dataclass(slots=True)
class _Here:
    """A user with connections, or one who has just left."""

    person: Person
    connections: dict[int, str] = field(default_factory=dict)
    told: str = "offline"
    leaves_at: float | None = None

    def status(self) -> str:
        return max(self.connections.values(), key=_RANK.__getitem__, default="offline")


class PresenceStream:
    """Statuses in memory; the time that somebody was last seen in the database."""

    def __init__(
        self, *, database: Database, clock: Clock, enabled: bool, offline_after_s: float
    ) -> None:
        self._database = database
        self._clock = clock
        self._enabled = enabled
        self._offline_after_s = offline_after_s
        self._here: dict[int, _Here] = {}
        self._unsaved: dict[int, tuple[str, int]] = {}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def set(self, person: Person, connection: int, status: str) -> None:
        """A connection opens or says how its user is."""
        if not self._enabled:
            return
        here = self._here.setdefault(person.user_nid, _Here(person))
        here.connections[connection] = status
        here.leaves_at = None
        self._tell(here)

    def closed(self, user_nid: int, connection: int) -> None:
        """A connection is gone; whoever comes back soon has never been away."""
        here = self._here.get(user_nid)
        if here is None:
            return
        here.connections.pop(connection, None)
        if here.connections:
            self._tell(here)
        else:
            here.leaves_at = self._clock.monotonic() + self._offline_after_s
            self._note(user_nid, here.told)

    def status(self, user_nid: int) -> str:
        here = self._here.get(user_nid)
        return "offline" if here is None else here.told

    async def last_seen(self, user_nid: int) -> int | None:
        """Milliseconds since the epoch; now for somebody who is here. Raises Unavailable."""
        if self.status(user_nid) != "offline":
            return self._clock.now_ms()
        if user_nid in self._unsaved:
            return self._unsaved[user_nid][1]
        async with self._database.connection() as db:
            return await presence.last_seen(db, user_nid)

    async def run(self) -> None:
        """Lets people leave and saves when they were seen, until cancelled."""
        save_at = self._clock.monotonic() + SAVE_S
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            self._leave(now)
            if now >= save_at:
                save_at = now + SAVE_S
                await self.save()

    async def save(self) -> None:
        """Writes what is not in the database yet; keeps it for later if that is away."""
        unsaved, self._unsaved = self._unsaved, {}
        if not unsaved:
            return
        try:
            async with self._database.connection() as db:
                await presence.save(db, unsaved)
        except Unavailable:
            self._unsaved = unsaved | self._unsaved

    def _leave(self, now: float) -> None:
        gone = [
            user_nid
            for user_nid, here in self._here.items()
            if here.leaves_at is not None and here.leaves_at <= now
        ]
        for user_nid in gone:
            self._tell(self._here[user_nid])
            del self._here[user_nid]

    def _tell(self, here: _Here) -> None:
        status = here.status()
        if status == here.told:
            return
        here.told = status
        last_seen = self._note(here.person.user_nid, status)
        for listener in self._listeners:
            listener(here.person, status, last_seen)

    def _note(self, user_nid: int, status: str) -> int:
        now_ms = self._clock.now_ms()
        self._unsaved[user_nid] = (status, now_ms)
        return now_ms
