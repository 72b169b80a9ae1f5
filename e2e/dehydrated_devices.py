"""Dehydrated devices: a device that nobody uses gathers messages for the next one (MSC3814).

It is a device like others, with keys that people encrypt for, but without a token. Whoever logs in
next and has its secret reads what it was sent; then it is replaced, and goes with its messages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from e2e.backed_up_keys import encoded
from e2e.device_keys import DeviceKeys
from e2e.uploaded_keys import Owner, Upload
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.requester import Requester
from homeserver.storage import (
    cross_signing_keys,
    dehydrated_devices,
    sessions,
    to_device,
)
from homeserver.storage.database import Connection, Database
from homeserver.storage.dehydrated_devices import DehydratedRow
from homeserver.storage.sessions import NewSession

MAX_DATA_BYTES = 65_536
MAX_EVENTS = 100
"""Of one answer."""
_MAX_CHARS = 255
_NEVER_MS = 2**53

Announce = Callable[[str, str], None]
Dehydrated = DehydratedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDehydrated:
    """What a client leaves behind. data: for whoever rehydrates the device. name: "" for none."""

    device_id: str
    data: Mapping[str, Any]
    name: str
    keys: Upload


class DehydratedDevices:
    """The one of whoever asks."""

    def __init__(
        self,
        *,
        database: Database,
        device_keys: DeviceKeys,
        announce: Announce,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._device_keys = device_keys
        self._announce = announce
        self._clock = clock
        self._random_bytes = random_bytes

    async def put(self, by: Requester, new: NewDehydrated) -> None:
        """Instead of the former one, which goes with its messages.

        Raises NotAllowed for the ID of a device that is in use, InvalidInput, InvalidSignature,
        TooLarge, Unavailable.
        """
        _check_name(new.device_id)
        data = encoded(new.data, MAX_DATA_BYTES)
        if new.keys.device_keys is None:
            raise InvalidInput("A dehydrated device has keys.", field="device_keys")
        checked = await self._device_keys.check(new.keys, Owner(by.user_id, new.device_id))
        async with self._database.transaction() as db:
            await cross_signing_keys.hold(db, by.user_nid)
            former = await dehydrated_devices.get(db, by.user_nid)
            ended = [] if former is None else await self._end(db, by, former)
            if await sessions.by_device(db, by.user_nid, new.device_id) is not None:
                raise NotAllowed("There is a device of that ID.")
            await sessions.insert(db, self._session(by, new))
            nid = await dehydrated_devices.put(db, by.user_nid, new.device_id, data)
            done = await self._device_keys.put(db, by, nid, new.keys, checked)
        self._tell(ended)
        self._device_keys.announce(nid, done.position)

    async def get(self, by: Requester) -> Dehydrated:
        """Raises NotFound, Unavailable."""
        async with self._database.connection() as db:
            row = await dehydrated_devices.get(db, by.user_nid)
        if row is None:
            raise _unknown()
        return row

    async def delete(self, by: Requester) -> str:
        """With its messages. Returns its ID. Raises NotFound, Unavailable."""
        async with self._database.transaction() as db:
            row = await dehydrated_devices.get(db, by.user_nid)
            if row is None:
                raise _unknown()
            ended = await self._end(db, by, row)
        self._tell(ended)
        return row.device_id

    async def events(
        self, by: Requester, device_id: str, next_batch: str | None
    ) -> tuple[list[bytes], str]:
        """Messages to the device as JSON after a position, and the position to go on from. They
        stay until the device goes, so that who is interrupted can begin again.

        Raises NotFound, NotAllowed for another device, InvalidInput, Unavailable.
        """
        after = _position(next_batch)
        async with self._database.snapshot() as db:
            row = await dehydrated_devices.get(db, by.user_nid)
            if row is None:
                raise _unknown()
            if row.device_id != device_id:
                raise NotAllowed("This is not the dehydrated device.")
            rows = await to_device.waiting(db, row.session_nid, after=after, limit=MAX_EVENTS)
        return [event for _, event in rows], str(rows[-1][0] if rows else after)

    async def _end(self, db: Connection, by: Requester, row: DehydratedRow) -> list[UUID]:
        return await sessions.delete_devices(db, by.user_nid, [row.device_id])

    def _tell(self, ended: list[UUID]) -> None:
        for session_uuid in ended:
            self._announce("session-revoked", str(session_uuid))

    def _session(self, by: Requester, new: NewDehydrated) -> NewSession:
        return NewSession(
            uuid=UUID(bytes=self._random_bytes(16), version=4),
            user_nid=by.user_nid,
            device_id=new.device_id,
            display_name=new.name[:_MAX_CHARS],
            created_at=self._clock.now_ms(),
            address=None,
            user_agent="",
            refresh_family=None,
            refresh_hash=None,
            expires_at=_NEVER_MS,
        )


def _check_name(device_id: str) -> None:
    if not device_id or len(device_id) > _MAX_CHARS or not device_id.isprintable():
        raise InvalidInput(
            f"A device ID has at most {_MAX_CHARS} printable characters.", field="device_id"
        )


def _position(text: str | None) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004
        raise InvalidInput("This is no position of this server.", field="next_batch")
    return int(text)


def _unknown() -> NotFound:
    return NotFound("There is no dehydrated device.", kind="device")
