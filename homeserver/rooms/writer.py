"""Appending to rooms: one room at a time is prepared in memory, many are committed together.

A room's turn is a stretch of code without `await`: build, authorise, sign, advance the head in
memory. The next event builds on it at once, before the first is committed; if the commit fails,
both are prepared again (design section 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_urlsafe

from homeserver.errors import Unavailable
from homeserver.events.build import Draft
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID, RoomID, ServerName, native_uuid
from homeserver.rooms.batch import AlsoWrite, Item
from homeserver.rooms.committer import Committer, Stale
from homeserver.rooms.head import RoomHead
from homeserver.rooms.heads import CachedHead, Heads
from homeserver.rooms.nids import EventNids
from homeserver.rooms.preparing import (
    EMPTY_HEAD,
    Append,
    Preparing,
    named_users,
    needed_keys,
    nothing_known,
)
from homeserver.storage import rooms
from homeserver.storage.database import Database
from homeserver.streams.people import People

MAX_ATTEMPTS = 8

ComposeRoom = Callable[[RoomID], Sequence[Draft]]


class RoomWriter:
    """Every event that this server makes goes through here."""

    def __init__(
        self,
        *,
        database: Database,
        server_name: ServerName,
        heads: Heads,
        committer: Committer,
        preparing: Preparing,
        nids: EventNids,
        people: People,
    ) -> None:
        self._database = database
        self._server_name = server_name
        self._heads = heads
        self._committer = committer
        self._preparing = preparing
        self._nids = nids
        self._people = people

    async def append(self, room: RoomRecord, request: Append) -> Sequence[StoredEvent]:
        """Appends and commits; returns the events with their positions.

        Raises RuleBroken, what `compose` raises, TooLarge, NotFound for a room that is not here,
        asyncpg.UniqueViolationError for a transaction ID used before, and Unavailable: then it is
        unknown whether the events were stored.
        """
        alone = False
        for _ in range(MAX_ATTEMPTS):
            cached, drafts = await self._ready(room, request)
            if not drafts:
                return ()
            item = self._preparing.item(room, cached.head, drafts, request)
            item.alone = alone
            try:
                return await self._commit(room, cached, item)
            except Stale as stale:
                alone = stale.alone
        raise Unavailable("The room is too busy; please try again.")

    async def create_room(
        self,
        *,
        kind: str,
        version: RoomVersion,
        published: bool,
        create: Draft,
        compose: ComposeRoom,
        also: Callable[[RoomRecord], AlsoWrite] | None = None,
    ) -> RoomRecord:
        """Makes a room of a create event and the drafts that follow it, in one transaction."""
        if not version.room_id_is_create_hash:
            create = replace(create, room_id=RoomID(f"!{token_urlsafe(14)}:{self._server_name}"))
        async with self._database.connection() as db:
            room_nid = await rooms.reserve_nid(db)
        head = nothing_known(EMPTY_HEAD, needed_keys([create], version))
        # From room version 12 on, the room ID is the hash of the create event.
        first = self._preparing.event(version, head, create)
        room = RoomRecord(
            room_nid=room_nid,
            room_id=first.room_id,
            uuid=native_uuid(first.room_id),
            version=version,
            kind=kind,
            published=published,
            created_at=first.origin_server_ts,
        )
        drafts = [create, *compose(room.room_id)]
        head = nothing_known(EMPTY_HEAD, needed_keys(drafts, version))
        await self._begin(room, head, first, drafts, None if also is None else also(room))
        return room

    async def _begin(
        self,
        room: RoomRecord,
        head: RoomHead,
        create: Event,
        drafts: Sequence[Draft],
        also: AlsoWrite | None,
    ) -> None:
        alone = False
        for _ in range(MAX_ATTEMPTS):
            await self._at_hand(drafts)
            item = self._preparing.new_room(room, head, create, drafts[1:])
            item.also, item.alone = also, alone
            try:
                await self._commit(room, self._heads.begin(room, item.head), item)
            except Stale as stale:
                alone = stale.alone
            else:
                return
        raise Unavailable("The server is too busy; please try again.")

    async def _commit(
        self, room: RoomRecord, cached: CachedHead, item: Item
    ) -> Sequence[StoredEvent]:
        cached.head = item.head
        cached.pending += 1
        try:
            return await self._committer.add(item)
        finally:
            self._heads.finished(room, cached)
            if item.redacts_state:
                self._heads.drop(room.room_nid)

    async def _ready(self, room: RoomRecord, request: Append) -> tuple[CachedHead, Sequence[Draft]]:
        """Head and drafts, with all that they need in memory; nothing is awaited after that."""
        while True:
            cached = self._heads.peek(room) or await self._heads.load(room)
            if missing := cached.head.missing(request.needs):
                await self._heads.learn(room, missing)
                continue
            drafts = request.compose(cached.head)
            if missing := cached.head.missing(needed_keys(drafts, room.version)):
                await self._heads.learn(room, missing)
                continue
            if self._is_at_hand(drafts):
                return cached, drafts
            await self._at_hand(drafts)

    def _is_at_hand(self, drafts: Sequence[Draft]) -> bool:
        peek = self._people.peek_user_id
        return self._nids.has(len(drafts)) and all(map(peek, named_users(drafts)))

    async def _at_hand(self, drafts: Sequence[Draft]) -> None:
        await self._people.ensure(named_users(drafts))
        await self._nids.reserve(len(drafts))


def new_event_id(server_name: ServerName) -> Callable[[], EventID]:
    """IDs for events of room versions 1 and 2, where the server chooses them."""

    def choose() -> EventID:
        return EventID(f"${token_urlsafe(15)}:{server_name}")

    return choose
