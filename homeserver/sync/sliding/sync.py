"""The use case of sliding sync: what there is to tell now, or as soon as there is something."""

import asyncio
from dataclasses import dataclass, replace

from e2e.stocks import Stocks
from homeserver.actions.presence import Presence
from homeserver.clock import Clock
from homeserver.requester import Requester
from homeserver.storage import sync_reads
from homeserver.sync.counts import NotificationCounts
from homeserver.sync.inboxes import Inboxes
from homeserver.sync.journal import Journal
from homeserver.sync.reading import Sources, within
from homeserver.sync.sliding import build
from homeserver.sync.sliding.connection import Connection
from homeserver.sync.sliding.connections import Connections, position_text
from homeserver.sync.sliding.encryption import TO_DEVICE, concerns, position_of, read_news
from homeserver.sync.sliding.faces import Faces
from homeserver.sync.sliding.inputs import SlidingInputs
from homeserver.sync.sliding.reading import Reading
from homeserver.sync.sliding.request import SlidingAnswer, SlidingRequest
from homeserver.sync.sync import MAX_TIMEOUT_MS
from homeserver.sync.token import SyncToken
from homeserver.sync.waiting_room import WaitingRoom

_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class _Turn:
    """One request that is being served: what its connection was told, and up to where.

    done: position of the messages to its device that this has.
    """

    by: Requester
    request: SlidingRequest
    told: Connection
    since: SyncToken | None
    deadline: float
    done: int


class SlidingSync:
    """Over the same inputs as `/sync`."""

    def __init__(
        self,
        *,
        sources: Sources,
        faces: Faces,
        connections: Connections,
        journal: Journal,
        waiting_room: WaitingRoom,
        inboxes: Inboxes,
        stocks: Stocks,
        counts: NotificationCounts,
        presence: Presence,
        clock: Clock,
    ) -> None:
        self._sources = sources
        self._faces = faces
        self._connections = connections
        self._journal = journal
        self._waiting_room = waiting_room
        self._inboxes = inboxes
        self._stocks = stocks
        self._counts = counts
        self._presence = presence
        self._clock = clock

    async def sync(self, by: Requester, request: SlidingRequest) -> SlidingAnswer:
        """Raises UnknownPosition, InvalidInput, Unavailable, and NotAuthenticated where the session
        ends.
        """
        done = position_of(request.extensions.get(TO_DEVICE))
        told, since = await self._connections.resume(by, request.conn_id, request.pos)
        timeout_ms = min(request.timeout_ms, MAX_TIMEOUT_MS) if since is not None else 0
        await self._presence.synced(by, request.set_presence, wait_ms=timeout_ms)
        deadline = self._clock.monotonic() + timeout_ms / 1000
        done = await self._inboxes.acknowledge(by, done)
        return await self._when_there_is_news(_Turn(by, request, told, since, deadline, done))

    async def _when_there_is_news(self, turn: _Turn) -> SlidingAnswer:
        while True:
            inputs = await self._read(turn)
            after = self._told_then(turn, inputs)
            answer = await self._answer(turn, inputs, after)
            if (
                turn.since is None
                or not build.is_empty(answer)
                or not await self._wait(turn, inputs.token)
            ):
                await self._connections.keep(turn.by, turn.request.conn_id, turn.told, after)
                return answer

    def _told_then(self, turn: _Turn, inputs: SlidingInputs) -> Connection:
        since = 0 if turn.since is None else turn.since.events
        return turn.told.after(
            build.wanted_configs(inputs), since=since, first_version=self._clock.now_ms()
        )

    async def _answer(self, turn: _Turn, inputs: SlidingInputs, after: Connection) -> SlidingAnswer:
        rooms = build.counted_rooms(inputs)
        counts = await self._counts.of_rooms(turn.by.user_nid, rooms) if rooms else {}
        builder = build.Builder(
            inputs=inputs,
            request=turn.request,
            by=turn.by,
            since=turn.since,
            now_ms=self._clock.now_ms(),
            counts=counts,
            stock=await self._stocks.of(turn.by.session_nid),
        )
        return builder.answer(position_text(inputs.token, after.version))

    async def _read(self, turn: _Turn) -> SlidingInputs:
        sources, by = self._sources, turn.by
        ignored = await sources.client_events.remember_ignored(by)
        people = await sources.people.by_user_ids(ignored) if ignored else {}
        typing = sources.typing.position
        async with sources.database.snapshot() as db:
            now = await sync_reads.positions(db)
            since = within(turn.since, now)
            token = SyncToken(
                events=now.events,
                receipts=now.receipts,
                account_data=now.account_data,
                to_device=now.to_device,
                device_lists=now.device_lists,
                boot=sources.boot,
                typing=typing,
            )
            reading = Reading(
                sources=sources,
                faces=self._faces,
                db=db,
                by=by,
                ignored=ignored,
                ignored_nids=[person.user_nid for person in people.values()],
                request=turn.request,
                told=turn.told,
                since=since,
                members_key=hash((by.session_nid, turn.request.conn_id)),
                inputs=SlidingInputs(token),
            )
            await reading.all()
            reading.inputs.encryption = await read_news(
                db, by, turn.request, done=turn.done, since=since, now=now
            )
        return reading.inputs

    async def _wait(self, turn: _Turn, since: SyncToken) -> bool:
        """Until something happened that may be news; False: the time is over."""
        while True:
            left_s = turn.deadline - self._clock.monotonic()
            if left_s <= 0 or self._waiting_room.is_closed:
                return False
            if not self._journal.has_reached(since):
                await asyncio.sleep(_PAUSE_S)
                continue
            roster = await self._waiting_room.roster(turn.by)
            since = replace(since, presence=self._journal.told_presence)
            news = self._journal.news(roster, since, turn.by.session_nid)
            if news is None or concerns(news, turn.request):
                return True
            _, goes_on = await self._waiting_room.wait(turn.by, roster, since, left_s)
            if not goes_on:
                return False
