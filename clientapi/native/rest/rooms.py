"""Rooms, and the directory of channels."""

from collections.abc import Iterator

from clientapi.native.rest import room_objects
from clientapi.native.rest.endpoint import Call, Endpoint, Existing, Json, Private
from clientapi.native.services import NativeServices
from homeserver.actions.create_room import NewRoom
from homeserver.actions.room_settings import Changes
from homeserver.requester import Requester
from schema.operations import rooms as operations
from schema.wire import requests
from schema.wire.paths import NoPath, RoomPath
from schema.wire.requests import DirectoryPage, MarkRead, NoBody, NoQuery, SetTyping, UpgradeRoom


class RoomEndpoints:
    """Making, changing and listing rooms; read marks and typing."""

    def __init__(self, *, services: NativeServices) -> None:
        self._create_room = services.create_room
        self._settings = services.room_settings
        self._receipts = services.receipts
        self._typing = services.typing
        self._rooms = services.rooms

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.LIST_ROOMS, self.list_rooms)
        yield Private(operations.CREATE_ROOM, self.create_room)
        yield Private(operations.GET_ROOM, self.get_room)
        yield Private(operations.UPDATE_ROOM, self.update_room)
        yield Private(operations.DELETE_ROOM, self.delete_room)
        yield Private(operations.UPGRADE_ROOM, self.upgrade_room)
        yield Private(operations.MARK_READ, self.mark_read)
        yield Private(operations.SET_TYPING, self.set_typing)
        yield Private(operations.LIST_CHANNELS, self.list_channels)

    async def list_rooms(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        return [room_objects.summary(view) for view in await self._rooms.list(by)]

    async def create_room(
        self, call: Call[NoPath, NoQuery, requests.NewRoom], by: Requester
    ) -> Json | Existing:
        body = call.body
        wanted = NewRoom(
            kind=body.type,
            name=body.name,
            topic=body.topic,
            members=body.members,
            public=body.public,
            version=body.version,
            alias=body.alias,
            history_visibility=body.history_visibility,
            encrypted=body.encrypted,
        )
        record, created = await self._create_room.create(by, wanted)
        room = room_objects.room(await self._rooms.get(by, record.uuid), by)
        return room if created else Existing(room)

    async def get_room(self, call: Call[RoomPath, NoQuery, NoBody], by: Requester) -> Json:
        return room_objects.room(await self._rooms.get(by, call.path.room_id), by)

    async def update_room(
        self, call: Call[RoomPath, NoQuery, requests.UpdateRoom], by: Requester
    ) -> Json:
        body = call.body
        changes = Changes(
            name=body.name,
            topic=body.topic,
            avatar_url=body.avatar_url,
            members=body.members,
            public=body.public,
            history_visibility=body.history_visibility,
            encrypted=body.encrypted,
        )
        await self._settings.update(by, call.path.room_id, changes)
        return room_objects.room(await self._rooms.get(by, call.path.room_id), by)

    async def delete_room(self, call: Call[RoomPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._settings.delete(by, call.path.room_id)
        return None

    async def upgrade_room(self, call: Call[RoomPath, NoQuery, UpgradeRoom], by: Requester) -> Json:
        record = await self._settings.upgrade(by, call.path.room_id, call.body.version)
        return room_objects.room(await self._rooms.get(by, record.uuid), by)

    async def mark_read(self, call: Call[RoomPath, NoQuery, MarkRead], by: Requester) -> Json:
        await self._receipts.read(by, call.path.room_id, call.body.message_id)
        return None

    async def set_typing(self, call: Call[RoomPath, NoQuery, SetTyping], by: Requester) -> Json:
        tell = self._typing.start if call.body.typing else self._typing.stop
        await tell(by, call.path.room_id)
        return None

    async def list_channels(self, call: Call[NoPath, DirectoryPage, NoBody], by: Requester) -> Json:
        query = call.query
        found = await self._rooms.directory(by, query.q, query.limit, query.after)
        return [room_objects.channel(view) for view in found]
