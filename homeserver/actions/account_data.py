"""Keeping data on the server for one's own clients. Source: C-S API v1.19 "Client Config"."""

from collections.abc import Mapping
from typing import Any

from homeserver.account_data import check_type, encoded, require_own
from homeserver.actions.lookups import Lookups, no_such_room
from homeserver.errors import TooLarge
from homeserver.identifiers import RoomID, UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import account_data, room_lists
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataWriter

MAX_ENTRIES = 1_000
"""Types of one user: of each room, and of no room."""


class AccountData:
    """Writes of account data."""

    def __init__(self, *, database: Database, writer: AccountDataWriter, lookups: Lookups) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups

    async def put(
        self,
        by: Requester,
        user_id: UserID,
        event_type: str,
        content: Mapping[str, Any],
        *,
        room_id: RoomID | None = None,
    ) -> None:
        """Raises NotAllowed for somebody else's, ControlledByServer, InvalidInput, TooLarge, and
        NotFound for a room that one never was in.
        """
        require_own(by, user_id)
        check_type(event_type)
        raw = encoded(content)
        room_nid = await self.room_nid(by, room_id)
        async with self._database.connection() as db:
            others = await account_data.other_count(db, by.user_nid, room_nid, event_type)
        if others >= MAX_ENTRIES:
            raise TooLarge(f"At most {MAX_ENTRIES} types of account data are kept in one place.")
        await self._writer.put(by.user_nid, room_nid, event_type, raw)

    async def room_nid(self, by: Requester, room_id: RoomID | None) -> int:
        """0 for no room. Raises NotFound for a room that one never was in, nor was invited to."""
        if room_id is None:
            return GLOBAL
        room = await self._lookups.room(native_uuid(room_id))
        async with self._database.connection() as db:
            if await room_lists.membership(db, room.room_nid, by.user_nid) is None:
                raise no_such_room()
        return room.room_nid
