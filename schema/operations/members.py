"""Operations on who is in a room."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Invite, Member, Room
from schema.wire.paths import MemberPath, NoPath, RoomPath
from schema.wire.requests import (
    AddMembers,
    Ban,
    InviteUser,
    MemberPage,
    NoBody,
    NoQuery,
    Removal,
    SetRole,
)
from schema.wire.responses import Banned, Invited, MemberRole

_TAG = "Members"
_ERRORS = (ErrorCode.INVALID_ROOM, ErrorCode.INVALID_USER, ErrorCode.FORBIDDEN)

JOIN_ROOM = Operation(
    name="joinRoom",
    tag=_TAG,
    summary="Join a public channel, or a room that one is invited to.",
    method="POST",
    path="/api/rooms/{room_id}/join",
    params=RoomPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Room},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.FORBIDDEN),
)
LEAVE_ROOM = Operation(
    name="leaveRoom",
    tag=_TAG,
    summary="Leave a room, or decline an invitation.",
    method="POST",
    path="/api/rooms/{room_id}/leave",
    params=RoomPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.FORBIDDEN),
)
LIST_MEMBERS = Operation(
    name="listMembers",
    tag=_TAG,
    summary="The members of a room, page by page.",
    method="GET",
    path="/api/rooms/{room_id}/members",
    params=RoomPath,
    query=MemberPage,
    body=NoBody,
    answers={200: list[Member]},
    errors=(ErrorCode.INVALID_ROOM, ErrorCode.INVALID_USER),
)
ADD_MEMBERS = Operation(
    name="addMembers",
    tag=_TAG,
    summary="Make users of this server members.",
    method="POST",
    path="/api/rooms/{room_id}/members",
    params=RoomPath,
    query=NoQuery,
    body=AddMembers,
    answers={201: Room},
    errors=_ERRORS,
)
REMOVE_MEMBER = Operation(
    name="removeMember",
    tag=_TAG,
    summary="Remove somebody from a room, or take an invitation back.",
    method="DELETE",
    path="/api/rooms/{room_id}/members/{user_id}",
    params=MemberPath,
    query=Removal,
    body=NoBody,
    answers={204: None},
    errors=_ERRORS,
)
SET_ROLE = Operation(
    name="setRole",
    tag=_TAG,
    summary="Make a member an admin of the room, or no admin any more.",
    method="PUT",
    path="/api/rooms/{room_id}/members/{user_id}",
    params=MemberPath,
    query=NoQuery,
    body=SetRole,
    answers={200: MemberRole},
    errors=(*_ERRORS, ErrorCode.CONFLICT),
)
INVITE_USER = Operation(
    name="inviteUser",
    tag=_TAG,
    summary="Ask somebody to join.",
    method="POST",
    path="/api/rooms/{room_id}/invites",
    params=RoomPath,
    query=NoQuery,
    body=InviteUser,
    answers={201: Invited},
    errors=(*_ERRORS, ErrorCode.CONFLICT),
)
BAN_USER = Operation(
    name="banUser",
    tag=_TAG,
    summary="Remove somebody and keep them out.",
    method="PUT",
    path="/api/rooms/{room_id}/bans/{user_id}",
    params=MemberPath,
    query=NoQuery,
    body=Ban,
    answers={200: Banned},
    errors=_ERRORS,
)
UNBAN_USER = Operation(
    name="unbanUser",
    tag=_TAG,
    summary="Lift a ban.",
    method="DELETE",
    path="/api/rooms/{room_id}/bans/{user_id}",
    params=MemberPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=_ERRORS,
)
LIST_INVITES = Operation(
    name="listInvites",
    tag=_TAG,
    summary="The rooms that the caller is invited to.",
    method="GET",
    path="/api/invites",
    params=NoPath,
    query=NoQuery,
    body=NoBody,
    answers={200: list[Invite]},
)

OPERATIONS = (
    JOIN_ROOM,
    LEAVE_ROOM,
    LIST_MEMBERS,
    ADD_MEMBERS,
    REMOVE_MEMBER,
    SET_ROLE,
    INVITE_USER,
    BAN_USER,
    UNBAN_USER,
    LIST_INVITES,
)
