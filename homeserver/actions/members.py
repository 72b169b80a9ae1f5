"""Whether somebody is in a room, answered from the room's head in memory."""

from collections.abc import Sequence

from homeserver.actions.lookups import member_key, require_member
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter


class Members:
    """The check that every append makes, for actions that append nothing."""

    def __init__(self, *, writer: RoomWriter) -> None:
        self._writer = writer

    async def require(self, by: Requester, room: RoomRecord) -> None:
        """Raises NotFound for a stranger to the room, RuleBroken for one who knows of it."""

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            return ()

        await self._writer.append(room, Append(compose=compose, needs=(member_key(by.user_id),)))
