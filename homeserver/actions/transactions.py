"""Transaction IDs: a session that repeats a request gets the first answer, and nothing twice.

Source: C-S API v1.19 "Transaction identifiers"; the native `ref` is the same thing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg

from homeserver.errors import FoyerError, InvalidInput, Unavailable
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID
from homeserver.requester import Requester
from homeserver.rooms.batch import Origin
from homeserver.storage import events
from homeserver.storage.database import Database
from homeserver.values import value

REMEMBERED = 2_000
"""Answers: who repeats a request does so within seconds, and the database knows the others."""
MAX_TXN_ID_CHARS = 255


@value
class Sent:
    """An event that is committed. position: in the stream of events."""

    message_uuid: UUID
    room_uuid: UUID
    event_id: EventID
    created_at_ms: int
    position: int


def sent(room: RoomRecord, stored: StoredEvent) -> Sent:
    assert stored.facts.position is not None
    return Sent(
        stored.facts.uuid,
        room.uuid,
        stored.event.event_id,
        stored.event.origin_server_ts,
        stored.facts.position,
    )


SendOnce = Callable[[Origin], Awaitable[Sent]]
RoomOf = Callable[[int], Awaitable[RoomRecord | None]]


class Transactions:
    """Answers of the last transactions in memory; the database knows all of them."""

    def __init__(self, *, database: Database, room_of: RoomOf) -> None:
        self._database = database
        self._room_of = room_of
        self._answers: OrderedDict[tuple[int, str], Sent] = OrderedDict()
        self._running: dict[tuple[int, str], asyncio.Future[None]] = {}

    async def once(self, by: Requester, txn_id: str | None, send: SendOnce) -> Sent:
        """Sends, or returns what was sent with this transaction ID by the same session.

        txn_id: with its scope in front; None: no protection. Raises what `send` raises.
        """
        if txn_id is None:
            return await send(Origin(by.session_nid))
        if len(txn_id) > MAX_TXN_ID_CHARS or "\0" in txn_id:
            raise InvalidInput("This is not a usable transaction ID.", field="ref")
        key = by.session_nid, txn_id
        # If the one before failed or was cut off, the next tries for itself.
        while (running := self._running.get(key)) is not None:
            await asyncio.wait([running])
        answer = self._answers.get(key)
        return await self._first(key, send) if answer is None else answer

    async def _first(self, key: tuple[int, str], send: SendOnce) -> Sent:
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            answer = self._answers[key] = await self._send(key, send)
        finally:
            del self._running[key]
            running.set_result(None)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    async def _send(self, key: tuple[int, str], send: SendOnce) -> Sent:
        """A request that was carried out before may be impossible now: what it deleted is gone."""
        try:
            return await send(Origin(*key))
        except (asyncpg.UniqueViolationError, FoyerError) as error:
            answered = await self._answered(key)
            if answered is not None:
                return answered
            if isinstance(error, FoyerError):
                raise
        raise Unavailable("Please try again.")

    async def _answered(self, key: tuple[int, str]) -> Sent | None:
        """What was sent with this transaction ID, at any time."""
        async with self._database.connection() as db:
            stored = await events.by_transaction(db, *key)
        room = None if stored is None else await self._room_of(stored.facts.room_nid)
        return None if stored is None or room is None else sent(room, stored)
