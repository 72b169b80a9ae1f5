"""One event, the state and the members of a room, as Matrix clients read them.

Source: C-S API v1.19 rooms.yaml.
"""

from collections.abc import Collection
from typing import Any

import orjson

from homeserver.client_event import JsonObject
from homeserver.errors import NotAllowed, NotFound
from homeserver.events.content import membership_of
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, RoomID, StateKey
from homeserver.requester import Requester
from homeserver.storage import room_state_at
from homeserver.storage.database import Connection, Database
from homeserver.storage.room_state_at import Parts
from homeserver.views import history
from homeserver.views.client_events import ClientEvents
from homeserver.views.room_access import OpenRoom, RoomAccess
from homeserver.views.room_pages import visible_event

MEMBERSHIPS = frozenset({"join", "invite", "knock", "leave", "ban"})


class RoomReads:
    """Reads of rooms. All but `event` raise NotAllowed for a room that the reader may not look
    into; who has left sees the state as it was then. All raise Unavailable.
    """

    def __init__(
        self, *, database: Database, access: RoomAccess, client_events: ClientEvents
    ) -> None:
        self._database = database
        self._access = access
        self._client_events = client_events

    async def event(self, by: Requester, room_id: RoomID, event_id: EventID) -> JsonObject:
        """One event. Raises NotFound, whatever the reason is that he cannot see it."""
        try:
            record = await self._access.find(room_id)
        except NotAllowed:
            raise _no_such_event() from None
        async with self._database.snapshot() as db:
            room = await self._access.look(db, by, record) or OpenRoom(
                record, await history.of_stranger(db, record.room_nid, by.user_id)
            )
            stored = await visible_event(db, room, event_id)
            if stored is None or await self._is_ignored(db, by, stored):
                raise _no_such_event()
            readable = {room.room_nid: room.readable}
            return (await self._client_events.render(db, by, [stored], rooms=readable))[0]

    async def state(self, by: Requester, room_id: RoomID) -> bytes:
        """All of the state, as a JSON array."""
        record = await self._access.find(room_id)
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            return await self._array(room_state_at.whole_in_parts(db, room.room_nid, room.version))

    async def state_entry(self, by: Requester, room_id: RoomID, key: StateKey) -> JsonObject:
        """One entry, as an event. Raises NotFound."""
        record = await self._access.find(room_id)
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            stored = await _entry(db, room, key)
            if stored is None:
                raise NotFound("The room has no such state.", kind="state")
            readable = {room.room_nid: room.readable}
            return (await self._client_events.render(db, by, [stored], rooms=readable))[0]

    async def members(
        self,
        by: Requester,
        room_id: RoomID,
        *,
        at: int | None = None,
        membership: str | None = None,
        not_membership: str | None = None,
    ) -> bytes:
        """The membership events of a room, as a JSON array. at: as they were at a place."""
        record = await self._access.find(room_id)
        wanted = _wanted(membership, not_membership)
        async with self._database.snapshot() as db:
            room = await self._access.open(db, by, record)
            version = None if at is None else await room_state_at.version_at(db, room.room_nid, at)
            return await self._array(_members(db, room, room.no_later_than(version), wanted))

    async def joined_members(self, by: Requester, room_id: RoomID) -> dict[str, JsonObject]:
        """Name and picture of everybody who is in a room now, by user ID."""
        record = await self._access.find(room_id)
        async with self._database.snapshot() as db:
            await self._require_inside(db, by, record.room_nid)
            return {
                str(each.event.state_key): _profile(each.event.content)
                async for part in room_state_at.members_now_in_parts(db, record.room_nid, ["join"])
                for each in part
            }

    async def _array(self, parts: Parts) -> bytes:
        """Part after part: rooms have tens of thousands of members, and nobody else shall wait
        until all of them are written.
        """
        written = [
            orjson.dumps(self._client_events.plain(part))[1:-1] async for part in parts if part
        ]
        return b"[" + b",".join(written) + b"]"

    async def _require_inside(self, db: Connection, by: Requester, room_nid: int) -> None:
        """ "The current user must be in the room for it to work, unless it is an Application
        Service in which case any of the AS's users must be in the room."
        """
        if (await history.of_room(db, room_nid, by.user_id)).is_member:
            return
        if by.appservice is None or not await room_state_at.is_any_joined_of(
            db, room_nid, by.appservice
        ):
            raise NotAllowed("You are not in this room.")

    async def _is_ignored(self, db: Connection, by: Requester, stored: StoredEvent) -> bool:
        """C-S API v1.19 "Ignoring users": "Servers must still send state events"."""
        if stored.event.is_state:
            return False
        return stored.event.sender in await self._client_events.ignored_by(db, by)


async def _entry(db: Connection, room: OpenRoom, key: StateKey) -> StoredEvent | None:
    """U+0000 is in no stored key, and Postgres does not take it."""
    if any("\0" in part for part in key):
        return None
    return await room_state_at.entry(db, room.room_nid, room.version, key)


async def _members(
    db: Connection, room: OpenRoom, version: int | None, wanted: Collection[str]
) -> Parts:
    if version is None:
        parts = room_state_at.members_now_in_parts(db, room.room_nid, wanted)
    else:
        parts = room_state_at.members_in_parts(db, room.room_nid, version)
    async for part in parts:
        yield [each for each in part if membership_of(each.event) in wanted]


def _wanted(membership: str | None, not_membership: str | None) -> frozenset[str]:
    """ "the two parameters create an 'or' condition" """
    if membership is None and not_membership is None:
        return MEMBERSHIPS
    wanted = frozenset(() if membership is None else (membership,))
    return wanted if not_membership is None else wanted | (MEMBERSHIPS - {not_membership})


def _profile(content: Any) -> JsonObject:
    """What others put there may be anything."""
    fields = {"display_name": content.get("displayname"), "avatar_url": content.get("avatar_url")}
    return {key: value for key, value in fields.items() if isinstance(value, str)}


def _no_such_event() -> NotFound:
    return NotFound("Event not found.", kind="message")
