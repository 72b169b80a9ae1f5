"""Redactions of any event.

Source: C-S API v1.19 "Redactions", `redactEvent`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.actions.contents import check_content
from homeserver.actions.lookups import (
    CREATE,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_key,
    no_such_message,
    require_member,
)
from homeserver.actions.members import Members
from homeserver.actions.send_event import scoped
from homeserver.actions.standing import require_active
from homeserver.actions.transactions import Sent, Transactions, sent
from homeserver.errors import NotAllowed
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, RoomID, ServerName, native_uuid, server_of
from homeserver.messages import REDACTION_TYPE
from homeserver.requester import Requester
from homeserver.rooms.batch import Origin
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import events
from homeserver.storage.database import Database


class Redacting:
    """Taking back what was said, by oneself or by others."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        members: Members,
        transactions: Transactions,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._members = members
        self._transactions = transactions
        self._server_name = server_name

    async def redact(
        self,
        by: Requester,
        room_id: RoomID,
        event_id: EventID,
        content: Mapping[str, Any],
        *,
        txn_id: str,
        endpoint: str = "r",
        at_ms: int | None = None,
    ) -> Sent:
        """The redaction; an event may be redacted again, which changes nothing about it.

        content: of the redaction, a `reason` for instance. endpoint: which one the transaction ID
        belongs to. Raises NotFound, NotAllowed, InvalidContent, Unavailable.
        """
        check_content(content)
        draft = Draft(
            room_id=room_id,
            sender=by.user_id,
            type=REDACTION_TYPE,
            content=content,
            redacts=event_id,
            origin_server_ts=at_ms,
        )

        async def append(origin: Origin) -> Sent:
            room = await self._lookups.room(native_uuid(room_id))
            target = await self._target(by, room, event_id)
            return await self._append(by, room, draft, target, origin)

        key = scoped(endpoint, room_id, event_id, txn_id)
        return await self._transactions.once(by, key, append)

    async def _target(self, by: Requester, room: RoomRecord, event_id: EventID) -> StoredEvent:
        async with self._database.connection() as db:
            target = await events.by_uuid(db, native_uuid(event_id))
        if (
            target is None
            or target.facts.room_nid != room.room_nid
            or target.facts.status is not Status.ACCEPTED
        ):
            await self._members.require(by, room)
            raise no_such_message()
        return target

    async def _append(
        self,
        by: Requester,
        room: RoomRecord,
        draft: Draft,
        target: StoredEvent,
        origin: Origin,
    ) -> Sent:
        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            self._check(head, by, target)
            return (draft,)

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
        request = Append(compose=compose, needs=needs, origin=origin, target=target)
        (stored,) = await self._writer.append(room, request)
        return sent(room, stored)

    def _check(self, head: RoomHead, by: Requester, target: StoredEvent) -> None:
        """`redactEvent`: who may redact what; the event level is for the auth rules."""
        event = target.event
        if event.type == "m.room.create":
            raise NotAllowed("A room's creation cannot be taken back.")
        if event.sender == by.user_id:
            return
        require_active(by)
        if by.is_admin and server_of(event.sender) == self._server_name:
            return
        levels = levels_of(head)
        if levels.user(by.user_id) < levels.redact:
            raise NotAllowed("Your role in this room lets you redact your own events only.")
