"""Syncing: what changed for somebody since he asked last, now or as soon as there is something."""

import asyncio
from dataclasses import dataclass, replace

from e2e.stocks import Stocks
from homeserver.actions.presence import Presence
from homeserver.clock import Clock
from homeserver.requester import Requester
from homeserver.sync import build
from homeserver.sync.answer import SyncAnswer, stock_json
from homeserver.sync.counts import NotificationCounts
from homeserver.sync.inboxes import Inboxes
from homeserver.sync.journal import Journal
from homeserver.sync.live import LiveAnswers
from homeserver.sync.loading import Inputs
from homeserver.sync.request import SyncRequest
from homeserver.sync.rosters import Roster
from homeserver.sync.token import SyncToken
from homeserver.sync.waiting_room import WaitingRoom

MAX_TIMEOUT_MS = 120_000
_PAUSE_S = 0.02
"""The database may be a little ahead of what was heard of it."""


@dataclass(slots=True)
class _Turn:
    """One request that is being served. since: up to where there was nothing to tell.

    client_at: position of the events that the client says it has.
    """

    by: Requester
    request: SyncRequest
    since: SyncToken | None
    client_at: int
    deadline: float


class Sync:
    """The use case of `/sync`."""

    def __init__(
        self,
        *,
        journal: Journal,
        waiting_room: WaitingRoom,
        inputs: Inputs,
        live: LiveAnswers,
        inboxes: Inboxes,
        stocks: Stocks,
        counts: NotificationCounts,
        presence: Presence,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._waiting_room = waiting_room
        self._inputs = inputs
        self._live = live
        self._inboxes = inboxes
        self._stocks = stocks
        self._counts = counts
        self._presence = presence
        self._clock = clock

    async def sync(self, by: Requester, request: SyncRequest) -> bytes:
        """The answer as JSON. Raises Unavailable, and NotAuthenticated where the session ends."""
        await self._presence.synced(by, request.presence, wait_ms=request.timeout_ms)
        if request.since is not None:
            done = await self._inboxes.acknowledge(by, request.since.to_device)
            if done != request.since.to_device:
                request = replace(request, since=replace(request.since, to_device=done))
        since = request.since
        if since is None or request.full_state:
            return await self._written(by, await self._from_database(by, request))
        timeout_ms = min(request.timeout_ms, MAX_TIMEOUT_MS)
        turn = _Turn(
            by=by,
            request=request,
            since=since,
            client_at=since.events,
            deadline=self._clock.monotonic() + timeout_ms / 1000,
        )
        return await self._when_there_is_news(turn, since)

    async def _when_there_is_news(self, turn: _Turn, since: SyncToken) -> bytes:
        while True:
            roster = await self._waiting_room.roster(turn.by)
            news = self._journal.news(roster, since, turn.by.session_nid)
            if news is not None and news.is_empty:
                since = self._journal.now
                left_s = turn.deadline - self._clock.monotonic()
                if left_s <= 0 or self._waiting_room.is_closed:
                    return await self._written(turn.by, SyncAnswer(since))
                since = await self._wait(turn, roster, since, left_s)
                continue
            answer = None
            if news is not None:
                answer = await self._live.answer(
                    turn.by, roster, turn.request, news, self._journal.now, turn.client_at
                )
            if answer is None:
                request = replace(turn.request, since=since)
                answer = await self._from_database(turn.by, request)
            if not answer.is_empty:
                return await self._written(turn.by, answer)
            since = answer.token
            if turn.deadline <= self._clock.monotonic() or self._waiting_room.is_closed:
                return await self._written(turn.by, answer)
            if not self._journal.has_reached(since):
                await asyncio.sleep(_PAUSE_S)

    async def _wait(
        self, turn: _Turn, roster: Roster, since: SyncToken, left_s: float
    ) -> SyncToken:
        """Up to where there is nothing to tell. Nothing was awaited since that was found."""
        checked, goes_on = await self._waiting_room.wait(turn.by, roster, since, left_s)
        if not goes_on:
            turn.deadline = 0.0
        # Whom nobody woke is up to date, however much has happened to others meanwhile.
        return self._journal.now if checked is since else checked

    async def _written(self, by: Requester, answer: SyncAnswer) -> bytes:
        """With the keys that the device has to hand out, which is in memory of whoever syncs."""
        stock = self._stocks.peek(by.session_nid) or await self._stocks.of(by.session_nid)
        answer.stock = stock_json(stock.counts, stock.unused)
        return answer.json()

    async def _from_database(self, by: Requester, request: SyncRequest) -> SyncAnswer:
        told_presence = self._journal.told_presence
        inputs = await self._inputs.load(by, request, told_presence=told_presence)
        rooms = build.told_rooms(inputs, request, by)
        counts = await self._counts.of_rooms(by.user_nid, rooms) if rooms else {}
        return build.answer(inputs, request, by, now_ms=self._clock.now_ms(), counts=counts)
