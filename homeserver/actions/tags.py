"""Tags on rooms, which one user's clients order them by. Source: C-S API v1.19 "Room Tagging"."""

from collections.abc import Callable, Mapping
from typing import Any

from homeserver.account_data import TAG, check_name, encoded, is_tag, require_own, tags_in
from homeserver.actions.account_data import AccountData
from homeserver.errors import InvalidInput, TooLarge
from homeserver.identifiers import RoomID, UserID
from homeserver.requester import Requester
from homeserver.streams.account_data import AccountDataWriter

MAX_TAGS = 100
"""Tags on one room."""

_Tags = dict[str, Any]


class Tags:
    """Adding and removing tags; each is one entry in the room's `m.tag`."""

    def __init__(self, *, account_data: AccountData, writer: AccountDataWriter) -> None:
        self._account_data = account_data
        self._writer = writer

    async def add(
        self, by: Requester, user_id: UserID, room_id: RoomID, tag: str, details: Mapping[str, Any]
    ) -> None:
        """Raises NotAllowed, InvalidInput, TooLarge, NotFound."""
        check_name(tag, field="tag")
        if not is_tag(details):
            raise InvalidInput("order is a number between 0 and 1.", field="order")

        def edit(tags: _Tags) -> bool:
            if tag not in tags and len(tags) >= MAX_TAGS:
                raise TooLarge(f"A room has at most {MAX_TAGS} tags.")
            tags[tag] = details
            return True

        await self._change(by, user_id, room_id, edit)

    async def remove(self, by: Requester, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """A tag that is not there is removed already. Raises NotAllowed, NotFound."""
        await self._change(by, user_id, room_id, lambda tags: tags.pop(tag, None) is not None)

    async def _change(
        self, by: Requester, user_id: UserID, room_id: RoomID, edit: Callable[[_Tags], bool]
    ) -> None:
        """edit: changes the tags, and says whether it did."""
        require_own(by, user_id)
        room_nid = await self._account_data.room_nid(by, room_id)

        def edit_content(content: bytes | None) -> bytes | None:
            tags = tags_in(content)
            return encoded({"tags": tags}) if edit(tags) else None

        await self._writer.change(by.user_nid, room_nid, TAG, edit_content)
