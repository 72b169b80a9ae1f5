"""Typing notifications. Source: C-S API v1.19 "Typing Notifications"."""

from uuid import UUID

from homeserver.actions.lookups import Lookups
from homeserver.actions.members import Members
from homeserver.actions.standing import require_active
from homeserver.requester import Requester
from homeserver.streams.people import People
from homeserver.streams.typing import TypingStream

MAX_TIMEOUT_MS = 120_000


class Typing:
    """Members say that they are writing."""

    def __init__(
        self, *, stream: TypingStream, lookups: Lookups, members: Members, people: People
    ) -> None:
        self._stream = stream
        self._lookups = lookups
        self._members = members
        self._people = people

    async def start(self, by: Requester, room_uuid: UUID, *, timeout_ms: int | None = None) -> None:
        """timeout_ms: for so long, at most two minutes, unless it is said again; None: for as long
        as native clients need. Raises NotFound for a room that one is not in.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        await self._members.require(by, room)
        person = await self._people.get(by.user_nid)
        assert person is not None
        timeout_s = None if timeout_ms is None else min(timeout_ms, MAX_TIMEOUT_MS) / 1000
        self._stream.start(room, person, timeout_s=timeout_s)

    async def stop(self, by: Requester, room_uuid: UUID) -> None:
        room = await self._lookups.room(room_uuid)
        await self._members.require(by, room)
        self._stream.stop(room.room_nid, by.user_nid)
