"""What waits for the committer: events with their place in a room, and all that follows from them.

Pure: values only.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts, RoomRecord, Status, StoredEvent
from homeserver.identifiers import MAX_IDENTIFIER_BYTES, StateKey, native_uuid
from homeserver.messages import REDACTION_TYPE, relation_of
from homeserver.rooms.head import RoomHead
from homeserver.storage import appending
from homeserver.storage.database import Connection
from homeserver.storage.events import Redaction
from homeserver.storage.relations import REDACTION, RelationRow
from homeserver.storage.room_state import MembershipChange, StateChange
from homeserver.streams.people import Person
from homeserver.values import value

MEMBER_TYPE = "m.room.member"

AlsoWrite = Callable[[Connection], Awaitable[None]]


@value
class Origin:
    """Which session sent an event, and its transaction ID there (with its scope in front)."""

    session_nid: int | None = None
    txn_id: str | None = None


SERVER = Origin()
"""Events that no session sent, and those of other servers."""


@dataclass(slots=True)
class Consequences:
    """Rows that follow from events, a list a table."""

    state: list[StateChange] = field(default_factory=list)
    memberships: list[MembershipChange] = field(default_factory=list)
    auth: dict[int, Sequence[int]] = field(default_factory=dict)
    relations: list[RelationRow] = field(default_factory=list)
    redactions: list[Redaction] = field(default_factory=list)
    withdrawn_relations: list[int] = field(default_factory=list)

    @property
    def are_none(self) -> bool:
        return not (
            self.state
            or self.memberships
            or self.auth
            or self.relations
            or self.redactions
            or self.withdrawn_relations
        )

    def add(self, other: "Consequences") -> None:
        self.state += other.state
        self.memberships += other.memberships
        self.auth |= other.auth
        self.relations += other.relations
        self.redactions += other.redactions
        self.withdrawn_relations += other.withdrawn_relations


@dataclass(slots=True)
class Prepared:
    """An event that has everything but its position.

    facts: with position None; the transaction gives it one unless it is an outlier.
    promoted: it is stored already, as an outlier, and gets its place now.
    backfilled: it stands in the past of the room, so it gets a position that runs downwards.
    """

    event: Event
    facts: LocalFacts
    sender: Person
    prev_membership: str | None = None
    promoted: bool = False
    backfilled: bool = False

    @property
    def is_accepted(self) -> bool:
        return self.facts.status is Status.ACCEPTED

    @property
    def reaches_people(self) -> bool:
        """Whether it gets a position in the stream that everybody follows."""
        return not self.backfilled and self.facts.status is Status.ACCEPTED

    @property
    def is_plain(self) -> bool:
        """Whether its row is new, stands at the end of the room, and is all there is to write."""
        return (
            self.reaches_people and not self.promoted and appending.is_plain(self.event, self.facts)
        )


@dataclass(slots=True)
class Item:
    """What one caller wants committed, in one room, all or nothing.

    expected_version: of the room's head in the database when this item's turn comes.
    head: as the item leaves it. alone: it goes into a transaction of its own.
    again: how to build it on another head; None: only who made it can.
    """

    room: RoomRecord
    expected_version: int
    head: RoomHead
    events: list[Prepared]
    consequences: Consequences
    new_room: bool = False
    also: AlsoWrite | None = None
    alone: bool = False
    again: "Again | None" = None

    @property
    def is_plain(self) -> bool:
        """Whether it is of messages only, which one statement can write."""
        return (
            not self.new_room
            and self.also is None
            and self.consequences.are_none
            and all(each.is_plain for each in self.events)
        )


class Again(Protocol):
    """How an item is built on another head than the one it was built on."""

    def needs(self) -> Sequence[StateKey]:
        """State entries that it looks at."""

    def item(self, head: RoomHead) -> Item | None:
        """None: more must be looked up. Raises what may be said against the item there."""


def place(facts: LocalFacts, position: int) -> LocalFacts:
    """The same facts with the position that the transaction gave."""
    return LocalFacts(
        event_nid=facts.event_nid,
        room_nid=facts.room_nid,
        sender_nid=facts.sender_nid,
        uuid=facts.uuid,
        position=position,
        state_version=facts.state_version,
        status=facts.status,
        is_message=facts.is_message,
        fork_nid=facts.fork_nid,
        rule=facts.rule,
        redacted_by=facts.redacted_by,
        session_nid=facts.session_nid,
        txn_id=facts.txn_id,
    )


def relation_rows(event: Event, facts: LocalFacts) -> list[RelationRow]:
    """The row of an event that relates to another, in words that an index can hold."""
    relation = relation_of(event)
    if relation is None or not (_is_key(relation.rel_type) and _is_key(relation.key or "")):
        return []
    parent = native_uuid(relation.event_id)
    return [
        RelationRow(
            facts.event_nid,
            facts.room_nid,
            facts.sender_nid,
            parent,
            relation.rel_type,
            relation.key,
        )
    ]


def _is_key(text: str) -> bool:
    """Nothing keeps other servers from longer ones, or from U+0000, which Postgres cannot keep."""
    return len(text.encode()) <= MAX_IDENTIFIER_BYTES and "\0" not in text


def waiting_redaction(event: Event, facts: LocalFacts) -> RelationRow | None:
    """The row that lets a redaction find its target when that comes later."""
    if event.type != REDACTION_TYPE or event.redacts is None:
        return None
    parent = native_uuid(event.redacts)
    return RelationRow(facts.event_nid, facts.room_nid, facts.sender_nid, parent, REDACTION, None)


def as_stored(prepared: Prepared, position: int | None) -> StoredEvent:
    """An outlier, or any event that gets no position, keeps its facts."""
    if position is None:
        return StoredEvent(prepared.event, prepared.facts)
    return StoredEvent(prepared.event, place(prepared.facts, position))
