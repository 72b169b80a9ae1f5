"""Sending messages to devices. Source: C-S API v1.19 "Send-to-Device messaging"; `to_device.yaml`.

A message waits for its device until a sync says that it has come. What one request sends is
committed together, with its transaction ID: a request that is repeated sends nothing.
"""

from collections.abc import Mapping
from typing import Any

from homeserver.clock import Clock
from homeserver.errors import InvalidInput, TooLarge
from homeserver.events import canonical_json
from homeserver.requester import Requester
from homeserver.storage import to_device
from homeserver.storage.database import Connection, Database
from homeserver.storage.to_device import TO_DEVICE, Added, Device
from homeserver.streams.bus import Bus
from homeserver.streams.to_device import ToDeviceTail

MAX_CONTENT_BYTES = 65_536
MAX_MESSAGES = 5_000
"""Of one request, with what `*` stands for."""
ALL_DEVICES = "*"
_MAX_CHARS = 255

Contents = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Contents by user ID and device ID, or `*`."""


class ToDevice:
    """Sends messages to devices of this server's users."""

    def __init__(self, *, database: Database, tail: ToDeviceTail, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._tail = tail
        self._bus = bus
        self._clock = clock

    async def send(self, by: Requester, event_type: str, txn_id: str, contents: Contents) -> None:
        """Devices that are not known get nothing, and nobody is told so.

        Raises InvalidInput, TooLarge, Unavailable.
        """
        for text in (event_type, txn_id):
            _check_name(text)
        encoded = {
            (user_id, device_id): _event(by, event_type, content)
            for user_id, of_user in contents.items()
            for device_id, content in of_user.items()
        }
        if len(encoded) > MAX_MESSAGES:
            raise _too_many()
        added = await self._database.retrying(
            lambda db: self._send(db, by, _transaction(event_type, txn_id), encoded)
        )
        if added is not None:
            self._tail.offer(added.rows, after=added.after, upto=added.upto)
            self._bus.announce(TO_DEVICE, str(added.upto))

    async def _send(
        self,
        db: Connection,
        by: Requester,
        txn_id: str,
        encoded: Mapping[tuple[str, str], bytes],
    ) -> Added | None:
        """None: there was nothing to send, or it was sent before."""
        now_ms = self._clock.now_ms()
        is_new = await to_device.begin(
            db, session_nid=by.session_nid, user_nid=by.user_nid, txn_id=txn_id, now_ms=now_ms
        )
        if not is_new or not encoded:
            return None
        devices = await to_device.devices_of(db, {user_id for user_id, _ in encoded}, now_ms)
        messages = [(device, event) for device in devices if (event := _for(device, encoded))]
        if len(messages) > MAX_MESSAGES:
            raise _too_many()
        return await to_device.add(db, messages, now_ms) if messages else None


def _transaction(event_type: str, txn_id: str) -> str:
    """What is remembered of a request: of another type, the same ID is another transaction."""
    plain = event_type.replace("%", "%25").replace("/", "%2F")
    return f"{plain}/{txn_id}"


def _for(device: Device, encoded: Mapping[tuple[str, str], bytes]) -> bytes | None:
    """A message to one device goes before one to all."""
    own = encoded.get((device.user_id, device.device_id))
    return own or encoded.get((device.user_id, ALL_DEVICES))


def _event(by: Requester, event_type: str, content: Mapping[str, Any]) -> bytes:
    raw = canonical_json.encode(content)
    if len(raw) > MAX_CONTENT_BYTES:
        raise TooLarge(f"A message to a device has at most {MAX_CONTENT_BYTES} bytes.")
    about = {"sender": by.user_id, "type": event_type}
    return b'{"content":%b,%b' % (raw, canonical_json.encode(about)[1:])


def _check_name(text: str) -> None:
    if len(text) > _MAX_CHARS or "\0" in text:
        raise InvalidInput(
            f"A type and a transaction ID have at most {_MAX_CHARS} characters, and no U+0000."
        )
    canonical_json.check_text(text)


def _too_many() -> TooLarge:
    return TooLarge(f"At most {MAX_MESSAGES} messages to devices are sent at once.")
