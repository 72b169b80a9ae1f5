"""End-to-end encryption: keys, messages to devices, identities, backups, account data."""

from collections.abc import Iterator
from typing import Any

import orjson

from clientapi.errors import problem_of
from clientapi.native.encryption_objects import identity_keys, key_upload, native_txn_id, news
from clientapi.native.rest import room_objects
from clientapi.native.rest.endpoint import Call, Endpoint, Json, Private
from clientapi.native.services import NativeServices
from e2e.backed_up_keys import BackedUpKey, key_row
from e2e.key_backup import Backup
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.sync.token import parse_sync_token
from schema.operations import encryption as operations
from schema.wire import encryption as wire
from schema.wire.paths import NoPath, RoomPath
from schema.wire.requests import NoBody, NoQuery

KeysCall = Call[wire.BackupPath, wire.BackupKeysQuery, NoBody]


class EncryptionEndpoints:
    """What devices ask for, besides backups."""

    def __init__(self, *, services: NativeServices) -> None:
        encryption = services.encryption
        self._device_keys = encryption.device_keys
        self._one_time_keys = encryption.one_time_keys
        self._to_device = encryption.to_device
        self._cross_signing = encryption.cross_signing
        self._identity = services.identity
        self._news = services.encryption_sync
        self._account_data = services.account_data
        self._account_data_views = services.account_data_views
        self._rooms = services.rooms
        self._limits = services.rate_limits

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.UPLOAD_KEYS, self.upload_keys)
        yield Private(operations.QUERY_KEYS, self.query_keys)
        yield Private(operations.CLAIM_KEYS, self.claim_keys)
        yield Private(operations.SEND_TO_DEVICES, self.send_to_devices)
        yield Private(operations.GET_NEWS, self.get_news)
        yield Private(operations.SET_IDENTITY, self.set_identity)
        yield Private(operations.ADD_SIGNATURES, self.add_signatures)
        yield Private(operations.GET_ACCOUNT_DATA, self.get_account_data)
        yield Private(operations.PUT_ACCOUNT_DATA, self.put_account_data)
        yield Private(operations.GET_ROOM_ENCRYPTION, self.get_room_encryption)

    async def upload_keys(self, call: Call[NoPath, NoQuery, wire.KeyUpload], by: Requester) -> Json:
        counts = await self._device_keys.upload(by, key_upload(call.body))
        return {"one_time_key_counts": dict(counts)}

    async def query_keys(self, call: Call[NoPath, NoQuery, wire.KeyQuery], by: Requester) -> Json:
        return await self._device_keys.query(by, call.body.device_keys)

    async def claim_keys(self, call: Call[NoPath, NoQuery, wire.KeyClaim], _by: Requester) -> Json:
        return await self._one_time_keys.claim(call.body.one_time_keys)

    async def send_to_devices(
        self, call: Call[NoPath, NoQuery, wire.NewDeviceMessages], by: Requester
    ) -> Json:
        body = call.body
        await self._to_device.send(by, body.type, native_txn_id(body.ref), body.messages)
        return None

    async def get_news(self, call: Call[NoPath, wire.NewsQuery, NoBody], by: Requester) -> Json:
        since = None
        if call.query.since is not None:
            since = await self._news.acknowledge(by, parse_sync_token(call.query.since))
        return news(await self._news.since(by, since))

    async def set_identity(
        self, call: Call[NoPath, NoQuery, wire.NewIdentity], by: Requester
    ) -> Json:
        keys, password = identity_keys(call.body), call.body.password
        if password is None:
            await self._identity.upload(by, keys, None)
            return None
        with self._limits.password_attempt(by.user_id, call.client.address):
            await self._identity.upload(by, keys, password)
        return None

    async def add_signatures(
        self, call: Call[NoPath, NoQuery, wire.NewSignatures], by: Requester
    ) -> Json:
        failures = await self._cross_signing.add_signatures(by, call.body.model_extra or {})
        return {
            "failures": {
                user_id: {name: problem_of(error).body() for name, error in of_user.items()}
                for user_id, of_user in failures.items()
            }
        }

    async def get_account_data(
        self, call: Call[wire.AccountDataPath, NoQuery, NoBody], by: Requester
    ) -> Json:
        content: dict[str, Any] = orjson.loads(
            await self._account_data_views.get(by, by.user_id, call.path.type)
        )
        return content

    async def put_account_data(
        self, call: Call[wire.AccountDataPath, NoQuery, wire.AccountDataContent], by: Requester
    ) -> Json:
        content = call.body.model_extra or {}
        await self._account_data.put(by, by.user_id, call.path.type, content)
        return None

    async def get_room_encryption(
        self, call: Call[RoomPath, NoQuery, NoBody], by: Requester
    ) -> Json:
        return room_objects.recipients(await self._rooms.encryption(by, call.path.room_id))


class BackupEndpoints:
    """Backups of room keys. A query says which keys: all, a room's, or a session's."""

    def __init__(self, *, services: NativeServices) -> None:
        self._backup = services.encryption.key_backup

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.CREATE_BACKUP, self.create_backup)
        yield Private(operations.GET_LATEST_BACKUP, self.get_latest_backup)
        yield Private(operations.GET_BACKUP, self.get_backup)
        yield Private(operations.UPDATE_BACKUP, self.update_backup)
        yield Private(operations.DELETE_BACKUP, self.delete_backup)
        yield Private(operations.GET_BACKUP_KEYS, self.get_backup_keys)
        yield Private(operations.PUT_BACKUP_KEYS, self.put_backup_keys)
        yield Private(operations.DELETE_BACKUP_KEYS, self.delete_backup_keys)

    async def create_backup(
        self, call: Call[NoPath, NoQuery, wire.NewBackup], by: Requester
    ) -> Json:
        body = call.body
        return {"version": await self._backup.create(by, body.algorithm, body.auth_data)}

    async def get_latest_backup(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        return _backup(await self._backup.get(by))

    async def get_backup(self, call: Call[wire.BackupPath, NoQuery, NoBody], by: Requester) -> Json:
        return _backup(await self._backup.get(by, call.path.version))

    async def update_backup(
        self, call: Call[wire.BackupPath, NoQuery, wire.ChangedBackup], by: Requester
    ) -> Json:
        body, version = call.body, call.path.version
        if body.version not in (None, version):
            raise InvalidInput("The path names another version.", field="version")
        await self._backup.set_auth_data(by, version, body.algorithm, body.auth_data)
        return None

    async def delete_backup(
        self, call: Call[wire.BackupPath, NoQuery, NoBody], by: Requester
    ) -> Json:
        await self._backup.delete(by, call.path.version)
        return None

    async def get_backup_keys(self, call: KeysCall, by: Requester) -> Json:
        room_id, session_id = _place(call.query)
        found = await self._backup.keys(
            by, call.path.version, room_id=room_id, session_id=session_id
        )
        rooms: dict[str, Any] = {}
        for row in found:
            rooms.setdefault(row.room_id, {"sessions": {}})["sessions"][row.session_id] = _key(row)
        return {"rooms": rooms}

    async def put_backup_keys(
        self, call: Call[wire.BackupPath, wire.BackupKeysQuery, wire.BackedUpKeys], by: Requester
    ) -> Json:
        room_id, session_id = _place(call.query)
        rows = [*_rows(call.body)]
        for row in rows:
            if room_id not in (None, row.room_id) or session_id not in (None, row.session_id):
                raise InvalidInput("The query names another place than the body.", field="rooms")
        return _counted(await self._backup.put_keys(by, call.path.version, rows))

    async def delete_backup_keys(self, call: KeysCall, by: Requester) -> Json:
        room_id, session_id = _place(call.query)
        return _counted(
            await self._backup.delete_keys(
                by, call.path.version, room_id=room_id, session_id=session_id
            )
        )


def _place(query: wire.BackupKeysQuery) -> tuple[str | None, str | None]:
    if query.session_id is not None and query.room_id is None:
        raise InvalidInput("A session is one of a room: name it, too.", field="room_id")
    return query.room_id, query.session_id


def _rows(body: wire.BackedUpKeys) -> Iterator[BackedUpKey]:
    for room_id, room in body.rooms.items():
        for session_id, key in room.sessions.items():
            yield key_row(
                room_id,
                session_id,
                first_message_index=key.first_message_index,
                forwarded_count=key.forwarded_count,
                is_verified=key.is_verified,
                session_data=key.session_data,
            )


def _backup(row: Backup) -> Json:
    return {
        "algorithm": row.algorithm,
        "auth_data": orjson.Fragment(row.auth_data),
        "version": str(row.backup_nid),
        **_counted(row),
    }


def _counted(row: Backup) -> dict[str, Any]:
    return {"count": row.key_count, "etag": str(row.etag)}


def _key(row: BackedUpKey) -> dict[str, Any]:
    return {
        "first_message_index": row.first_message_index,
        "forwarded_count": row.forwarded_count,
        "is_verified": row.is_verified,
        "session_data": orjson.Fragment(row.session_data),
    }
