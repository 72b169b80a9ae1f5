"""A room's turn: drafts become authorised, signed events on a head. No input, no output."""

from collections.abc import Callable, Iterable, Sequence

from homeserver.auth.rules import authorise
from homeserver.auth.selection import auth_types, needed_types, with_create
from homeserver.auth.verdict import Rejected
from homeserver.clock import Clock
from homeserver.events.build import Draft, complete
from homeserver.events.content import membership_of
from homeserver.events.event import Event
from homeserver.events.format import pdu_of
from homeserver.events.hashing import reference_hash
from homeserver.events.redaction import redact_event
from homeserver.events.room_version import RoomVersion
from homeserver.events.signing import SigningKey
from homeserver.events.stored import LocalFacts, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, ServerName, StateKey, UserID, native_uuid
from homeserver.messages import is_message
from homeserver.rooms.batch import (
    MEMBER_TYPE,
    SERVER,
    AlsoWrite,
    Consequences,
    Item,
    Origin,
    Prepared,
    relation_rows,
)
from homeserver.rooms.head import Entry, RoomHead
from homeserver.rooms.nids import EventNids
from homeserver.rooms.refusal import RuleBroken
from homeserver.storage.events import Redaction
from homeserver.storage.room_state import MembershipChange, StateChange
from homeserver.streams.people import People, Person
from homeserver.values import value

Compose = Callable[[RoomHead], Sequence[Draft]]


@value(kw_only=True)
class Append:
    """What somebody wants to append to a room, in one go, all or nothing.

    compose: the drafts for the room as it stands when its turn comes; runs in the turn, may run
        again, and may raise Refused. needs: state entries that it looks at.
    origin: of the last event. target: what a redaction among the drafts redacts.
    also: further rows for the same transaction.
    """

    compose: Compose
    needs: Sequence[StateKey] = ()
    origin: Origin = SERVER
    target: StoredEvent | None = None
    also: AlsoWrite | None = None


def needed_keys(drafts: Iterable[Draft], version: RoomVersion) -> list[StateKey]:
    """State entries that the drafts' auth rules and their own replacement look at."""
    keys: list[StateKey] = []
    for draft in drafts:
        keys += needed_types(draft.type, draft.sender, draft.state_key, draft.content, version)
        if draft.state_key is not None:
            keys.append((draft.type, draft.state_key))
    return keys


def named_users(drafts: Iterable[Draft]) -> set[UserID]:
    """Whoever must have a number before the drafts can be stored."""
    users = set()
    for draft in drafts:
        users.add(draft.sender)
        if draft.type == MEMBER_TYPE and draft.state_key is not None:
            users.add(UserID(draft.state_key))
    return users


class Preparing:
    """Builds, authorises and signs. Event numbers and people must be at hand."""

    def __init__(
        self,
        *,
        server_name: ServerName,
        key: SigningKey,
        nids: EventNids,
        people: People,
        clock: Clock,
        new_event_id: Callable[[], EventID],
    ) -> None:
        self._server_name = server_name
        self._key = key
        self._nids = nids
        self._people = people
        self._clock = clock
        self._new_event_id = new_event_id

    def item(
        self, room: RoomRecord, head: RoomHead, drafts: Sequence[Draft], request: Append
    ) -> Item:
        """The drafts as an item for the committer. Raises RuleBroken, TooLarge, InvalidInput."""
        item = Item(room, head.version, head, [], Consequences(), also=request.also)
        for index, draft in enumerate(drafts):
            origin = request.origin if index == len(drafts) - 1 else SERVER
            self._add(item, self.event(room.version, item.head, draft), origin, request.target)
        return item

    def new_room(
        self, room: RoomRecord, head: RoomHead, create: Event, drafts: Sequence[Draft]
    ) -> Item:
        """A create event and the drafts that follow it as the item that makes a room."""
        item = Item(room, 0, head, [], Consequences(), new_room=True)
        self._add(item, create, SERVER, None)
        for draft in drafts:
            self._add(item, self.event(room.version, item.head, draft), SERVER, None)
        return item

    def _add(self, item: Item, event: Event, origin: Origin, target: StoredEvent | None) -> None:
        each = self._prepared(item.room, item.head, event, origin)
        self._add_consequences(item, each)
        item.events.append(each)
        item.head = item.head.after(event, each.facts.event_nid)
        if target is not None and event.redacts == target.event.event_id:
            self._redact(item, each, target)

    def event(self, version: RoomVersion, head: RoomHead, draft: Draft) -> Event:
        """The draft as a signed event that the room's rules allow. Raises RuleBroken."""
        keys = auth_types(draft.type, draft.sender, draft.state_key, draft.content, version)
        auth = [entry.event for key in keys if (entry := head.state[key]) is not None]
        previous = head.prev_events()
        event = complete(
            draft,
            version=version,
            prev_events=[each.event_id for each in previous],
            auth_events=[each.event_id for each in auth],
            depth=head.depth + 1,
            origin_server_ts=self._now_ms(draft),
            server_name=self._server_name,
            key=self._key,
            new_event_id=self._new_event_id,
            reference_hashes=_reference_hashes(head, auth) if version.events_carry_id else {},
        )
        verdict = authorise(event, head.events(with_create(keys, draft.type)))
        if isinstance(verdict, Rejected):
            raise RuleBroken(verdict.rule)
        return event

    def _prepared(self, room: RoomRecord, head: RoomHead, event: Event, origin: Origin) -> Prepared:
        sender = self._person(event.sender)
        facts = LocalFacts(
            event_nid=self._nids.take(),
            room_nid=room.room_nid,
            sender_nid=sender.user_nid,
            uuid=native_uuid(event.event_id),
            position=None,
            state_version=head.state_version,
            status=Status.ACCEPTED,
            is_message=is_message(event),
            session_nid=origin.session_nid,
            txn_id=origin.txn_id,
        )
        if event.type != MEMBER_TYPE or not event.is_state:
            return Prepared(event, facts, sender)
        return Prepared(event, facts, sender, membership_of(head.event(event.key)))

    def _add_consequences(self, item: Item, each: Prepared) -> None:
        event, facts, rows = each.event, each.facts, item.consequences
        if event.is_state:
            self._add_state(rows, item.head, event, facts)
        else:
            rows.relations += relation_rows(event, facts)

    def _redact(self, item: Item, each: Prepared, target: StoredEvent) -> None:
        rows = item.consequences
        rows.redactions.append(redaction_of(target, each.facts.event_nid))
        rows.withdrawn_relations.append(target.facts.event_nid)
        if target.event.is_state:
            item.head = item.head.redacting(redact_event(target.event))

    def _add_state(
        self, rows: Consequences, head: RoomHead, event: Event, facts: LocalFacts
    ) -> None:
        keys = auth_types(event.type, event.sender, event.state_key, event.content, event.version)
        rows.auth[facts.event_nid] = [
            entry.event_nid for key in keys if (entry := head.state[key]) is not None
        ]
        version = head.state_version + 1
        rows.state.append(StateChange(facts.room_nid, *event.key, facts.event_nid, version))
        if event.type == MEMBER_TYPE:
            member = self._person(UserID(event.key[1]))
            rows.memberships.append(
                MembershipChange(
                    facts.room_nid, member.user_nid, membership_of(event), facts.event_nid
                )
            )

    def _now_ms(self, draft: Draft) -> int:
        at_ms = draft.origin_server_ts
        return self._clock.now_ms() if at_ms is None else at_ms

    def _person(self, user_id: UserID) -> Person:
        person = self._people.peek_user_id(user_id)
        assert person is not None
        return person


def redaction_of(target: StoredEvent, by_nid: int) -> Redaction:
    """The row that puts the redacted form in the place of the target."""
    return Redaction(target.facts.event_nid, by_nid, redact_event(target.event).raw)


def _reference_hashes(head: RoomHead, auth: Iterable[Event]) -> dict[EventID, bytes]:
    """Room versions 1 and 2 name other events with their hash."""
    hashes = {event.event_id: reference_hash(pdu_of(event), event.version) for event in auth}
    for extremity in head.prev_events():
        assert extremity.reference_hash is not None
        hashes[extremity.event_id] = extremity.reference_hash
    return hashes


EMPTY_HEAD = RoomHead(version=0, state_version=0, depth=0, extremities=(), state={})


def nothing_known(head: RoomHead, keys: Iterable[StateKey]) -> RoomHead:
    """A new room's head knows that it has no other state than its own."""
    absent: dict[StateKey, Entry | None] = dict.fromkeys(keys)
    return head.knowing(absent)
