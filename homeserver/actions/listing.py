"""Which rooms the directory shows.

Source: C-S API v1.19 `setRoomVisibilityOnDirectory`; application-service API v1.19 "Published room
directory".
"""

from collections.abc import Sequence
from uuid import UUID

from homeserver.actions.lookups import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_key,
    require_member,
)
from homeserver.actions.standing import require_active
from homeserver.errors import InvalidInput, NotAllowed
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import MAX_IDENTIFIER_BYTES
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import room_directory, rooms
from homeserver.storage.database import Connection, Database
from homeserver.storage.room_directory import Network
from homeserver.streams.bus import Bus
from homeserver.streams.room_records import CHANGED_TOPIC


class Listing:
    """Putting rooms into the directory, and taking them out."""

    def __init__(
        self, *, database: Database, writer: RoomWriter, lookups: Lookups, bus: Bus
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._bus = bus

    async def publish(self, by: Requester, room_uuid: UUID, *, published: bool) -> None:
        """For those who may say who may join, and for administrators of the server.

        Raises NotFound, NotAllowed.
        """
        require_active(by)
        room = await self._lookups.room(room_uuid)
        if not by.is_admin:
            await self._require_level(by, room)
        if room.published == published:
            return

        async def publish(db: Connection) -> None:
            await rooms.set_published(db, room.room_nid, published=published)

        await self._database.retrying(publish)
        self._bus.announce(CHANGED_TOPIC, str(room.uuid))

    async def list_for_network(
        self, by: Requester, network_id: str, room_uuid: UUID, *, listed: bool
    ) -> None:
        """In the list that the calling application service keeps. Raises NotFound, NotAllowed."""
        if by.appservice is None:
            raise NotAllowed("Only application services have lists of their own.")
        if not 1 <= len(network_id.encode()) <= MAX_IDENTIFIER_BYTES or "\0" in network_id:
            raise InvalidInput("This is not the ID of a network.", field="networkId")
        room = await self._lookups.room(room_uuid)
        network = Network(by.appservice, network_id)

        async def write(db: Connection) -> None:
            if listed:
                await room_directory.list_room(db, network, room.room_nid)
            else:
                await room_directory.delist_room(db, network, room.room_nid)

        await self._database.retrying(write)

    async def _require_level(self, by: Requester, room: RoomRecord) -> None:
        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            levels = levels_of(head)
            if levels.user(by.user_id) < levels.required_for(JOIN_RULES[0], is_state=True):
                raise NotAllowed("Your role in this room does not let you publish it.")
            return ()

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
        await self._writer.append(room, Append(compose=compose, needs=needs))
