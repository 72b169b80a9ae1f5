"""Rooms as their members see them: the list, one room, its members; the directory; invitations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.errors import InvalidInput, NotFound, TooLarge
from homeserver.events.content import RoomEncryption, history_visibility_of
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import RoomID
from homeserver.requester import Requester
from homeserver.search_terms import folded
from homeserver.storage import memberships, room_lists, state_history
from homeserver.storage.database import Connection, Database
from homeserver.storage.room_lists import JoinedRow, PublishedRow
from homeserver.storage.timeline import MAX_POSITION
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.people import People, Person
from homeserver.streams.room_counters import RoomCounts
from homeserver.streams.room_records import RoomRecords
from homeserver.views import erasure, history, unread
from homeserver.views.messages import Messages, MessageView
from homeserver.views.notification_counts import NotificationCounts
from homeserver.views.room_settings import (
    ENCRYPTION,
    LOOK_TYPES,
    SETTING_TYPES,
    VISIBILITY,
    Look,
    RoomDetails,
    details,
    is_open,
    levels_of,
    look_of,
    role_of,
)

MAX_ROOMS = 5_000
"""Rooms of one person that are listed; beyond, those that he came to last."""
MAX_INVITATIONS = 500
MAX_PAGE = 200
DEFAULT_PAGE = 50
LISTED_MEMBERS = 250
MAX_RECIPIENTS = 50_000
_CHANNELS_AT_ONCE = 500
_MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A room in the reader's list.

    name: of a direct room without one, the other person's. unread_count: at most 999.
    last_read_id: the message up to which he has read.
    """

    uuid: UUID
    room_id: RoomID
    kind: str
    name: str | None
    topic: str | None
    avatar_url: str | None
    encryption: RoomEncryption | None
    last_message: MessageView | None
    unread_count: int
    last_read_id: UUID | None
    member_count: int


@dataclass(frozen=True, slots=True)
class Unread:
    """How much the reader has not read in a room; see RoomSummary."""

    room_uuid: UUID
    unread_count: int
    last_read_id: UUID | None


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A public room in the directory. joined: the reader is in it."""

    uuid: UUID
    name: str | None
    topic: str | None
    avatar_url: str | None
    member_count: int
    joined: bool


@dataclass(frozen=True, slots=True)
class InviteView:
    """A room that the reader may join, who asked him, and when (milliseconds).

    room: as somebody who is not in it may know it: without members.
    """

    room: RoomDetails
    by: Person
    invited_at_ms: int


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member. role: "admin" or "member"."""

    person: Person
    role: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody whose devices messages are encrypted for. membership: "join" or "invite"."""

    person: Person
    membership: str


@dataclass(frozen=True, slots=True)
class EncryptedRoom:
    """What a sender needs to know of an encrypted room."""

    room_id: RoomID
    encryption: RoomEncryption
    history_visibility: str
    recipients: Sequence[Recipient]


class Rooms:
    """Reads of rooms. All raise Unavailable, and NotFound for what the reader may not know."""

    def __init__(
        self,
        *,
        database: Database,
        rooms: RoomRecords,
        people: People,
        messages: Messages,
        erased: ErasedUsers,
        counts: NotificationCounts,
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people
        self._messages = messages
        self._erased = erased
        self._counts = counts

    async def unread(self, by: Requester, room_uuid: UUID) -> Unread:
        """How much the reader has not read in one room."""
        room = await self._room(room_uuid)
        async with self._database.snapshot() as db:
            rows = await room_lists.joined(db, by.user_nid, limit=1, only=room.room_nid)
        if not rows:
            raise _no_such_room()
        counts = await self._counts.of_rooms(by.user_nid, [room.room_nid])
        return Unread(room.uuid, _unread(counts, room.room_nid), rows[0].last_read)

    async def get(self, by: Requester, room_uuid: UUID) -> RoomDetails:
        """One room, as one of its members sees it."""
        room = await self._room(room_uuid)
        async with self._database.snapshot() as db:
            await _require_member(db, by, room)
            state = await state_history.current(db, [room.room_nid], SETTING_TYPES)
            members = await room_lists.members(db, room.room_nid, limit=LISTED_MEMBERS)
            count = await room_lists.member_count(db, room.room_nid)
            look = look_of(room.room_nid, state)
            nameless = room.kind == "direct" and look.name is None
            others = await room_lists.others_of(db, by.user_nid, [room.room_nid] * nameless)
        people = await self._people.get_many({*members, *others.values()})
        return details(
            room,
            state,
            members=[people[nid] for nid in members],
            member_count=count,
            reader=by.user_id,
            peer=people.get(others.get(room.room_nid, 0)),
        )

    async def members(
        self,
        by: Requester,
        room_uuid: UUID,
        limit: int = DEFAULT_PAGE,
        after: UUID | None = None,
    ) -> list[MemberView]:
        """A page of members, in an order that stays. limit: 1 to 200.

        Raises NotFound for an `after` that is nobody.
        """
        _check_limit(limit)
        room = await self._room(room_uuid)
        last = 0 if after is None else await self._user_nid(after)
        async with self._database.snapshot() as db:
            await _require_member(db, by, room)
            state = await state_history.current(db, [room.room_nid], SETTING_TYPES)
            nids = await room_lists.members(db, room.room_nid, after=last, limit=limit)
        people = await self._people.get_many(nids)
        levels = levels_of(room.room_nid, state)
        return [MemberView(people[nid], role_of(levels, people[nid].user_id)) for nid in nids]

    async def encryption(self, by: Requester, room_uuid: UUID) -> EncryptedRoom:
        """For whom messages of a room are encrypted. Raises NotFound for one that is not
        encrypted, and TooLarge for more people than anybody encrypts for.
        """
        room = await self._room(room_uuid)
        async with self._database.snapshot() as db:
            await _require_member(db, by, room)
            state = await state_history.current(db, [room.room_nid], (ENCRYPTION, VISIBILITY))
            encryption = look_of(room.room_nid, state).encryption
            if encryption is None:
                raise NotFound("This room is not encrypted.", kind="encryption")
            rows = await memberships.of_room(
                db, room.room_nid, ("join", "invite"), limit=MAX_RECIPIENTS + 1
            )
        if len(rows) > MAX_RECIPIENTS:
            raise TooLarge(f"Messages are encrypted for at most {MAX_RECIPIENTS} people.")
        people = await self._people.get_many([row.user_nid for row in rows])
        visibility = state.get((room.room_nid, VISIBILITY))
        return EncryptedRoom(
            room.room_id,
            encryption,
            history_visibility_of(None if visibility is None else visibility.event),
            [Recipient(people[row.user_nid], row.membership) for row in rows],
        )

    async def directory(
        self,
        by: Requester,
        q: str | None = None,
        limit: int = DEFAULT_PAGE,
        after: UUID | None = None,
    ) -> list[ChannelView]:
        """Public rooms, the oldest first. q: parts of their names or topics. limit: 1 to 200.

        Raises NotFound for an `after` that is no room.
        """
        _check_limit(limit)
        last = 0 if after is None else (await self._room(after)).room_nid
        words = folded(q or "").split()
        found: list[ChannelView] = []
        for _ in range(_MAX_ROUNDS):
            async with self._database.snapshot() as db:
                rows = await room_lists.published(
                    db, by.user_nid, after=last, limit=_CHANNELS_AT_ONCE
                )
                state = await state_history.current(
                    db, [row.room.room_nid for row in rows], SETTING_TYPES
                )
            found += [channel for row in rows if (channel := _channel(row, state, words))]
            if len(found) >= limit or len(rows) < _CHANNELS_AT_ONCE:
                break
            last = rows[-1].room.room_nid
        return found[:limit]

    async def invitations(self, by: Requester) -> list[InviteView]:
        """The rooms that the reader is invited to, the newest invitation first."""
        async with self._database.snapshot() as db:
            rows = await room_lists.invited(db, by.user_nid, limit=MAX_INVITATIONS)
            nids = [row.room.room_nid for row in rows]
            state = await state_history.current(db, nids, SETTING_TYPES)
        people = await self._people.get_many({row.inviter_nid for row in rows})
        return [
            InviteView(
                room=details(
                    row.room,
                    state,
                    members=(),
                    member_count=row.member_count,
                    peer=people[row.inviter_nid],
                ),
                by=people[row.inviter_nid],
                invited_at_ms=row.at,
            )
            for row in rows
        ]

    async def list(self, by: Requester) -> list[RoomSummary]:
        """The reader's rooms, the one with the newest message first."""
        async with self._database.snapshot() as db:
            rows = await room_lists.joined(db, by.user_nid, limit=MAX_ROOMS)
            nids = [row.room.room_nid for row in rows]
            state = await state_history.current(db, nids, LOOK_TYPES)
            looks = {nid: look_of(nid, state) for nid in nids}
            readable = await unread.readable_rooms(db, by.user_id, rows)
            last = await room_lists.last_messages(db, unread.visible_spans(rows, readable))
            others = await room_lists.others_of(db, by.user_nid, _nameless(rows, looks))
            newest = await self._shown(db, by, [*last.values()])
            hanging = await self._messages.hanging(db, newest, by)
        counts = await self._counts.of_rooms(by.user_nid, nids)
        people = await self._people.get_many(set(others.values()))
        views = await self._messages.views(newest, hanging)
        last_views = dict(zip(last, views, strict=True))
        rows.sort(key=lambda row: _activity(row, last_views), reverse=True)
        return [
            _summary(
                row,
                looks[row.room.room_nid],
                people.get(others.get(row.room.room_nid, 0)),
                last_views.get(row.room.room_nid),
                _unread(counts, row.room.room_nid),
            )
            for row in rows
        ]

    async def _shown(
        self, db: Connection, by: Requester, found: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """Messages as the reader gets them. One query where erased users sent some."""
        erased = self._erased.known
        rooms = erasure.rooms_of_erased(found, erased)
        readable = await history.of_all(db, by.user_id, rooms) if rooms else {}
        return [
            erasure.shown(each, readable[each.facts.room_nid], erased)
            if each.facts.room_nid in rooms
            else each
            for each in found
        ]

    async def _room(self, uuid: UUID) -> RoomRecord:
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise _no_such_room()
        return room

    async def _user_nid(self, uuid: UUID) -> int:
        person = await self._people.by_uuid(uuid)
        if person is None:
            raise NotFound("User not found", kind="user")
        return person.user_nid


async def _require_member(db: Connection, by: Requester, room: RoomRecord) -> None:
    if await room_lists.membership(db, room.room_nid, by.user_nid) != "join":
        raise _no_such_room()


def _nameless(rows: Sequence[JoinedRow], looks: Mapping[int, Look]) -> list[int]:
    return [
        row.room.room_nid
        for row in rows
        if row.room.kind == "direct" and looks[row.room.room_nid].name is None
    ]


def _activity(row: JoinedRow, last: Mapping[int, MessageView]) -> int:
    """Position of the last message; in a room without one, of the reader's coming."""
    message = last.get(row.room.room_nid)
    return (row.position or -MAX_POSITION) if message is None else message.position


def _unread(counts: Mapping[int, RoomCounts], room_nid: int) -> int:
    """Who has just left has nothing unread."""
    return counts[room_nid].unread_count if room_nid in counts else 0


def _summary(
    row: JoinedRow, look: Look, peer: Person | None, last: MessageView | None, unread_count: int
) -> RoomSummary:
    return RoomSummary(
        uuid=row.room.uuid,
        room_id=row.room.room_id,
        kind=row.room.kind,
        name=look.name if peer is None else peer.name,
        topic=look.topic,
        avatar_url=look.avatar_url,
        encryption=look.encryption,
        last_message=last,
        unread_count=unread_count,
        last_read_id=row.last_read,
        member_count=row.member_count,
    )


def _channel(
    row: PublishedRow, state: Mapping[tuple[int, str], StoredEvent], words: Sequence[str]
) -> ChannelView | None:
    """None for a room that does not have all the words, or that not everybody can join."""
    look = look_of(row.room.room_nid, state)
    text = folded(f"{look.name or ''} {look.topic or ''}")
    if not is_open(row.room, state) or not all(word in text for word in words):
        return None
    return ChannelView(
        uuid=row.room.uuid,
        name=look.name,
        topic=look.topic,
        avatar_url=look.avatar_url,
        member_count=row.member_count,
        joined=row.membership == "join",
    )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {MAX_PAGE}.", field="limit")


def _no_such_room() -> NotFound:
    return NotFound("Room not found", kind="room")
