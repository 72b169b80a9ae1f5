"""One's own devices: their names, and their end. A device is a session."""

from collections.abc import Collection
from uuid import UUID

from homeserver.actions.tokens import Announce, RandomBytes, checked_device_id, printable
from homeserver.clock import Clock
from homeserver.errors import NotFound
from homeserver.requester import Requester
from homeserver.storage import device_keys, device_lists, sessions
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.storage.sessions import NewSession

_MAX_NAME_CHARS = 255
_NEVER_MS = 2**53


class Devices:
    """Changes of devices."""

    def __init__(
        self, *, database: Database, announce: Announce, clock: Clock, random_bytes: RandomBytes
    ) -> None:
        self._database = database
        self._announce = announce
        self._clock = clock
        self._random_bytes = random_bytes

    async def update(self, by: Requester, device_id: str, name: str | None) -> bool:
        """A new name, None to leave it as it is. An application service makes devices that way.
        Returns whether the device is new. Raises NotFound, InvalidInput.
        """
        async with self._database.transaction() as db:
            if await sessions.by_device(db, by.user_nid, device_id) is None:
                if by.appservice is None:
                    raise NotFound("You have no such device.", kind="device")
                await sessions.insert(db, self._without_token(by, device_id, name or ""))
                return True
            position = None if name is None else await self._rename(db, by, device_id, name)
        if position is not None:
            self._announce(DEVICE_LISTS, str(position))
        return False

    async def _rename(self, db: Connection, by: Requester, device_id: str, name: str) -> int | None:
        """Who encrypts for a device is shown its name. Returns the place of what he is told."""
        session_nid = await sessions.rename(db, by.user_nid, device_id, _shown(name))
        if session_nid is None or not await device_keys.have_keys(db, [session_nid]):
            return None
        return await device_lists.note(db, [by.user_nid])

    async def delete(self, by: Requester, device_ids: Collection[str]) -> None:
        """Those that are not there count as deleted. Their access tokens work no more."""
        async with self._database.transaction() as db:
            ended = await sessions.delete_devices(db, by.user_nid, device_ids)
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))

    def _without_token(self, by: Requester, device_id: str, name: str) -> NewSession:
        """A device that an application service uses with its own token."""
        return NewSession(
            uuid=UUID(bytes=self._random_bytes(16), version=4),
            user_nid=by.user_nid,
            device_id=checked_device_id(device_id),
            display_name=_shown(name),
            created_at=self._clock.now_ms(),
            address=None,
            user_agent="",
            refresh_family=None,
            refresh_hash=None,
            expires_at=_NEVER_MS,
        )


def _shown(name: str) -> str:
    return printable(name)[:_MAX_NAME_CHARS]
