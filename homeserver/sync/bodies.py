"""Events as JSON for clients, made once and kept for a while.

What differs from reader to reader, and with time, stands in `unsigned` and is put behind the rest
when an answer is written (`event_json`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import orjson

from homeserver.client_event import client_event, transaction_id
from homeserver.events.content import membership_of
from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID
from homeserver.storage import events, room_state
from homeserver.storage.database import Connection, Database
from homeserver.streams.tail import Committed
from homeserver.values import value

CAPACITY = 20_000
_REDACTION = "m.room.redaction"
_MEMBER = "m.room.member"


@value(eq=False)
class Body:
    """An event for clients. head: its JSON without `unsigned` and without the closing brace.

    former: what `unsigned` says of the state entry that it replaced; None: not looked up yet.
    because: what `unsigned` says of its redaction, which `redactor` sent. membership: what a
    membership event sets.
    """

    event_nid: int
    uuid: UUID
    event_id: EventID
    type: str
    state_key: str | None
    sender: str
    ts: int
    session_nid: int | None
    txn_id: str | None
    redacted_by: int | None
    has_url: bool
    membership: str | None
    head: bytes
    former: bytes | None
    because: bytes
    redactor: str | None


def body_of(
    stored: StoredEvent,
    *,
    former: bytes | None = None,
    redaction: StoredEvent | None = None,
    federation: bool = False,
) -> Body:
    """federation: in the format of servers, as the event was signed."""
    event, facts = stored.event, stored.facts
    is_member = event.type == _MEMBER and event.is_state
    return Body(
        event_nid=facts.event_nid,
        uuid=facts.uuid,
        event_id=event.event_id,
        type=event.type,
        state_key=event.state_key,
        sender=event.sender,
        ts=event.origin_server_ts,
        session_nid=facts.session_nid,
        txn_id=transaction_id(facts, facts.session_nid),
        redacted_by=facts.redacted_by,
        has_url="url" in event.content,
        membership=membership_of(event) if is_member else None,
        head=_signed_head(event) if federation else _head(event),
        former=former if event.is_state else b"",
        because=because(redaction),
        redactor=None if redaction is None else redaction.event.sender,
    )


def event_json(
    body: Body,
    *,
    now_ms: int,
    session_nid: int,
    membership: str | None = None,
    relations: bytes = b"",
) -> bytes:
    """The event for one reader. membership: his, at the event. relations: what `m.relations` is.

    Source: C-S API v1.19 "Room event format", `unsigned`.
    """
    unsigned = b'%b,"unsigned":{"age":%d%b%b' % (
        body.head,
        now_ms - body.ts,
        body.former or b"",
        body.because,
    )
    if body.txn_id is not None and body.session_nid == session_nid:
        unsigned += b',"transaction_id":' + orjson.dumps(body.txn_id)
    if membership is not None:
        unsigned += b',"membership":"%b"' % membership.encode()
    if relations:
        unsigned += b',"m.relations":' + relations
    return unsigned + b"}}"


class Bodies:
    """Bounded; those not used for the longest leave first. A redaction makes its target leave."""

    def __init__(self, *, database: Database, capacity: int = CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._known: OrderedDict[int, Body] = OrderedDict()
        self._nids: dict[EventID, int] = {}
        self._changes = 0
        self._completing: dict[int, asyncio.Task[Body]] = {}

    def follow(self, batch: Sequence[Committed]) -> None:
        """Forgets what is redacted."""
        for committed in batch:
            event = committed.stored.event
            if event.type == _REDACTION and event.redacts is not None:
                self._changes += 1
                event_nid = self._nids.get(event.redacts)
                if event_nid is not None:
                    self._forget(event_nid)

    def peek(self, event_nid: int) -> Body | None:
        return self._known.get(event_nid)

    def of(self, stored: StoredEvent) -> Body:
        """Of an event that is in memory."""
        known = self._known.get(stored.facts.event_nid)
        return known or self._keep(body_of(stored))

    async def complete(self, stored: StoredEvent) -> Body:
        """The same with what it replaced. Asked for by many at once, one looks it up.

        Raises Unavailable.
        """
        known = self.of(stored)
        if known.former is not None:
            return known
        task = self._completing.get(known.event_nid)
        if task is None:
            task = asyncio.create_task(self._complete(stored))
            self._completing[known.event_nid] = task
            task.add_done_callback(lambda _: self._completing.pop(known.event_nid, None))
        return await asyncio.shield(task)

    async def load(
        self, db: Connection, wanted: Iterable[int], *, timeline: Collection[int] = ()
    ) -> dict[int, Body]:
        """Bodies by number. timeline: those that are also to say what they replaced.

        At most three queries; none for what is in memory.
        """
        changes = self._changes
        found = {nid: body for nid in wanted if (body := self._known.get(nid)) is not None}
        missing = {nid for nid in wanted if nid not in found}
        missing.update(
            nid for nid in timeline if (body := found.get(nid)) is not None and body.former is None
        )
        if missing:
            loaded = await _load(db, missing, timeline)
            if changes == self._changes:
                for body in loaded.values():
                    self._keep(body)
            found |= loaded
        return found

    def forget(self, event_nids: Iterable[int]) -> None:
        for event_nid in event_nids:
            self._forget(event_nid)

    async def _complete(self, stored: StoredEvent) -> Body:
        async with self._database.connection() as db:
            former = (await room_state.entries_before(db, [stored])).get(stored.facts.event_nid)
        return self._keep(body_of(stored, former=_former(former)))

    def _keep(self, body: Body) -> Body:
        self._known[body.event_nid] = body
        self._known.move_to_end(body.event_nid)
        self._nids[body.event_id] = body.event_nid
        if len(self._known) > self._capacity:
            self._forget(next(iter(self._known)))
        return body

    def _forget(self, event_nid: int) -> None:
        body = self._known.pop(event_nid, None)
        if body is not None:
            self._nids.pop(body.event_id, None)


async def _load(
    db: Connection, event_nids: Collection[int], timeline: Collection[int]
) -> dict[int, Body]:
    found = await events.by_nids(db, event_nids)
    changes = [each for nid, each in found.items() if nid in timeline and each.event.is_state]
    replaced = await room_state.entries_before(db, changes) if changes else {}
    reasons = {nid for each in found.values() if (nid := each.facts.redacted_by) is not None}
    redactions = await events.by_nids(db, reasons) if reasons else {}
    known = {each.facts.event_nid for each in changes}
    return {
        nid: body_of(
            stored,
            former=_former(replaced.get(nid)) if nid in known else None,
            redaction=redactions.get(stored.facts.redacted_by or 0),
        )
        for nid, stored in found.items()
    }


def _head(event: Event) -> bytes:
    rendered = client_event(event, now_ms=0, with_room_id=False)
    del rendered["unsigned"]
    return orjson.dumps(rendered)[:-1]


def _signed_head(event: Event) -> bytes:
    """ "the raw event as received over federation", and its ID, which newer rooms leave out."""
    head = event.raw[:-1]
    if event.version.events_carry_id:
        return head
    return head + b',"event_id":' + orjson.dumps(event.event_id)


def _former(stored: StoredEvent | None) -> bytes:
    if stored is None:
        return b""
    event = stored.event
    return b',"prev_content":%b,"prev_sender":%b,"replaces_state":%b' % (
        orjson.dumps(event.content),
        orjson.dumps(event.sender),
        orjson.dumps(event.event_id),
    )


def because(redaction: StoredEvent | None) -> bytes:
    if redaction is None:
        return b""
    return b',"redacted_because":' + _head(redaction.event) + b"}"
