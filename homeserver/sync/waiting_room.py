"""Where requests wait until there is something to tell, and who lets them go before."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from homeserver.clock import Clock
from homeserver.errors import NotAuthenticated
from homeserver.requester import Requester
from homeserver.streams.bus import Bus
from homeserver.sync.rosters import Roster, Rosters
from homeserver.sync.token import SyncToken
from homeserver.sync.waiting import Waiter

MAX_WAITING_PER_USER = 100
"""Requests of one user that wait at the same time; one more ends the oldest."""


class WaitingRoom:
    """All requests that wait, whichever form of sync they are of."""

    def __init__(self, *, rosters: Rosters, clock: Clock) -> None:
        self._rosters = rosters
        self._clock = clock
        self._outside: dict[UUID, dict[Waiter, None]] = {}
        self.is_closed = False
        """Nobody waits any more: the server stops."""

    def listen(self, bus: Bus) -> None:
        """Lets requests go whose sessions end."""
        bus.subscribe("session-revoked", lambda uuid: self._end_session(UUID(uuid)))
        bus.subscribe("account-changed", lambda uuid: self._end_user(UUID(uuid)))

    def close(self) -> None:
        """Lets all requests go that wait, and all that come now answer at once."""
        self.is_closed = True
        for waiter in self._waiters():
            waiter.end()

    async def roster(self, by: Requester) -> Roster:
        """Raises Unavailable."""
        roster = self._rosters.peek(by.user_nid)
        if roster is not None:
            return roster
        return await self._rosters.of(by)

    async def wait(
        self, by: Requester, roster: Roster, since: SyncToken, timeout_s: float
    ) -> tuple[SyncToken, bool]:
        """Up to where there is nothing to tell, and whether to wait on. Nothing may have been
        awaited since it was found that there is nothing after `since`.

        Raises NotAuthenticated where the session ends.
        """
        waiter = _waiter(by)
        _make_place(roster.waiters)
        roster.waiters[waiter] = None
        try:
            await self.stand(by, waiter, timeout_s)
        finally:
            roster.waiters.pop(waiter, None)
        if waiter.checked is None:
            return since, False
        return since.not_before(waiter.checked), not waiter.is_ended

    @contextmanager
    def outside(self, by: Requester) -> Iterator[Waiter]:
        """A request for what is not of the rooms he is in: others end it when there is news."""
        waiter = _waiter(by)
        own = self._outside.setdefault(by.user_uuid, {})
        _make_place(own)
        own[waiter] = None
        try:
            yield waiter
        finally:
            own.pop(waiter, None)
            if not own:
                self._outside.pop(by.user_uuid, None)

    async def stand(self, by: Requester, waiter: Waiter, timeout_s: float) -> None:
        """Until it is woken or ended, or the time is over.

        Raises NotAuthenticated where the session ends.
        """
        expires_s = (by.expires_at_ms - self._clock.now_ms()) / 1000
        await waiter.wait(max(0.0, min(timeout_s, expires_s)))
        if waiter.is_revoked:
            raise NotAuthenticated("The session of this access token has ended: log in again.")

    @property
    def size(self) -> int:
        """How many requests wait."""
        return len(self._waiters())

    def _waiters(self) -> list[Waiter]:
        of_rooms = (tuple(roster.waiters) for roster in self._rosters)
        outside = (tuple(own) for own in self._outside.values())
        return [waiter for waiters in (*of_rooms, *outside) for waiter in waiters]

    def _end_session(self, session: UUID) -> None:
        for waiter in self._waiters():
            if waiter.session == session:
                waiter.end(revoked=True)

    def _end_user(self, user: UUID) -> None:
        """His account changed: the next request finds out what that means."""
        for waiter in self._waiters():
            if waiter.user == user:
                waiter.end()


def _waiter(by: Requester) -> Waiter:
    return Waiter(session=by.session_uuid, user=by.user_uuid)


def _make_place(waiters: Mapping[Waiter, None]) -> None:
    if len(waiters) >= MAX_WAITING_PER_USER:
        next(iter(waiters)).end()
