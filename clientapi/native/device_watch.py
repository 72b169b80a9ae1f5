"""Whom changes of devices and departures from rooms concern, of those who listen: found out once
for all of them, with one query for what comes together.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import structlog

from clientapi.native.audience import Audience
from clientapi.native.connection import Connection
from clientapi.native.listening import Listening
from clientapi.native.publications import Step
from homeserver.errors import Unavailable
from homeserver.identifiers import UserID
from homeserver.streams.device_lists import DeviceListTail
from homeserver.streams.people import People
from homeserver.streams.tail import Committed
from homeserver.sync.encryption_news import EncryptionSync

_MAX_DEPARTURES = 1_000
_RETRY_S = 0.5

log = structlog.get_logger(__name__)


class Changed(Protocol):
    """Somebody's devices changed."""

    @property
    def user_nid(self) -> int: ...
    @property
    def user_id(self) -> UserID: ...


class Departure:
    """Somebody left a room. position: where first. stayed: connections of those still there."""

    __slots__ = ("position", "stayed")

    def __init__(self, position: int) -> None:
        self.position = position
        self.stayed: set[Connection] = set()


class DeviceWatch:
    """published: position of the events of which everybody has heard."""

    def __init__(
        self,
        *,
        tail: DeviceListTail,
        news: EncryptionSync,
        listening: Listening,
        audience: Audience,
        people: People,
        published: Callable[[], int],
    ) -> None:
        self._tail = tail
        self._news = news
        self._listening = listening
        self._audience = audience
        self._people = people
        self._published = published
        self._changed: dict[int, UserID] = {}
        self._gone: dict[UserID, Departure] = {}
        self._settling: dict[UserID, Departure] = {}
        self._told = 0
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The tail must have been started."""
        self._tail.subscribe(self._happened)

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    @property
    def devices(self) -> int:
        """Up to here everybody has heard whose devices changed."""
        return self._told if self._is_working else self._tail.position

    @property
    def events(self) -> int:
        """Up to here everybody has heard who came and who went."""
        waiting = [*self._gone.values(), *self._settling.values()]
        return min([self._published(), *(each.position - 1 for each in waiting)])

    def moved(self, committed: Committed, step: Step) -> None:
        """Somebody came to a room, or left it; who hears it has been settled."""
        if not self._listening:
            return
        user_id = UserID(committed.stored.event.state_key or "")
        room_nid = committed.room.room_nid
        own = self._audience.user_by_id(user_id)
        if own is not None:
            self._listening.moved(own.connections)
        others = [
            each
            for each in self._listening.of(self._audience.in_room(room_nid))
            if each.by.user_id != user_id
        ]
        if step is Step.ENTERS:
            for departures in (self._gone, self._settling):
                if user_id in departures:
                    departures[user_id].stayed.difference_update(others)
            self._listening.devices_changed(others, user_id)
        elif step is Step.LEAVES and others:
            self._went(user_id, committed.position, others)

    def _went(self, user_id: UserID, position: int, stayed: Collection[Connection]) -> None:
        if len(self._gone) >= _MAX_DEPARTURES:
            self._listening.moved(stayed)
            return
        departure = self._gone.setdefault(user_id, Departure(position))
        departure.stayed.update(stayed)
        self._look()

    def _happened(self, batch: Collection[Changed]) -> None:
        if self._listening:
            self._changed |= {row.user_nid: row.user_id for row in batch}
            self._look()

    @property
    def _is_working(self) -> bool:
        return self._work is not None and not self._work.done()

    def _look(self) -> None:
        if not self._is_working:
            self._work = asyncio.create_task(self._look_up())

    async def _look_up(self) -> None:
        while self._changed or self._gone:
            changed, self._changed = self._changed, {}
            self._settling, self._gone = self._gone, {}
            upto = self._tail.position
            try:
                gone = await self._people.by_user_ids(self._settling)
                nids = {person.user_nid: user_id for user_id, person in gone.items()}
                rooms = await self._news.rooms_of({*changed, *nids})
            except Unavailable as error:
                log.info("device_changes_postponed", error=str(error))
                self._postpone(changed)
                await asyncio.sleep(_RETRY_S)
                continue
            self._tell_changed(changed, rooms)
            self._tell_gone(nids, rooms)
            self._settling = {}
            self._told = upto

    def _postpone(self, changed: Mapping[int, UserID]) -> None:
        self._changed = {**changed, **self._changed}
        for user_id, departure in self._settling.items():
            later = self._gone.setdefault(user_id, departure)
            later.position = departure.position
            later.stayed |= departure.stayed
        self._settling = {}

    def _tell_changed(
        self, changed: Mapping[int, UserID], rooms: Mapping[int, Collection[int]]
    ) -> None:
        hears: dict[int, set[Connection]] = {
            user_nid: set(self._audience.of_user(user_nid)) for user_nid in changed
        }
        for room_nid, user_nids in rooms.items():
            for user_nid in changed.keys() & set(user_nids):
                hears[user_nid].update(self._audience.in_room(room_nid))
        for user_nid, connections in hears.items():
            self._listening.devices_changed(connections, changed[user_nid])

    def _tell_gone(self, nids: Mapping[int, UserID], rooms: Mapping[int, Collection[int]]) -> None:
        """Who stays in a room that they left may share another."""
        for room_nid, user_nids in rooms.items():
            for user_nid in nids.keys() & set(user_nids):
                stayed = self._settling[nids[user_nid]].stayed
                stayed.difference_update(self._audience.in_room(room_nid))
        for user_id, departure in self._settling.items():
            self._listening.no_longer_shared(departure.stayed, user_id)
