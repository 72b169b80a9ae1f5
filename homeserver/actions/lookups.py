"""Finding what a caller names by its native UUID, without telling what the caller may not know."""

from collections.abc import Collection
from uuid import UUID

from homeserver.auth.verdict import Rule
from homeserver.errors import NotFound
from homeserver.events.content import PowerLevels, membership_of
from homeserver.events.stored import RoomRecord, Status, StoredEvent
from homeserver.identifiers import StateKey
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.refusal import RuleBroken
from homeserver.storage import accounts, events
from homeserver.storage.database import Database
from homeserver.streams.people import People, Person
from homeserver.streams.room_records import RoomRecords

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")
ENCRYPTION: StateKey = ("m.room.encryption", "")
MEMBER = "m.room.member"


class Lookups:
    """Rooms, messages and people by UUID."""

    def __init__(self, *, database: Database, rooms: RoomRecords, people: People) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people

    async def room(self, uuid: UUID) -> RoomRecord:
        """Raises NotFound for a room that is not here or was deleted."""
        room = self._rooms.peek(uuid) or await self._rooms.by_uuid(uuid)
        if room is None or room.deleted_at is not None:
            raise no_such_room()
        return room

    async def message(self, uuid: UUID) -> tuple[StoredEvent, RoomRecord]:
        """An accepted event that was not redacted. Whether the caller may see it is his to check.

        Raises NotFound.
        """
        async with self._database.connection() as db:
            stored = await events.by_uuid(db, uuid)
        if stored is None or stored.facts.status is not Status.ACCEPTED:
            raise no_such_message()
        room = await self._rooms.by_nid(stored.facts.room_nid)
        if room is None or room.deleted_at is not None or stored.facts.redacted_by is not None:
            raise no_such_message()
        return stored, room

    async def people(self, uuids: Collection[UUID]) -> list[Person]:
        """Active users, in the order asked for, each once. Raises NotFound if one is missing."""
        found = await self._people.by_uuids(set(uuids))
        wanted = list(dict.fromkeys(uuids))
        if missing := [uuid for uuid in wanted if uuid not in found]:
            raise NotFound(f"There is no user {missing[0]}.", kind="user")
        people = [found[uuid] for uuid in wanted]
        await self._check_active(people)
        return people

    async def person(self, uuid: UUID) -> Person:
        return (await self.people([uuid]))[0]

    async def active(self, user_nids: Collection[int]) -> list[Person]:
        """Those of the users who have not been deactivated."""
        found = await self._people.get_many(user_nids)
        gone = await self._deactivated(user_nids)
        return [person for user_nid, person in found.items() if user_nid not in gone]

    async def _check_active(self, people: Collection[Person]) -> None:
        gone = await self._deactivated([person.user_nid for person in people])
        for person in people:
            if person.user_nid in gone:
                raise NotFound(f"There is no user {person.uuid}.", kind="user")

    async def _deactivated(self, user_nids: Collection[int]) -> frozenset[int]:
        async with self._database.connection() as db:
            return await accounts.deactivated_among(db, user_nids)


def member_key(user_id: str) -> StateKey:
    return MEMBER, user_id


def membership_in(head: RoomHead, user_id: str) -> str:
    """A user's membership; his entry must be known."""
    return membership_of(head.event(member_key(user_id)))


def require_member(head: RoomHead, room: RoomRecord, by: Requester) -> None:
    """Raises RuleBroken for somebody who knows the room, and NotFound for anybody else.

    The caller's membership must be known.
    """
    member = head.event(member_key(by.user_id))
    if membership_of(member) == "join":
        return
    if member is None and not room.published:
        raise no_such_room()
    raise RuleBroken(Rule.SENDER_NOT_JOINED)


def levels_of(head: RoomHead) -> PowerLevels:
    create = head.event(CREATE)
    assert create is not None
    return PowerLevels.of(head.event(POWER_LEVELS), create)


def member_content(person: Person, membership: str) -> dict[str, str]:
    """Content of a membership event with the profile that others show."""
    content = {"membership": membership}
    if person.has_name:
        content["displayname"] = person.name
    # C-S API v1.19 "m.room.member": avatar_url is an mxc URI.
    if person.avatar_url is not None and person.avatar_url.startswith("mxc://"):
        content["avatar_url"] = person.avatar_url
    return content


def no_such_room() -> NotFound:
    return NotFound("Room not found", kind="room")


def no_such_message() -> NotFound:
    return NotFound("Message not found", kind="message")
