"""People as conversations show them: number, Matrix ID, UUID, name, picture; kept in memory.

What is cached is dropped when the bus says that a profile changed, and looked up again when asked.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from homeserver.identifiers import UserID, localpart_of
from homeserver.storage import users
from homeserver.storage.database import Connection, Database
from homeserver.storage.users import UserRecord
from homeserver.streams.bus import Bus

DEFAULT_CAPACITY = 50_000

Fetch = Callable[[Connection], Awaitable[Iterable[UserRecord]]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who someone is to others. `name` is never empty: without a display name, the localpart.

    has_name: whether it is a name that somebody gave.
    """

    user_nid: int
    user_id: UserID
    uuid: UUID
    name: str
    avatar_url: str | None
    has_name: bool = True


class People:
    """A bounded cache of persons; those not asked for the longest leave first."""

    def __init__(self, *, database: Database, capacity: int = DEFAULT_CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._by_nid: OrderedDict[int, Person] = OrderedDict()
        self._nid_of_uuid: dict[UUID, int] = {}
        self._nid_of_user_id: dict[UserID, int] = {}
        self._invalidations = 0

    def listen(self, bus: Bus) -> None:
        """Forget a person when his profile changes (payload: the user's UUID)."""
        bus.subscribe("profile-changed", lambda payload: self.invalidate(UUID(payload)))

    def peek(self, user_nid: int) -> Person | None:
        """The person if he is in memory."""
        person = self._by_nid.get(user_nid)
        if person is not None:
            self._by_nid.move_to_end(user_nid)
        return person

    def peek_user_id(self, user_id: UserID) -> Person | None:
        """The person with a Matrix ID if he is in memory."""
        user_nid = self._nid_of_user_id.get(user_id)
        return None if user_nid is None else self.peek(user_nid)

    async def get(self, user_nid: int) -> Person | None:
        """None: there is no such user."""
        return self.peek(user_nid) or (await self.get_many([user_nid])).get(user_nid)

    async def get_many(self, user_nids: Collection[int]) -> dict[int, Person]:
        """Those that exist, by number; one query for all that are not in memory."""
        found, missing = self._look_up(user_nids)
        if missing:
            loaded = await self._load(lambda db: users.by_nids(db, missing))
            found |= {person.user_nid: person for person in loaded}
        return found

    async def by_uuid(self, uuid: UUID) -> Person | None:
        return (await self.by_uuids([uuid])).get(uuid)

    async def by_uuids(self, uuids: Collection[UUID]) -> dict[UUID, Person]:
        """Those that exist, by UUID."""
        index = self._nid_of_uuid
        known, _ = self._look_up(index[uuid] for uuid in uuids if uuid in index)
        found = {person.uuid: person for person in known.values()}
        if missing := set(uuids) - found.keys():
            loaded = await self._load(lambda db: users.by_uuids(db, missing))
            found |= {person.uuid: person for person in loaded}
        return found

    async def by_user_id(self, user_id: UserID) -> Person | None:
        return (await self.by_user_ids([user_id])).get(user_id)

    async def by_user_ids(self, user_ids: Collection[UserID]) -> dict[UserID, Person]:
        """Those that exist, by Matrix ID."""
        found = self._known(user_ids)
        if missing := set(user_ids) - found.keys():
            loaded = await self._load(lambda db: users.by_user_ids(db, missing))
            found |= {person.user_id: person for person in loaded}
        return found

    async def ensure(self, user_ids: Collection[UserID]) -> dict[UserID, Person]:
        """All of them, by Matrix ID; who was not known yet becomes known."""
        found = self._known(user_ids)
        if missing := set(user_ids) - found.keys():
            invalidations = self._invalidations
            records = await self._database.retrying(lambda db: users.ensure(db, missing))
            loaded = self._take(records.values(), invalidations)
            found |= {person.user_id: person for person in loaded}
        return found

    def invalidate(self, uuid: UUID) -> None:
        """Forget what is cached about a user; also what is being loaded right now."""
        self._invalidations += 1
        user_nid = self._nid_of_uuid.get(uuid)
        if user_nid is not None:
            self._forget(self._by_nid[user_nid])

    def invalidate_all(self) -> None:
        """For when announcements may have been missed."""
        self._invalidations += 1
        self._by_nid.clear()
        self._nid_of_uuid.clear()
        self._nid_of_user_id.clear()

    def _known(self, user_ids: Collection[UserID]) -> dict[UserID, Person]:
        index = self._nid_of_user_id
        found, _ = self._look_up(index[user_id] for user_id in user_ids if user_id in index)
        return {person.user_id: person for person in found.values()}

    def _look_up(self, user_nids: Iterable[int]) -> tuple[dict[int, Person], list[int]]:
        found: dict[int, Person] = {}
        missing: list[int] = []
        for user_nid in user_nids:
            person = self.peek(user_nid)
            if person is None:
                missing.append(user_nid)
            else:
                found[user_nid] = person
        return found, missing

    async def _load(self, fetch: Fetch) -> list[Person]:
        invalidations = self._invalidations
        async with self._database.connection() as db:
            return self._take(await fetch(db), invalidations)

    def _take(self, records: Iterable[UserRecord], invalidations: int) -> list[Person]:
        """What was invalidated while it loaded may be old already, so it is not kept."""
        persons = [person_of(record) for record in records]
        if invalidations == self._invalidations:
            for person in persons:
                self._keep(person)
        return persons

    def _keep(self, person: Person) -> None:
        self._by_nid[person.user_nid] = person
        self._nid_of_uuid[person.uuid] = person.user_nid
        self._nid_of_user_id[person.user_id] = person.user_nid
        if len(self._by_nid) > self._capacity:
            self._forget(next(iter(self._by_nid.values())))

    def _forget(self, person: Person) -> None:
        del self._by_nid[person.user_nid]
        del self._nid_of_uuid[person.uuid]
        del self._nid_of_user_id[person.user_id]


def person_of(record: UserRecord) -> Person:
    return Person(
        user_nid=record.user_nid,
        user_id=record.user_id,
        uuid=record.uuid,
        name=record.display_name or localpart_of(record.user_id),
        avatar_url=record.avatar_url,
        has_name=bool(record.display_name),
    )
