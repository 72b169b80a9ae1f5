"""Saying how one is. Source: seed section 1, `presence.update`."""

from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream

STATUSES = ("online", "away", "busy", "offline")


class Presence:
    """What connections say of their users."""

    def __init__(self, *, stream: PresenceStream, people: People) -> None:
        self._stream = stream
        self._people = people

    async def connected(self, by: Requester, connection_id: int) -> None:
        """Whoever connects is online until they say otherwise."""
        await self.update(by, connection_id, "online")

    async def update(self, by: Requester, connection_id: int, status: str) -> None:
        """offline: one appears to be offline."""
        if status not in STATUSES:
            raise InvalidInput(f"A status is one of {', '.join(STATUSES)}.", field="status")
        person = await self._people.get(by.user_nid)
        assert person is not None
        self._stream.set(person, connection_id, status)

    async def disconnected(self, by: Requester, connection_id: int) -> None:
        self._stream.closed(by.user_nid, connection_id)
