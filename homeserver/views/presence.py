"""How others are, for those who share a room with them."""

from dataclasses import dataclass, replace
from uuid import UUID

from homeserver.errors import NotAllowed, NotFound
from homeserver.identifiers import UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import memberships
from homeserver.storage.database import Database
from homeserver.streams.people import People, Person
from homeserver.streams.presence import PresenceState, PresenceStream


@dataclass(frozen=True, slots=True)
class PresenceView:
    """last_seen_ms: milliseconds since the epoch; None for somebody who never was here."""

    user_uuid: UUID
    status: str
    last_seen_ms: int | None


class Presence:
    """Reads of presence."""

    def __init__(self, *, database: Database, people: People, stream: PresenceStream) -> None:
        self._database = database
        self._people = people
        self._stream = stream

    async def get(self, by: Requester, user_uuid: UUID) -> PresenceView:
        """Raises NotFound for an unknown user, NotAllowed for one who shares no room."""
        person = await self._visible(by, user_uuid)
        last_seen = await self._stream.last_seen(person.user_nid)
        return PresenceView(user_uuid, self._stream.status(person.user_nid), last_seen)

    async def state(self, by: Requester, user_id: UserID) -> PresenceState:
        """Raises NotFound for an unknown user, NotAllowed for one who shares no room."""
        person = await self._visible(by, native_uuid(user_id))
        state = self._stream.state(person.user_nid)
        if state.last_active_ms is not None:
            return state
        return replace(state, last_active_ms=await self._stream.last_seen(person.user_nid))

    def status(self, user_nid: int) -> str:
        return self._stream.status(user_nid)

    async def _visible(self, by: Requester, user_uuid: UUID) -> Person:
        person = await self._people.by_uuid(user_uuid)
        if person is None:
            raise NotFound("User not found", kind="user")
        if person.user_nid != by.user_nid:
            await self._check_shared(by, person.user_nid)
        return person

    async def _check_shared(self, by: Requester, user_nid: int) -> None:
        async with self._database.connection() as db:
            if not await memberships.share_room(db, by.user_nid, user_nid):
                raise NotAllowed("Only people who share a room see each other's presence.")
