"""What somebody keeps on the server, for himself. Source: C-S API v1.19 "Client Config"."""

from typing import Any

import orjson

from homeserver.account_data import TAG, check_name, require_own, tags_in
from homeserver.errors import NotFound
from homeserver.identifiers import RoomID, UserID, native_uuid
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.requester import Requester
from homeserver.storage import account_data
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Database
from homeserver.streams.room_records import RoomRecords


class AccountData:
    """Reads of account data."""

    def __init__(self, *, database: Database, rooms: RoomRecords) -> None:
        self._database = database
        self._rooms = rooms

    async def get(
        self, by: Requester, user_id: UserID, event_type: str, *, room_id: RoomID | None = None
    ) -> bytes:
        """The content: JSON. Raises NotAllowed for somebody else's, NotFound, InvalidInput."""
        require_own(by, user_id)
        check_name(event_type, field="type")
        content = await self._content(by, event_type, room_id)
        if event_type == PUSH_RULES and room_id is None:
            # Who has never changed a rule has rules all the same.
            ruleset = Ruleset.of(None if content is None else orjson.loads(content))
            return orjson.dumps(ruleset.as_json(by.user_id))
        if content is None:
            raise NotFound("Nothing of this type is kept here.", kind="account_data")
        return content

    async def tags(self, by: Requester, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """The tags of a room, by name. Raises NotAllowed."""
        require_own(by, user_id)
        return tags_in(await self._content(by, TAG, room_id))

    async def _content(
        self, by: Requester, event_type: str, room_id: RoomID | None
    ) -> bytes | None:
        room_nid = GLOBAL
        if room_id is not None:
            room = await self._rooms.by_uuid(native_uuid(room_id))
            if room is None:
                return None
            room_nid = room.room_nid
        async with self._database.connection() as db:
            return await account_data.get(db, by.user_nid, room_nid, event_type)
