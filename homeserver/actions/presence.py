"""Saying how one is. Source: seed section 1, `presence.update`; C-S API v1.19 "Presence"."""

from homeserver.actions.standing import require_active
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.storage import users
from homeserver.streams.people import People, Person
from homeserver.streams.presence import PresenceStream

STATUSES = ("online", "away", "busy", "offline")
MAX_MESSAGE_BYTES = 1_024
MAX_WAIT_MS = 120_000


class Presence:
    """What devices say of their users.

    sync_grace_s: how long a device that has synced is here without syncing again.
    """

    def __init__(self, *, stream: PresenceStream, people: People, sync_grace_s: float) -> None:
        self._stream = stream
        self._people = people
        self._sync_grace_s = sync_grace_s

    async def connected(self, by: Requester, connection_id: int) -> None:
        """Whoever connects is online until they say otherwise."""
        await self.update(by, connection_id, "online")

    async def update(self, by: Requester, connection_id: int, status: str) -> None:
        """offline: one appears to be offline."""
        _check_status(status)
        self._stream.set(await self._person(by), connection_id, status)

    async def disconnected(self, by: Requester, connection_id: int) -> None:
        self._stream.closed(by.user_nid, connection_id)

    async def synced(self, by: Requester, status: str, *, wait_ms: int = 0) -> None:
        """A device syncs, and may wait for so long: until then, and a little longer, it is here.

        status: online, away, or offline for one that does not want to count.
        """
        if status == "offline":
            return
        person = self._people.peek(by.user_nid) or await self._person(by)
        stays_s = min(wait_ms, MAX_WAIT_MS) / 1000 + self._sync_grace_s
        self._stream.synced(person, _device(by), status, stays_s=stays_s)

    async def say(self, by: Requester, status: str, message: str | None) -> None:
        """A device that syncs says how its user is. message: in his own words; None: nothing.

        Raises InvalidInput, AccountSuspended.
        """
        require_active(by)
        _check_status(status)
        _check_message(message or "")
        person = await self._person(by)
        self._stream.set_message(by.user_nid, message or None)
        self._stream.says(person, _device(by), status, stays_s=self._sync_grace_s)

    async def _person(self, by: Requester) -> Person:
        person = await self._people.get(by.user_nid)
        assert person is not None
        return person


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise InvalidInput(f"A status is one of {', '.join(STATUSES)}.", field="status")


def _check_message(message: str) -> None:
    """Postgres text has no NUL."""
    too_long = len(message.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES
    if too_long or users.storable(message) != message:
        raise InvalidInput(
            f"A status message is Unicode text of at most {MAX_MESSAGE_BYTES} bytes.",
            field="status_msg",
        )


def _device(by: Requester) -> int:
    """Connections have positive numbers."""
    return -by.session_nid
