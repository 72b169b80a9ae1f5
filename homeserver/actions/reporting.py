"""Telling administrators of what should not be here.

Source: C-S API v1.19 "Reporting content".
"""

from uuid import UUID

from homeserver.actions.lookups import Lookups, no_such_message
from homeserver.clock import Clock
from homeserver.errors import InvalidInput, NotFound
from homeserver.events.stored import Status
from homeserver.identifiers import EventID, UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import accounts, events, reports, room_lists
from homeserver.storage.database import Connection, Database
from homeserver.storage.reports import Report
from homeserver.storage.users import storable

MAX_REASON_CHARS = 4_000


class Reporting:
    """Takes reports and keeps them."""

    def __init__(self, *, database: Database, lookups: Lookups, clock: Clock) -> None:
        self._database = database
        self._lookups = lookups
        self._clock = clock

    async def room(self, by: Requester, room_uuid: UUID, reason: str) -> None:
        """Whether or not the caller is in it. Raises NotFound, InvalidInput."""
        room = await self._lookups.room(room_uuid)
        await self._keep(
            Report(
                reported_by=by.user_nid,
                room_nid=room.room_nid,
                reason=_text(reason),
                at_ms=self._clock.now_ms(),
            )
        )

    async def event(
        self, by: Requester, room_uuid: UUID, event_id: EventID, reason: str, score: int | None
    ) -> None:
        """Of a room that the caller is in. score: -100 (worst) to 0, as older clients send it.

        Raises NotFound alike for what is not there and for rooms that one is not in.
        """
        text = _text(reason)
        try:
            room = await self._lookups.room(room_uuid)
        except NotFound:
            raise no_such_message() from None

        async def keep(db: Connection) -> None:
            stored = await events.by_uuid(db, native_uuid(event_id))
            if (
                stored is None
                or stored.facts.room_nid != room.room_nid
                or stored.facts.status is not Status.ACCEPTED
                or await room_lists.membership(db, room.room_nid, by.user_nid) != "join"
            ):
                raise no_such_message()
            report = Report(
                reported_by=by.user_nid,
                room_nid=room.room_nid,
                event_nid=stored.facts.event_nid,
                reason=text,
                score=score,
                at_ms=self._clock.now_ms(),
            )
            await reports.insert(db, report)

        await self._database.retrying(keep)

    async def user(self, by: Requester, user_id: UserID, reason: str) -> None:
        """Anybody who has an account here. Raises NotFound, InvalidInput."""
        text = _text(reason)

        async def keep(db: Connection) -> None:
            account = await accounts.by_user_id(db, user_id)
            if account is None:
                raise NotFound(f"There is no user {user_id}.", kind="user")
            report = Report(
                reported_by=by.user_nid,
                user_nid=account.user.user_nid,
                reason=text,
                at_ms=self._clock.now_ms(),
            )
            await reports.insert(db, report)

        await self._database.retrying(keep)

    async def _keep(self, report: Report) -> None:
        await self._database.retrying(lambda db: reports.insert(db, report))


def _text(reason: str) -> str:
    if len(reason) > MAX_REASON_CHARS:
        raise InvalidInput(f"A reason has at most {MAX_REASON_CHARS} characters.", field="reason")
    return storable(reason)
