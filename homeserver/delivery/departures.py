"""Who has no account any more leaves the rooms they were in.

Source: C-S API v1.19 `deactivateAccount`: the user "is removed from all rooms".
"""

import asyncio
from collections.abc import Sequence

import structlog

from homeserver.actions.lookups import member_key, membership_in
from homeserver.errors import Unavailable
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import UserID
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.refusal import RuleBroken
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import memberships
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.streams.room_records import RoomRecords

SWEEP_S = 60.0
PAGE = 100

log = structlog.get_logger(__name__)


class Departures:
    """Looks for memberships of deactivated accounts: when one changes, and once in a while.

    The memberships themselves are the list of what is left to do, so nothing is lost in a crash.
    """

    def __init__(
        self, *, database: Database, rooms: RoomRecords, writer: RoomWriter, bus: Bus
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._writer = writer
        self._wake = asyncio.Event()
        bus.subscribe("account-changed", lambda _: self._wake.set())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("departures_postponed", reason=str(error))
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def once(self) -> None:
        """Everybody who should leave has left. Raises Unavailable."""
        after = (0, 0)
        while True:
            async with self._database.connection() as db:
                left_over = await memberships.of_deactivated(db, after=after, limit=PAGE)
            if not left_over:
                return
            for room_nid, user_nid, user_id in left_over:
                await self._leave(room_nid, user_id)
                after = (room_nid, user_nid)

    async def _leave(self, room_nid: int, user_id: UserID) -> None:
        room = await self._rooms.by_nid(room_nid)
        if room is not None:
            await let_leave(self._writer, room, user_id)


async def let_leave(writer: RoomWriter, room: RoomRecord, user_id: UserID) -> None:
    """Whatever somebody is to a room: afterwards it is nothing. Raises Unavailable."""

    def compose(head: RoomHead) -> Sequence[Draft]:
        if membership_in(head, user_id) not in ("join", "invite", "knock"):
            return ()
        return (
            Draft(
                room_id=room.room_id,
                sender=user_id,
                type="m.room.member",
                state_key=user_id,
                content={"membership": "leave"},
            ),
        )

    try:
        await writer.append(room, Append(compose=compose, needs=(member_key(user_id),)))
    except RuleBroken as error:
        log.warning("departure_refused", user_id=user_id, rule=error.rule.value)
