"""Operations on rooms, and on the directory of channels."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Channel, Room, RoomSummary
from schema.wire.paths import NoPath, RoomPath
from schema.wire.requests import (
    DirectoryPage,
    MarkRead,
    NewRoom,
    NoBody,
    NoQuery,
    SetTyping,
    UpdateRoom,
    UpgradeRoom,
)

_TAG = "Rooms"

LIST_ROOMS = Operation(
    name="listRooms",
    tag=_TAG,
    summary="The rooms of the caller, the one with the newest message first.",
    method="GET",
    path="/api/rooms",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={200: list[RoomSummary]},
)
CREATE_ROOM = Operation(
    name="createRoom",
    tag=_TAG,
    summary="Make a room. A direct room that exists already is answered, with status 200.",
    method="POST",
    path="/api/rooms",
    params=NoPath,
    query=NoQuery,
    body=NewRoom,
    answers={201: Room, 200: Room},
    errors=(ErrorCode.INVALID_USER, ErrorCode.FORBIDDEN, ErrorCode.CONFLICT),
)
GET_ROOM = Operation(
    name="getRoom",
    tag=_TAG,
    summary="A room.",
    method="GET",
    path="/api/rooms/{room_id}",
    params=RoomPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Room},
    errors=(ErrorCode.INVALID_ROOM,),
)
UPDATE_ROOM = Operation(
    name="updateRoom",
    tag=_TAG,
    summary="Change a room.",
    method="PATCH",
    path="/api/rooms/{room_id}",
    params=RoomPath,
    query=NoQuery,
    body=UpdateRoom,
    answers={200: Room},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.INVALID_USER, ErrorCode.FORBIDDEN),
)
DELETE_ROOM = Operation(
    name="deleteRoom",
    tag=_TAG,
    summary="Delete a room for everybody.",
    method="DELETE",
    path="/api/rooms/{room_id}",
    params=RoomPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.FORBIDDEN),
)
UPGRADE_ROOM = Operation(
    name="upgradeRoom",
    tag=_TAG,
    summary="Replace a room with one of another Matrix room version.",
    method="POST",
    path="/api/rooms/{room_id}/upgrade",
    params=RoomPath,
    query=NoQuery,
    body=UpgradeRoom,
    answers={201: Room},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.FORBIDDEN),
)
MARK_READ = Operation(
    name="markRead",
    tag=_TAG,
    summary="Mark a room as read up to a message.",
    method="POST",
    path="/api/rooms/{room_id}/read",
    params=RoomPath,
    query=NoQuery,
    body=MarkRead,
    answers={204: None},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.INVALID_MESSAGE, ErrorCode.FORBIDDEN),
)
SET_TYPING = Operation(
    name="setTyping",
    tag=_TAG,
    summary="Show the room whether the caller is writing; it wears off unless it is repeated.",
    method="POST",
    path="/api/rooms/{room_id}/typing",
    params=RoomPath,
    query=NoQuery,
    body=SetTyping,
    answers={204: None},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.FORBIDDEN),
)
LIST_CHANNELS = Operation(
    name="listChannels",
    tag=_TAG,
    summary="The public channels of the server.",
    method="GET",
    path="/api/channels",
    params=NoPath,
    query=DirectoryPage,
    body=NoBody,
    answers={200: list[Channel]},
    errors=(ErrorCode.INVALID_ROOM,),
)

OPERATIONS = (
    LIST_ROOMS,
    CREATE_ROOM,
    GET_ROOM,
    UPDATE_ROOM,
    DELETE_ROOM,
    UPGRADE_ROOM,
    MARK_READ,
    SET_TYPING,
    LIST_CHANNELS,
)
