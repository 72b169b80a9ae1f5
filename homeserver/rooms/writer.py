"""Appending to rooms: one room at a time is prepared in memory, many are committed together.

A room's turn is a stretch of code without `await`: build, authorise, sign, advance the head in
memory. The next event builds on it at once, before the first is committed; if the commit fails,
both are prepared again (design section 6).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from secrets import token_urlsafe
from typing import TypeAlias

from homeserver.errors import Unavailable
from homeserver.events.build import Draft
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID, RoomID, ServerName, StateKey, native_uuid
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
from homeserver.values import value

MAX_ATTEMPTS = 8
NONCE_FIELD = "chat.foyer.nonce"
"""In the content of a create event whose hash is the room ID."""

ComposeRoom = Callable[[RoomID], Sequence[Draft]]
_Written: TypeAlias = asyncio.Future[Sequence[StoredEvent]]


@value
class _Ready:
    """Everything for the room's turn is in memory."""

    cached: CachedHead
    drafts: Sequence[Draft]


@value
class _Lacking:
    """What must be loaded first: state entries, numbers for events and people."""

    keys: Sequence[StateKey] = ()
    drafts: Sequence[Draft] = ()


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
            done = await self._begin_append(room, request, alone=alone)
            if done is None:
                return ()
            try:
                return await done
            except Stale as stale:
                alone = stale.alone
        raise Unavailable("The room is too busy; please try again.")

    async def _begin_append(
        self, room: RoomRecord, request: Append, *, alone: bool
    ) -> _Written | None:
        """Puts the item into the batch; None: there is nothing to append."""
        while not self._heads.is_taken(room):
            ready = self._ready(room, request)
            if isinstance(ready, _Ready):
                return self._append_now(room, ready, request, alone=alone)
            await self._fetch(room, ready)
        async with self._heads.turn(room):
            while isinstance(ready := self._ready(room, request), _Lacking):
                await self._fetch(room, ready)
            return self._append_now(room, ready, request, alone=alone)

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
        create = self._unique(create, version)
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

    def _unique(self, create: Draft, version: RoomVersion) -> Draft:
        """The create event of a room like no other.

        Where the room ID is the hash of it, two rooms that one user makes in one millisecond would
        be the same room.
        """
        if version.room_id_is_create_hash:
            return replace(create, content={**create.content, NONCE_FIELD: token_urlsafe(9)})
        return replace(create, room_id=RoomID(f"!{token_urlsafe(14)}:{self._server_name}"))

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
            while not self._is_at_hand(drafts):
                await self._at_hand(drafts)
            item = self._preparing.new_room(room, head, create, drafts[1:])
            item.also, item.alone = also, alone
            done = self._commit(room, self._heads.begin(room, item.head), item)
            try:
                await done
            except Stale as stale:
                alone = stale.alone
            else:
                return
        raise Unavailable("The server is too busy; please try again.")

    def _append_now(
        self, room: RoomRecord, ready: _Ready, request: Append, *, alone: bool
    ) -> _Written | None:
        if not ready.drafts:
            return None
        item = self._preparing.item(room, ready.cached.head, ready.drafts, request)
        item.alone = alone
        item.again = _Again(self, room, request, ready.drafts)
        return self._commit(room, ready.cached, item)

    def item_on(self, room: RoomRecord, head: RoomHead, request: Append) -> Item | None:
        """The request on another head, without events if there is nothing to append to it. None:
        something is lacking. Raises what `compose` raises, and RuleBroken.
        """
        drafts = self._drafts(room, head, request)
        if isinstance(drafts, _Lacking):
            return None
        return self._preparing.item(room, head, drafts, request)

    def _commit(self, room: RoomRecord, cached: CachedHead, item: Item) -> _Written:
        ended = partial(self._heads.finished, room.room_nid, cached)
        done = self._committer.add(item, ended)
        self._heads.advance(cached, item.head)
        return done

    def _ready(self, room: RoomRecord, request: Append) -> _Ready | _Lacking:
        """What the item is made of. Awaits nothing: until the item is built, nothing changes."""
        cached = self._heads.peek(room)
        if cached is None:
            return _Lacking(request.needs)
        drafts = self._drafts(room, cached.head, request)
        return drafts if isinstance(drafts, _Lacking) else _Ready(cached, drafts)

    def _drafts(
        self, room: RoomRecord, head: RoomHead, request: Append
    ) -> Sequence[Draft] | _Lacking:
        if missing := head.missing(_needs(request)):
            return _Lacking(missing)
        drafts = request.compose(head)
        if missing := head.missing(needed_keys(drafts, room.version)):
            return _Lacking(missing)
        return drafts if self._is_at_hand(drafts) else _Lacking(drafts=drafts)

    async def _fetch(self, room: RoomRecord, lacking: _Lacking) -> None:
        if lacking.drafts:
            await self._at_hand(lacking.drafts)
        else:
            await self._heads.learn(room, lacking.keys)

    def _is_at_hand(self, drafts: Sequence[Draft]) -> bool:
        peek = self._people.peek_user_id
        return self._nids.has(len(drafts)) and all(map(peek, named_users(drafts)))

    async def _at_hand(self, drafts: Sequence[Draft]) -> None:
        await self._people.ensure(named_users(drafts))
        await self._nids.reserve(len(drafts))


@value
class _Again:
    """How the item of an append is built on another head. drafts: what it was at first."""

    writer: RoomWriter
    room: RoomRecord
    request: Append
    drafts: Sequence[Draft]

    def needs(self) -> Sequence[StateKey]:
        return [*_needs(self.request), *needed_keys(self.drafts, self.room.version)]

    def item(self, head: RoomHead) -> Item | None:
        return self.writer.item_on(self.room, head, self.request)


def _needs(request: Append) -> Sequence[StateKey]:
    """Also the entry that a redaction may change, so that the head follows it."""
    target = request.target
    if target is None or not target.event.is_state:
        return request.needs
    return [*request.needs, target.event.key]


def new_event_id(server_name: ServerName) -> Callable[[], EventID]:
    """IDs for events of room versions 1 and 2, where the server chooses them."""

    def choose() -> EventID:
        return EventID(f"${token_urlsafe(15)}:{server_name}")

    return choose
