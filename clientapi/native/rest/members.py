"""Who is in a room."""

from collections.abc import Iterator

from clientapi.native.rest import room_objects
from clientapi.native.rest.endpoint import Call, Endpoint, Json, Private
from clientapi.native.services import NativeServices
from homeserver.requester import Requester
from schema.operations import members as operations
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


class MemberEndpoints:
    """Joining, leaving, adding, inviting, removing, banning; roles."""

    def __init__(self, *, services: NativeServices) -> None:
        self._membership = services.membership
        self._rooms = services.rooms

    def endpoints(self) -> Iterator[Endpoint]:
        yield Private(operations.JOIN_ROOM, self.join_room)
        yield Private(operations.LEAVE_ROOM, self.leave_room)
        yield Private(operations.LIST_MEMBERS, self.list_members)
        yield Private(operations.ADD_MEMBERS, self.add_members)
        yield Private(operations.REMOVE_MEMBER, self.remove_member)
        yield Private(operations.SET_ROLE, self.set_role)
        yield Private(operations.INVITE_USER, self.invite_user)
        yield Private(operations.BAN_USER, self.ban_user)
        yield Private(operations.UNBAN_USER, self.unban_user)
        yield Private(operations.LIST_INVITES, self.list_invites)

    async def join_room(self, call: Call[RoomPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._membership.join(by, call.path.room_id)
        return room_objects.room(await self._rooms.get(by, call.path.room_id), by)

    async def leave_room(self, call: Call[RoomPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._membership.leave(by, call.path.room_id)
        return None

    async def list_members(self, call: Call[RoomPath, MemberPage, NoBody], by: Requester) -> Json:
        page = await self._rooms.members(by, call.path.room_id, call.query.limit, call.query.after)
        return [room_objects.member(view) for view in page]

    async def add_members(self, call: Call[RoomPath, NoQuery, AddMembers], by: Requester) -> Json:
        await self._membership.add(by, call.path.room_id, call.body.user_ids)
        return room_objects.room(await self._rooms.get(by, call.path.room_id), by)

    async def remove_member(self, call: Call[MemberPath, Removal, NoBody], by: Requester) -> Json:
        path = call.path
        await self._membership.remove(by, path.room_id, path.user_id, call.query.reason)
        return None

    async def set_role(self, call: Call[MemberPath, NoQuery, SetRole], by: Requester) -> Json:
        path = call.path
        await self._membership.set_role(by, path.room_id, path.user_id, call.body.role)
        return {"user_id": path.user_id, "role": call.body.role}

    async def invite_user(self, call: Call[RoomPath, NoQuery, InviteUser], by: Requester) -> Json:
        await self._membership.invite(by, call.path.room_id, call.body.user_id)
        return {"room_id": call.path.room_id, "user_id": call.body.user_id}

    async def ban_user(self, call: Call[MemberPath, NoQuery, Ban], by: Requester) -> Json:
        path = call.path
        await self._membership.ban(by, path.room_id, path.user_id, call.body.reason)
        return {"room_id": path.room_id, "user_id": path.user_id}

    async def unban_user(self, call: Call[MemberPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._membership.unban(by, call.path.room_id, call.path.user_id)
        return None

    async def list_invites(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        return [room_objects.invite(view, by) for view in await self._rooms.invitations(by)]
