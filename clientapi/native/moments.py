"""What is of the moment: who is writing, who is there, what somebody looks like.

Each of these concerns everybody whom somebody shares a room with, so where thousands come at the
same moment they multiply: the newest state of each is kept for a moment, and only as many frames
are written at once as leave messages their time.
"""

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from uuid import UUID

import structlog

from clientapi.native import render
from clientapi.native.audience import Audience
from clientapi.native.connection import Connection
from clientapi.native.fanout import Fanout
from clientapi.native.framing import json_frame
from clientapi.native.later import Later
from homeserver.errors import Unavailable
from homeserver.events.stored import RoomRecord
from homeserver.streams.people import People, Person
from homeserver.views.live import Live as LiveViews

_GATHERED_S = 0.1
_PAUSE_S = 0.02
_WRITES_AT_ONCE = 200
_LOOKUPS_AT_ONCE = 20
_MAX_WAITING = 50_000
_EVERY_ROOM = 2**31

log = structlog.get_logger(__name__)


class Moments:
    """Tells who is writing, who is there, and what they look like.

    max_room_members: a room in which more are connected tells nobody's presence.
    """

    def __init__(
        self,
        *,
        audience: Audience,
        fanout: Fanout,
        views: LiveViews,
        people: People,
        max_room_members: int,
    ) -> None:
        self._audience = audience
        self._fanout = fanout
        self._views = views
        self._people = people
        self._max_room_members = max_room_members
        self._presences: dict[int, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._later = Later(self._flush)

    def stop(self) -> None:
        self._later.cancel()
        for task in tuple(self._tasks):
            task.cancel()

    def typing(self, room: RoomRecord, person: Person, *, active: bool) -> None:
        """Told to everybody else in the room."""
        hearing = self._audience.in_room(room.room_nid)
        others = [each for each in hearing if each.by.user_nid != person.user_nid]
        if not others:
            return
        frame = {"type": "typing.stopped", "room_id": room.uuid, "user_id": person.uuid}
        if active:
            frame |= {"type": "typing", "user_name": person.name}
        self._fanout.write(others, json_frame(frame))

    def presence(self, person: Person, status: str, last_seen_ms: int | None) -> None:
        """Somebody came, left, or changed their status. The newest state counts."""
        if len(self._presences) < _MAX_WAITING:
            frame = {"type": "presence", **render.presence(person.uuid, status, last_seen_ms)}
            self._presences[person.user_nid] = json_frame(frame)
            self._later.ask(_GATHERED_S)

    def user_updated(self, user_uuid: UUID) -> None:
        """Somebody changed their name or avatar."""
        if len(self._tasks) < _LOOKUPS_AT_ONCE:
            self._begin(self._tell_user(user_uuid))

    def _flush(self) -> None:
        """Tells of those who waited longest; of the rest when others had their turn."""
        if not len(self._audience):
            self._presences.clear()
        written = 0
        while self._presences and written < _WRITES_AT_ONCE:
            user_nid = next(iter(self._presences))
            listener = self._audience.user(user_nid)
            if listener is None and len(self._tasks) >= _LOOKUPS_AT_ONCE:
                break
            frame = self._presences.pop(user_nid)
            if listener is None:
                self._begin(self._tell_of_absent(user_nid, frame))
            else:
                written += self._tell(listener.rooms, frame, self._max_room_members)
        if self._presences:
            self._later.ask(_PAUSE_S)

    async def _tell_of_absent(self, user_nid: int, frame: bytes) -> None:
        """Of somebody without a connection: his rooms are not in memory."""
        subscriptions = await self._views.subscriptions(user_nid)
        if user_nid not in self._presences:
            self._tell(subscriptions.room_nids, frame, self._max_room_members)

    async def _tell_user(self, user_uuid: UUID) -> None:
        person = await self._people.by_uuid(user_uuid)
        view = await self._views.user(user_uuid)
        if person is None or view is None:
            return
        subscriptions = await self._views.subscriptions(person.user_nid)
        frame = json_frame({"type": "user.updated", "user": render.user(view)})
        self._tell(subscriptions.room_nids, frame, _EVERY_ROOM)

    def _tell(self, rooms: Iterable[int], frame: bytes, max_hearing: int) -> int:
        """Writes once to everybody who hears one of the rooms; returns to how many."""
        told: set[Connection] = set()
        for room_nid in rooms:
            hearing: Collection[Connection] = self._audience.in_room(room_nid)
            if len(hearing) <= max_hearing:
                told.update(hearing)
        self._fanout.write(told, frame)
        return len(told)

    def _begin(self, telling: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._unless_unavailable(telling))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unless_unavailable(self, telling: Coroutine[None, None, None]) -> None:
        """What is of the moment is not worth waiting for."""
        try:
            await telling
        except Unavailable as error:
            log.info("moment_not_told", error=str(error))
