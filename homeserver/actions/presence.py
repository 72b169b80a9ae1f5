"""Saying how one is. Source: seed section 1, `presence.update`."""

from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.streams.presence import PresenceStream

STATUSES = ("online", "away", "busy", "offline")


class Presence:
    """What connections say of their users."""

    def __init__(self, *, stream: PresenceStream) -> None:
        self._stream = stream

    def connected(self, by: Requester, connection: int) -> None:
        """Whoever connects is online until they say otherwise."""
        self._stream.set(by.user_nid, connection, "online")

    def update(self, by: Requester, connection: int, status: str) -> None:
        """offline: one appears to be offline."""
        if status not in STATUSES:
            raise InvalidInput(f"A status is one of {', '.join(STATUSES)}.", field="status")
        self._stream.set(by.user_nid, connection, status)

    def disconnected(self, by: Requester, connection: int) -> None:
        self._stream.closed(by.user_nid, connection)
