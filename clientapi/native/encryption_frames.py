"""Frames about keys and messages to devices: what REST offers, for who has a WebSocket anyway."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from clientapi.native.connection import Asked, Connection
from clientapi.native.encryption_objects import key_upload, native_txn_id
from clientapi.native.listening import Listening
from clientapi.rate_limits import RateLimits
from homeserver.encryption import Encryption
from homeserver.errors import TooLarge
from schema.wire import client_frames as frames
from schema.wire.client_frames import Frame

MAX_CLAIMED = 100
"""One-time keys of one frame, for whoever has claimed them cannot ask again; a key has up to
4 KiB."""

Answer = dict[str, Any] | None
Handler = Callable[[Connection, Any], Awaitable[Answer]]


class EncryptionFrames:
    """Carries frames out, as requests that count like those over REST.

    max_answer_bytes: larger ones would make a connection look slow; they are for REST.
    """

    def __init__(
        self,
        *,
        encryption: Encryption,
        listening: Listening,
        rate_limits: RateLimits,
        max_answer_bytes: int,
    ) -> None:
        self._device_keys = encryption.device_keys
        self._one_time_keys = encryption.one_time_keys
        self._to_device = encryption.to_device
        self._listening = listening
        self._rate_limits = rate_limits
        self._max_answer_bytes = max_answer_bytes

    def handlers(self) -> Mapping[type[Asked], Handler]:
        return {
            frames.KeysUpload: self._keys_upload,
            frames.KeysQuery: self._keys_query,
            frames.KeysClaim: self._keys_claim,
            frames.ToDeviceSend: self._to_device_send,
            frames.EncryptionListen: self._encryption_listen,
            frames.EncryptionAck: self._encryption_ack,
        }

    async def _keys_upload(self, connection: Connection, frame: frames.KeysUpload) -> Answer:
        self._rate_limits.request(connection.by.user_nid)
        counts = await self._device_keys.upload(connection.by, key_upload(frame))
        return _answer("keys.uploaded", frame, {"one_time_key_counts": dict(counts)})

    async def _keys_query(self, connection: Connection, frame: frames.KeysQuery) -> Answer:
        self._rate_limits.request(connection.by.user_nid)
        found = await self._device_keys.query(connection.by, frame.device_keys)
        if len(orjson.dumps(found)) > self._max_answer_bytes:
            raise TooLarge("These are too many keys for a frame: ask over REST.")
        return _answer("keys.queried", frame, found)

    async def _keys_claim(self, connection: Connection, frame: frames.KeysClaim) -> Answer:
        self._rate_limits.request(connection.by.user_nid)
        if sum(map(len, frame.one_time_keys.values())) > MAX_CLAIMED:
            raise TooLarge(f"A frame claims at most {MAX_CLAIMED} keys; REST takes more.")
        return _answer("keys.claimed", frame, await self._one_time_keys.claim(frame.one_time_keys))

    async def _to_device_send(self, connection: Connection, frame: frames.ToDeviceSend) -> Answer:
        self._rate_limits.request(connection.by.user_nid)
        txn_id = native_txn_id(frame.ref)
        await self._to_device.send(connection.by, frame.event_type, txn_id, frame.messages)
        return {"type": "ack", "ref": frame.ref}

    async def _encryption_listen(
        self, connection: Connection, frame: frames.EncryptionListen
    ) -> Answer:
        await self._listening.listen(connection, frame.since)
        return None if frame.ref is None else {"type": "ack", "ref": frame.ref}

    async def _encryption_ack(self, connection: Connection, frame: frames.EncryptionAck) -> Answer:
        await self._listening.acknowledge(connection, frame.token)
        return None if frame.ref is None else {"type": "ack", "ref": frame.ref}


def _answer(frame_type: str, frame: Frame, said: Mapping[str, Any]) -> Answer:
    named = {} if frame.ref is None else {"ref": frame.ref}
    return {"type": frame_type, **named, **said}
