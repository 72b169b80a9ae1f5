"""Backups of room keys (key_backup.yaml)."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import orjson
from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.services import MatrixServices
from e2e.backed_up_keys import BackedUpKey, key_row
from e2e.key_backup import Backup
from e2e.key_backup import KeyBackup as KeyBackupActions
from homeserver.errors import InvalidInput, NotFound
from homeserver.requester import Requester

_Number = Annotated[int, Field(ge=0, le=2**53 - 1)]


class VersionBody(Body):
    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class VersionQuery(Query):
    version: str


class KeyBody(Body):
    """KeyBackupData."""

    first_message_index: _Number
    forwarded_count: _Number
    is_verified: bool
    session_data: dict[str, Any]

    def row(self, room_id: str, session_id: str) -> BackedUpKey:
        return key_row(
            room_id,
            session_id,
            first_message_index=self.first_message_index,
            forwarded_count=self.forwarded_count,
            is_verified=self.is_verified,
            session_data=self.session_data,
        )


class RoomBody(Body):
    """RoomKeyBackup."""

    sessions: dict[str, KeyBody]

    def rows(self, room_id: str) -> Iterator[BackedUpKey]:
        for session_id, key in self.sessions.items():
            yield key.row(room_id, session_id)


class RoomsBody(Body):
    rooms: dict[str, RoomBody]


class KeyBackup:
    """Endpoints of key_backup.yaml. A path says which keys: all, a room's, or a session's."""

    def __init__(self, *, key_backup: KeyBackupActions) -> None:
        self._backup = key_backup

    async def post_room_keys_version(self, call: Call[NoQuery, VersionBody], by: Requester) -> Json:
        body = call.body
        return {"version": await self._backup.create(by, body.algorithm, body.auth_data)}

    async def get_room_keys_version_current(
        self, _call: Call[NoQuery, NoBody], by: Requester
    ) -> Json:
        return _backup(await self._backup.get(by))

    async def get_room_keys_version(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return _backup(await self._backup.get(by, call.parameters["version"]))

    async def put_room_keys_version(self, call: Call[NoQuery, VersionBody], by: Requester) -> Json:
        body, version = call.body, call.parameters["version"]
        if body.version is not None and body.version != version:
            raise InvalidInput("The path names another version.", field="version")
        await self._backup.set_auth_data(by, version, body.algorithm, body.auth_data)
        return {}

    async def delete_room_keys_version(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._backup.delete(by, call.parameters["version"])
        return {}

    async def put_room_keys(self, call: Call[VersionQuery, RoomsBody], by: Requester) -> Json:
        rows = [row for room_id, room in call.body.rooms.items() for row in room.rows(room_id)]
        return _counted(await self._backup.put_keys(by, call.query.version, rows))

    async def put_room_keys_by_room_id(
        self, call: Call[VersionQuery, RoomBody], by: Requester
    ) -> Json:
        rows = [*call.body.rows(call.parameters["roomId"])]
        return _counted(await self._backup.put_keys(by, call.query.version, rows))

    async def put_room_key_by_session_id(
        self, call: Call[VersionQuery, KeyBody], by: Requester
    ) -> Json:
        row = call.body.row(call.parameters["roomId"], call.parameters["sessionId"])
        return _counted(await self._backup.put_keys(by, call.query.version, [row]))

    async def get_room_keys(self, call: Call[VersionQuery, NoBody], by: Requester) -> Json:
        rooms: dict[str, Json] = {}
        for row in await self._keys(call, by):
            rooms.setdefault(row.room_id, {"sessions": {}})["sessions"][row.session_id] = _key(row)
        return {"rooms": rooms}

    async def get_room_keys_by_room_id(
        self, call: Call[VersionQuery, NoBody], by: Requester
    ) -> Json:
        return {"sessions": {row.session_id: _key(row) for row in await self._keys(call, by)}}

    async def get_room_key_by_session_id(
        self, call: Call[VersionQuery, NoBody], by: Requester
    ) -> Json:
        for row in await self._keys(call, by):
            return _key(row)
        raise NotFound("Key not found.", kind="key")

    async def delete_room_keys(self, call: Call[VersionQuery, NoBody], by: Requester) -> Json:
        return _counted(
            await self._backup.delete_keys(
                by,
                call.query.version,
                room_id=call.parameters.get("roomId"),
                session_id=call.parameters.get("sessionId"),
            )
        )

    async def delete_room_keys_by_room_id(
        self, call: Call[VersionQuery, NoBody], by: Requester
    ) -> Json:
        return await self.delete_room_keys(call, by)

    async def delete_room_key_by_session_id(
        self, call: Call[VersionQuery, NoBody], by: Requester
    ) -> Json:
        return await self.delete_room_keys(call, by)

    async def _keys(self, call: Call[VersionQuery, NoBody], by: Requester) -> Iterable[BackedUpKey]:
        return await self._backup.keys(
            by,
            call.query.version,
            room_id=call.parameters.get("roomId"),
            session_id=call.parameters.get("sessionId"),
        )


def _backup(row: Backup) -> Json:
    return {
        "algorithm": row.algorithm,
        "auth_data": orjson.Fragment(row.auth_data),
        "version": str(row.backup_nid),
        **_counted(row),
    }


def _counted(row: Backup) -> Json:
    return {"etag": str(row.etag), "count": row.key_count}


def _key(row: BackedUpKey) -> Json:
    return {
        "first_message_index": row.first_message_index,
        "forwarded_count": row.forwarded_count,
        "is_verified": row.is_verified,
        "session_data": orjson.Fragment(row.session_data),
    }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = KeyBackup(key_backup=services.encryption.key_backup)
    yield from _version_routes(endpoints)
    keys = "v3/room_keys/keys"
    room, session = f"{keys}/{{roomId}}", f"{keys}/{{roomId}}/{{sessionId}}"
    everything = (endpoints.put_room_keys, endpoints.get_room_keys, endpoints.delete_room_keys)
    of_room = (
        endpoints.put_room_keys_by_room_id,
        endpoints.get_room_keys_by_room_id,
        endpoints.delete_room_keys_by_room_id,
    )
    of_session = (
        endpoints.put_room_key_by_session_id,
        endpoints.get_room_key_by_session_id,
        endpoints.delete_room_key_by_session_id,
    )
    served = (
        (keys, everything, RoomsBody),
        (room, of_room, RoomBody),
        (session, of_session, KeyBody),
    )
    for path, (put, get, delete), body in served:
        yield Route(method="PUT", path=path, run=put, query=VersionQuery, body=body)
        yield Route(method="GET", path=path, run=get, query=VersionQuery)
        yield Route(method="DELETE", path=path, run=delete, query=VersionQuery)


def _version_routes(endpoints: KeyBackup) -> Iterator[Route]:
    path = "v3/room_keys/version"
    one = f"{path}/{{version}}"
    yield Route(method="POST", path=path, run=endpoints.post_room_keys_version, body=VersionBody)
    yield Route(method="GET", path=path, run=endpoints.get_room_keys_version_current)
    yield Route(method="GET", path=one, run=endpoints.get_room_keys_version)
    yield Route(method="PUT", path=one, run=endpoints.put_room_keys_version, body=VersionBody)
    yield Route(method="DELETE", path=one, run=endpoints.delete_room_keys_version)
