"""What connected clients are told, read for the hub that tells them: subscriptions, what somebody
missed, and things as they are now, for nobody in particular.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.events.content import membership_of
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import UserID, native_uuid
from homeserver.messages import ANNOTATION, REPLACE
from homeserver.storage import (
    accounts,
    events,
    memberships,
    replay,
    room_lists,
    rooms,
    state_history,
    streams,
)
from homeserver.storage.database import Connection, Database
from homeserver.storage.receipts import ReadRow
from homeserver.storage.replay import Reach
from homeserver.storage.timeline import MAX_VERSION, Stay
from homeserver.streams.people import People
from homeserver.streams.room_records import RoomRecords
from homeserver.streams.tail import EVENTS, Committed, complete
from homeserver.views.messages import Messages, MessageView
from homeserver.views.notification_counts import Listens, NotificationCounts, Recounted
from homeserver.views.room_settings import SETTING_TYPES, RoomDetails, details
from homeserver.views.rooms import LISTED_MEMBERS
from homeserver.views.users import UserView
from homeserver.visibility import MEMBER_TYPE


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The rooms that a user is a member of, at a position of the stream of events."""

    position: int
    room_nids: frozenset[int]


@dataclass(frozen=True, slots=True)
class RemovedMessage:
    """What a redaction took away: a message."""

    message_uuid: UUID


@dataclass(frozen=True, slots=True)
class RemovedReaction:
    """What a redaction took away: a reaction."""

    message_uuid: UUID
    key: str


@dataclass(frozen=True, slots=True)
class RemovedEdit:
    """What a redaction took away: an edit, so the message reads as before."""

    message_uuid: UUID


Removed = RemovedMessage | RemovedReaction | RemovedEdit


class Live:
    """Reads of the hub. All raise Unavailable. status_of: the presence of a user by user_nid."""

    def __init__(
        self,
        *,
        database: Database,
        rooms: RoomRecords,
        people: People,
        messages: Messages,
        counts: NotificationCounts,
        status_of: Callable[[int], str],
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people
        self._messages = messages
        self._counts = counts
        self._status_of = status_of

    async def subscriptions(self, user_nid: int) -> Subscriptions:
        """In one snapshot."""
        async with self._database.snapshot() as db:
            position = await streams.current(db, EVENTS)
            room_nids = await memberships.rooms_of(db, user_nid, "join")
        return Subscriptions(position, frozenset(room_nids))

    async def replay(self, user_nid: int, after: int, upto: int, limit: int) -> list[Committed]:
        """The oldest `limit` events with after < position <= upto that reached the user: those of
        rooms while he was a member, and all memberships of his own.

        What was redacted since comes as it is now: without content.
        """
        person = await self._people.get(user_nid)
        if person is None:
            return []
        async with self._database.snapshot() as db:
            reach = await _reach(db, user_nid, person.user_id, after)
            found = await replay.events_of(db, reach, after=after, upto=upto, limit=limit)
        return await self._complete(found)

    async def reads(self, user_nid: int, after: int, upto: int, limit: int) -> list[ReadRow]:
        """The oldest `limit` read marks in the user's rooms with after < position <= upto."""
        async with self._database.connection() as db:
            return await replay.reads(db, user_nid, after=after, upto=upto, limit=limit)

    async def unread(self, user_nid: int, room_nid: int) -> int:
        """How many messages of others stand after the user's read mark in a room; at most 999."""
        counts = await self._counts.of_rooms(user_nid, [room_nid])
        return counts[room_nid].unread_count if room_nid in counts else 0

    def peek_unread(self, user_nid: int, room_nid: int) -> int | None:
        """The same, with every event that the tail has handed over; None: not in memory."""
        counts = self._counts.peek(user_nid, room_nid)
        return None if counts is None else counts.unread_count

    def peek_read(self, user_nid: int, room_nid: int) -> int | None:
        """The position up to which a room is read, threads aside; None: not in memory, or not known
        by a receipt.
        """
        return self._counts.peek_read(user_nid, room_nid)

    def on_recount(self, listener: Recounted, listens: Listens) -> None:
        """See `NotificationCounts.subscribe`."""
        self._counts.subscribe(listener, listens)

    async def message(self, message_uuid: UUID) -> MessageView | None:
        """For nobody in particular. None: there is no such message."""
        async with self._database.snapshot() as db:
            stored = await events.by_uuid(db, message_uuid)
            if stored is None or not stored.facts.is_message or stored.facts.position is None:
                return None
            hanging = await self._messages.hanging(db, [stored], None)
        return (await self._messages.views([stored], hanging))[0]

    async def removed(self, redaction: Committed) -> Removed | None:
        """What a redaction took away; None: nothing that the native protocol shows."""
        redacts = redaction.stored.event.redacts
        if redacts is None:
            return None
        async with self._database.connection() as db:
            target = await events.by_uuid(db, native_uuid(redacts))
            # Not every redaction redacts: its sender may lack the right, or another was first.
            if target is None or target.facts.redacted_by != redaction.stored.facts.event_nid:
                return None
            if target.facts.is_message:
                return RemovedMessage(target.facts.uuid)
            return await _removed_relation(db, target)

    async def room(self, room_nid: int) -> RoomDetails | None:
        """For nobody in particular: the name is the room's own. None: it is gone.

        The record is not taken from memory: that learns of a deletion after the events that tell
        of it.
        """
        async with self._database.snapshot() as db:
            room = await rooms.by_nid(db, room_nid)
            if room is None or room.deleted_at is not None:
                return None
            state = await state_history.current(db, [room_nid], SETTING_TYPES)
            members = await room_lists.members(db, room_nid, limit=LISTED_MEMBERS)
            count = await room_lists.member_count(db, room_nid)
        people = await self._people.get_many(members)
        listed = [people[user_nid] for user_nid in members]
        return details(room, state, members=listed, member_count=count)

    async def user(self, user_uuid: UUID) -> UserView | None:
        """As somebody who shares a room sees him. None: there is no such user."""
        person = await self._people.by_uuid(user_uuid)
        if person is None:
            return None
        async with self._database.connection() as db:
            account = await accounts.by_nid(db, person.user_nid)
        return UserView(
            uuid=person.uuid,
            user_id=person.user_id,
            name=person.name,
            email=None if account is None else account.email,
            avatar_url=person.avatar_url,
            status=self._status_of(person.user_nid),
        )

    async def _complete(self, found: Sequence[StoredEvent]) -> list[Committed]:
        """Senders and rooms are brought into memory first: to look them up takes connections,
        and who holds one must not wait for another.
        """
        await self._people.get_many({stored.facts.sender_nid for stored in found})
        records: list[RoomRecord | None] = [
            await self._rooms.by_nid(room_nid)
            for room_nid in {stored.facts.room_nid for stored in found}
        ]
        there = {room.room_nid for room in records if room is not None}
        kept = [stored for stored in found if stored.facts.room_nid in there]
        async with self._database.connection() as db:
            return await complete(db, kept, people=self._people, rooms=self._rooms)


async def _reach(db: Connection, user_nid: int, user_id: UserID, after: int) -> Reach:
    """What reached a user after a position. Two queries."""
    rooms = await replay.memberships_since(db, user_nid, after)
    settled = [row.room_nid for row in rooms if row.position is not None and row.position <= after]
    moved = {row.room_nid for row in rooms}.difference(settled)
    found = await state_history.intervals(db, moved, (MEMBER_TYPE, user_id)) if moved else {}
    own = [row for rows in found.values() for row in rows]
    return Reach(
        rooms=settled,
        stays=[
            Stay(row.room_nid, row.since, MAX_VERSION if row.until is None else row.until)
            for row in own
            if membership_of(row.event) == "join"
        ],
        positions=[row.position for row in own if row.position is not None],
    )


async def _removed_relation(db: Connection, target: StoredEvent) -> Removed | None:
    relation = await replay.withdrawn_relation(db, target.facts.event_nid)
    if relation is None:
        return None
    if relation.rel_type == REPLACE:
        return RemovedEdit(relation.parent_uuid)
    if relation.rel_type == ANNOTATION:
        return RemovedReaction(relation.parent_uuid, relation.key or "")
    return None
