"""Events as clients of the Matrix API get them: what one reader is told beside each.

Source: C-S API v1.19 "Room event format" (`unsigned`), "Aggregations of child events".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from homeserver.client_event import (
    JsonObject,
    client_event,
    reference_chunk,
    thread_summary,
    transaction_id,
)
from homeserver.clock import Clock
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, UserID
from homeserver.messages import REPLACE, relation_of
from homeserver.requester import Requester
from homeserver.storage import account_data, aggregations, events, room_state
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.aggregations import EDIT, REFERENCE, THREAD, Sight, ThreadRow
from homeserver.storage.database import Connection
from homeserver.streams.account_settings import IGNORED_USER_LIST, IgnoredUsers, ignored_in
from homeserver.streams.erased import ErasedUsers
from homeserver.views import history
from homeserver.views.erasure import Erased, all_shown, shown
from homeserver.views.history import ReadableRoom

Rooms = Mapping[int, ReadableRoom]


@dataclass(slots=True)
class _Beside:
    """What was read for some events: former state by the successor's number, redactions by their
    own, and what hangs on each event by its UUID.
    """

    former: Mapping[int, StoredEvent] = field(default_factory=dict)
    redactions: Mapping[int, StoredEvent] = field(default_factory=dict)
    edits: Mapping[UUID, StoredEvent] = field(default_factory=dict)
    threads: Mapping[UUID, ThreadRow] = field(default_factory=dict)
    references: Mapping[UUID, Sequence[EventID]] = field(default_factory=dict)

    @property
    def has_bundles(self) -> bool:
        return bool(self.edits or self.threads or self.references)


class ClientEvents:
    """Renders events for one reader, who may see them: that is the caller's to check."""

    def __init__(self, *, ignored: IgnoredUsers, erased: ErasedUsers, clock: Clock) -> None:
        self._ignored = ignored
        self._erased = erased
        self._clock = clock

    async def render(
        self,
        db: Connection,
        by: Requester,
        found: Sequence[StoredEvent],
        *,
        bundled: bool = True,
        with_room_id: bool = True,
        rooms: Rooms | None = None,
        parents: Collection[UUID] | None = None,
    ) -> list[JsonObject]:
        """In the order given. At most eight queries, usually one or two, however many events.

        bundled: with `m.relations`. rooms: as the reader sees them, if that is known already;
        parents: on which events something hangs, likewise.
        """
        if not found:
            return []
        nids = {stored.facts.room_nid for stored in found}
        known = rooms if rooms is not None else await history.of_all(db, by.user_id, nids)
        found = all_shown(found, known, self.erased)
        beside = await _read_beside(db, found)
        if bundled and (parents is None or parents):
            hung_on = found if parents is None else _among(found, parents)
            await self._read_bundles(db, by, hung_on, known, beside)
        now_ms = self._clock.now_ms()
        writer = _Writer(by, known, beside, now_ms, self.erased, with_room_id=with_room_id)
        return [writer.whole(stored) for stored in found]

    @property
    def erased(self) -> Erased:
        """Of whom those who came later get redacted copies."""
        return self._erased.known

    def plain(self, found: Sequence[StoredEvent]) -> list[JsonObject]:
        """State as it is, for anybody who may see it: with its age and nothing else beside it."""
        now_ms = self._clock.now_ms()
        return [client_event(stored.event, now_ms=now_ms) for stored in found]

    def now_ms(self) -> int:
        """What ages are counted to."""
        return self._clock.now_ms()

    async def ignored_by(self, db: Connection, by: Requester) -> frozenset[UserID]:
        """Whom the reader ignores. One query, if that is not in memory."""
        known = self._ignored.peek(by.user_nid)
        if known is not None:
            return known
        content = await account_data.get(db, by.user_nid, GLOBAL, IGNORED_USER_LIST)
        return frozenset() if content is None else ignored_in(orjson.loads(content))

    async def remember_ignored(self, by: Requester) -> frozenset[UserID]:
        """The same, kept in memory; not while a connection is held. Raises Unavailable."""
        return await self._ignored.of(by.user_nid)

    async def _read_bundles(
        self,
        db: Connection,
        by: Requester,
        found: Sequence[StoredEvent],
        rooms: Rooms,
        beside: _Beside,
    ) -> None:
        """One query where nothing hangs on the events, at most four beside it where much does."""
        # "State events do not currently receive bundled aggregations."
        parents = [stored for stored in found if not stored.event.is_state]
        kinds = await aggregations.kinds(db, parents) if parents else {}
        if not any(kinds.values()):
            return
        sight = Sight(
            reader_nid=by.user_nid,
            spans=[span for room in rooms.values() for span in room.spans],
            ignored=await self.ignored_by(db, by),
        )
        if kinds[THREAD]:
            beside.threads = await aggregations.threads(db, sight, _among(parents, kinds[THREAD]))
        newest = [thread.latest for thread in beside.threads.values()]
        latest = all_shown(newest, rooms, self.erased)
        edited = [*_among(parents, kinds[EDIT]), *latest]
        if edited:
            beside.edits = await aggregations.edits(db, sight, list(filter(_editable, edited)))
        referred = [*_among(parents, kinds[REFERENCE]), *latest]
        if referred:
            beside.references = await aggregations.references(db, sight, referred)


async def _read_beside(db: Connection, found: Sequence[StoredEvent]) -> _Beside:
    """A query where state was replaced, and one where something was redacted."""
    beside = _Beside()
    placed = [each for each in found if each.event.is_state and _has_place(each)]
    if placed:
        beside.former = await room_state.entries_before(db, placed)
    redactions = {nid for each in found if (nid := each.facts.redacted_by) is not None}
    if redactions:
        beside.redactions = await events.by_nids(db, redactions)
    return beside


@dataclass(slots=True)
class _Writer:
    """Writes events with what is beside them."""

    by: Requester
    rooms: Rooms
    beside: _Beside
    now_ms: int
    erased: Erased
    with_room_id: bool = field(kw_only=True)
    _memberships: dict[tuple[int, int | None], str | None] = field(default_factory=dict)

    def whole(self, stored: StoredEvent) -> JsonObject:
        unsigned = self._own(stored)
        if self.beside.has_bundles and (bundle := self._bundle(stored)):
            unsigned["m.relations"] = bundle
        return self._write(stored, unsigned)

    def _write(self, stored: StoredEvent, unsigned: Mapping[str, Any]) -> JsonObject:
        event = self._shown(stored).event
        return client_event(
            event, now_ms=self.now_ms, unsigned=unsigned, with_room_id=self.with_room_id
        )

    def _shown(self, stored: StoredEvent) -> StoredEvent:
        if not self.erased:
            return stored
        return shown(stored, self.rooms[stored.facts.room_nid], self.erased)

    def _own(self, stored: StoredEvent) -> JsonObject:
        """What the event itself comes with, without what hangs on it."""
        unsigned: JsonObject = {}
        txn_id = transaction_id(stored.facts, self.by.session_nid)
        if txn_id is not None:
            unsigned["transaction_id"] = txn_id
        membership = self._membership(stored)
        if membership is not None:
            unsigned["membership"] = membership
        if stored.event.state_key is not None:
            unsigned |= self._former(stored)
        if stored.facts.redacted_by is not None:
            redaction = self.beside.redactions.get(stored.facts.redacted_by)
            if redaction is not None:
                unsigned["redacted_because"] = self._write(redaction, {})
        return unsigned

    def _membership(self, stored: StoredEvent) -> str | None:
        """Messages between two changes of the state share it."""
        facts = stored.facts
        room = self.rooms[facts.room_nid]
        if stored.event.state_key is not None or facts.fork_nid is not None:
            return room.membership_at(stored)
        key = facts.room_nid, facts.state_version
        if key not in self._memberships:
            self._memberships[key] = room.membership_at(stored)
        return self._memberships[key]

    def _former(self, stored: StoredEvent) -> JsonObject:
        """`replaces_state` "regardless of history visibility", `prev_content` with regard to it.

        `prev_sender` is no part of the specification. By it clients built on matrix-js-sdk know who
        invited somebody who is in: whose direct chat it is.
        """
        former = self.beside.former.get(stored.facts.event_nid)
        if former is None:
            return {}
        told: JsonObject = {"replaces_state": former.event.event_id}
        if self.rooms[stored.facts.room_nid].shows(former):
            told["prev_content"] = self._shown(former).event.content
            told["prev_sender"] = former.event.sender
        return told

    def _bundle(self, stored: StoredEvent) -> JsonObject:
        bundle = self._hanging(stored)
        thread = self.beside.threads.get(stored.facts.uuid)
        if thread is not None:
            bundle[THREAD] = thread_summary(
                self._latest(thread),
                count=thread.count,
                participated=thread.participated or stored.facts.sender_nid == self.by.user_nid,
            )
        return bundle

    def _latest(self, thread: ThreadRow) -> JsonObject:
        """ "child events of the latest_event should themselves be aggregated" """
        unsigned = self._own(thread.latest)
        if bundle := self._hanging(thread.latest):
            unsigned["m.relations"] = bundle
        return self._write(thread.latest, unsigned)

    def _hanging(self, stored: StoredEvent) -> JsonObject:
        """Edits and references: what may hang on any message."""
        bundle: JsonObject = {}
        edit = self.beside.edits.get(stored.facts.uuid)
        if edit is not None:
            bundle[EDIT] = self._write(edit, self._own(edit))
        references = self.beside.references.get(stored.facts.uuid)
        if references:
            bundle[REFERENCE] = reference_chunk(references)
        return bundle


def _among(found: Sequence[StoredEvent], uuids: Collection[UUID]) -> list[StoredEvent]:
    return [stored for stored in found if stored.facts.uuid in uuids]


def _editable(stored: StoredEvent) -> bool:
    """ "If the original event is redacted, any m.replace relationship should not be bundled";
    "you cannot edit an edit".
    """
    relation = relation_of(stored.event)
    is_edit = relation is not None and relation.rel_type == REPLACE
    return stored.facts.redacted_by is None and not is_edit


def _has_place(stored: StoredEvent) -> bool:
    return stored.facts.state_version is not None
