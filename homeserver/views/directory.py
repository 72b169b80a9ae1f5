"""The directory of rooms, as Matrix clients search it, the aliases of a room, one's own rooms.

Source: C-S API v1.19 "Published room directory", `getLocalAliases`.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.events.content import history_visibility_of, join_rule_of
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import RoomAlias, RoomID
from homeserver.requester import Requester
from homeserver.search_terms import folded
from homeserver.storage import aliases, memberships, room_directory, room_lists, state_history
from homeserver.storage.database import Connection, Database
from homeserver.storage.room_directory import MAX_LISTED, Listed, Network
from homeserver.streams.room_records import RoomRecords

MAX_PAGE = 500
DEFAULT_PAGE = 100

_CREATE = "m.room.create"
_NAME = "m.room.name"
_TOPIC = "m.room.topic"
_AVATAR = "m.room.avatar"
_ALIAS = "m.room.canonical_alias"
_JOIN_RULES = "m.room.join_rules"
_VISIBILITY = "m.room.history_visibility"
_GUEST_ACCESS = "m.room.guest_access"
_TYPES = (
    _CREATE,
    _NAME,
    _TOPIC,
    _AVATAR,
    _ALIAS,
    _JOIN_RULES,
    _VISIBILITY,
    _GUEST_ACCESS,
)
_TOKEN = re.compile(r"([nb])([0-9]{1,12})_([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Look:
    """What the directory shows of a room; None for what the room does not have."""

    name: str | None
    topic: str | None
    avatar_url: str | None
    canonical_alias: str | None
    join_rule: str
    room_type: str | None
    world_readable: bool
    guest_can_join: bool

    def has(self, term: str) -> bool:
        """term: as `folded` makes it."""
        texts = (self.name, self.topic, self.canonical_alias)
        return any(term in folded(text) for text in texts if text is not None)


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A room of the directory."""

    room_id: RoomID
    members: int
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySearch:
    """What somebody looks for. since: of an earlier page. room_types: None stands for rooms
    without a type; none at all: any type. network: the list of an application service.
    """

    limit: int = DEFAULT_PAGE
    since: str | None = None
    term: str = ""
    room_types: Collection[str | None] | None = None
    network: str | None = None
    all_networks: bool = False

    @property
    def is_filtered(self) -> bool:
        return bool(self.term) or self.room_types is not None


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """Rooms, the biggest first. total: of all pages. The tokens: None where there is no more."""

    entries: Sequence[DirectoryEntry]
    total: int
    next_batch: str | None
    prev_batch: str | None


class Directory:
    """Reads of the directory: three statements, however many rooms there are."""

    def __init__(self, *, database: Database, rooms: RoomRecords) -> None:
        self._database = database
        self._rooms = rooms
        self._looks: OrderedDict[int, tuple[tuple[int, ...], Look]] = OrderedDict()

    async def search(self, wanted: DirectorySearch) -> DirectoryPage:
        """Raises InvalidInput for a token that is none."""
        turn = _turn(wanted.since)
        term, limit = folded(wanted.term.strip()), min(wanted.limit, MAX_PAGE)
        async with self._database.snapshot() as db:
            listed = await _listed(db, wanted)
            if wanted.is_filtered:
                looks = await self._looks_of(db, listed)
                listed = [
                    each for each in listed if _fits(looks[each.room_nid], term, wanted.room_types)
                ]
            page = turn(listed, limit)
            looks = await self._looks_of(db, page)
        return DirectoryPage(
            entries=[
                DirectoryEntry(each.room_id, each.members, looks[each.room_nid]) for each in page
            ],
            total=len(listed),
            next_batch=f"n{_key_text(page[-1])}" if page and page[-1] != listed[-1] else None,
            prev_batch=f"b{_key_text(page[0])}" if page and page[0] != listed[0] else None,
        )

    async def is_published(self, room_uuid: UUID) -> bool:
        """Raises NotFound."""
        return (await self._room(room_uuid)).published

    async def aliases(self, by: Requester, room_uuid: UUID) -> list[RoomAlias]:
        """All local aliases. Raises NotFound, and NotAllowed for who is not in the room, unless
        everybody may read it.
        """
        room = await self._room(room_uuid)
        async with self._database.snapshot() as db:
            if await room_lists.membership(db, room.room_nid, by.user_nid) != "join":
                await _require_world_readable(db, room)
            return await aliases.of_room(db, room.room_nid)

    async def joined(self, by: Requester) -> list[RoomID]:
        """The rooms that the caller is in."""
        async with self._database.connection() as db:
            return await memberships.joined_ids(db, by.user_nid)

    async def _room(self, uuid: UUID) -> RoomRecord:
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise NotFound("Room not found", kind="room")
        return room

    async def _looks_of(self, db: Connection, listed: Sequence[Listed]) -> dict[int, Look]:
        """Those that changed are read anew."""
        nids = [each.room_nid for each in listed]
        versions = await room_directory.versions_of_looks(db, nids, _TYPES)
        looks = {
            nid: known[1]
            for nid in nids
            if (known := self._looks.get(nid)) is not None and known[0] == versions[nid]
        }
        if changed := [nid for nid in nids if nid not in looks]:
            state = await state_history.current(db, changed, _TYPES)
            looks |= {nid: _look(nid, state) for nid in changed}
            self._looks.update({nid: (versions[nid], looks[nid]) for nid in changed})
        while len(self._looks) > MAX_LISTED:
            self._looks.popitem(last=False)
        return looks


async def _listed(db: Connection, wanted: DirectorySearch) -> list[Listed]:
    if wanted.network is None:
        return await room_directory.published(db, with_networks=wanted.all_networks)
    appservice, _, network_id = wanted.network.partition("|")
    return await room_directory.of_network(db, Network(appservice, network_id))


async def _require_world_readable(db: Connection, room: RoomRecord) -> None:
    state = await state_history.current(db, [room.room_nid], (_VISIBILITY,))
    stored = state.get((room.room_nid, _VISIBILITY))
    if history_visibility_of(None if stored is None else stored.event) != "world_readable":
        raise NotAllowed("You are not in this room.")


def _fits(look: Look, term: str, room_types: Collection[str | None] | None) -> bool:
    return (not term or look.has(term)) and (room_types is None or look.room_type in room_types)


Turn = Callable[[Sequence[Listed], int], Sequence[Listed]]


def _turn(since: str | None) -> Turn:
    """How to find a page among all rooms. Raises InvalidInput."""
    if since is None:
        return lambda listed, limit: listed[:limit]
    parts = _TOKEN.fullmatch(since)
    if parts is None:
        raise InvalidInput("since is not a token of this directory.", field="since")
    key = (-int(parts[2]), int(parts[3]))
    if parts[1] == "n":
        return lambda listed, limit: [each for each in listed if _key(each) > key][:limit]
    return lambda listed, limit: [each for each in listed if _key(each) < key][-limit:]


def _key(listed: Listed) -> tuple[int, int]:
    """The order of the directory."""
    return -listed.members, listed.room_nid


def _key_text(listed: Listed) -> str:
    return f"{listed.members}_{listed.room_nid}"


def _look(room_nid: int, state: Mapping[tuple[int, str], StoredEvent]) -> Look:
    def event(event_type: str) -> Event | None:
        stored = state.get((room_nid, event_type))
        return None if stored is None else stored.event

    guest_access = _text(event(_GUEST_ACCESS), "guest_access")
    avatar_url = _text(event(_AVATAR), "url")
    return Look(
        name=_text(event(_NAME), "name"),
        topic=plain_topic(event(_TOPIC)),
        avatar_url=avatar_url,
        canonical_alias=_text(event(_ALIAS), "alias"),
        join_rule=join_rule_of(event(_JOIN_RULES)),
        room_type=_text(event(_CREATE), "type"),
        world_readable=history_visibility_of(event(_VISIBILITY)) == "world_readable",
        guest_can_join=guest_access == "can_join",
    )


def plain_topic(event: Event | None) -> str | None:
    """C-S API v1.19 "m.room.topic": the first representation that is plain text, else `topic`."""
    texts = _texts(event)
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, Mapping) and text.get("mimetype", "text/plain") == "text/plain":
            body = text.get("body")
            if isinstance(body, str):
                return body
    return _text(event, "topic")


def _texts(event: Event | None) -> Any:
    block = None if event is None else event.content.get("m.topic")
    return block.get("m.text") if isinstance(block, Mapping) else None


def _text(event: Event | None, key: str) -> str | None:
    """A text that is there. Content comes from anybody."""
    value = None if event is None else event.content.get(key)
    return value if isinstance(value, str) and value else None
