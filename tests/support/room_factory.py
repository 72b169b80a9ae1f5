"""Rooms for tests: real signed events of any room version, in a line or with forks.

    room = RoomFactory.public_chat(V11)
    room.join(BOB)
    other = room.fork()
    room.topic(ALICE, "one"), other.topic(ALICE, "two")

Every event that a room makes is appended, allowed or not: what the rules say about it is for the
test to ask, with `judge`. Auth events are selected here, without the code under test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from homeserver.auth.rules import authorise, authorise_create
from homeserver.auth.verdict import Accepted, Rejected
from homeserver.events import build, hashing, signing
from homeserver.events.event import Event
from homeserver.events.format import parse, pdu_of
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import EventID, RoomID, ServerName, StateKey, UserID, server_of

HERE = ServerName("one.example")
THERE = ServerName("two.example")

ALICE = UserID("@alice:one.example")
BOB = UserID("@bob:one.example")
CHARLIE = UserID("@charlie:two.example")
DORA = UserID("@dora:two.example")

KEYS = {
    HERE: signing.SigningKey.from_seed(bytes(range(32)), "ed25519:one"),
    THERE: signing.SigningKey.from_seed(bytes(range(32, 64)), "ed25519:two"),
}

START_MS = 1_700_000_000_000
STEP_MS = 1_000


class RoomFactory:
    """One branch of a room. Forks share `events`; each has its own state and extremities."""

    def __init__(self, version: RoomVersion) -> None:
        self.version = version
        self.events: dict[EventID, Event] = {}
        """All events of all branches, in the order in which they were made."""
        self.state: Mapping[StateKey, Event] = {}
        """The state after the last event of this branch."""
        self.extremities: tuple[EventID, ...] = ()
        self._states_before: dict[EventID, Mapping[StateKey, Event]] = {}

    @classmethod
    def created(
        cls, version: RoomVersion, *, creator: UserID = ALICE, content: Mapping[str, Any] = {}
    ) -> RoomFactory:
        """A room with its create event and nothing else. content: additions to that event's."""
        room = cls(version)
        named = {} if version.implicit_creator else {"creator": creator}
        room.send(creator, "m.room.create", {"room_version": version.name, **named, **content}, "")
        return room

    @classmethod
    def public_chat(
        cls,
        version: RoomVersion,
        *,
        creator: UserID = ALICE,
        join_rule: str = "public",
        members: Iterable[UserID] = (),
        power_levels: Mapping[str, Any] | None = None,
        create_content: Mapping[str, Any] = {},
    ) -> RoomFactory:
        """A room as a client creates it: the creator has level 100 (or is privileged), and
        `members` have joined while everybody could."""
        room = cls.created(version, creator=creator, content=create_content)
        room.join(creator)
        users = {} if version.privileged_creators else {creator: 100}
        room.power_levels(creator, {"users": users} if power_levels is None else power_levels)
        room.join_rule(creator, "public")
        for member in members:
            room.join(member)
        if join_rule != "public":
            room.join_rule(creator, join_rule)
        room.send(creator, "m.room.history_visibility", {"history_visibility": "shared"}, "")
        return room

    @property
    def create(self) -> Event:
        return next(iter(self.events.values()))

    @property
    def room_id(self) -> RoomID:
        return self.create.room_id

    @property
    def state_ids(self) -> dict[StateKey, EventID]:
        """The state as state resolution takes it."""
        return {key: event.event_id for key, event in self.state.items()}

    @property
    def last(self) -> Event:
        """The event that this branch ends with."""
        return self.events[self.extremities[-1]]

    def state_before(self, event: Event) -> Mapping[StateKey, Event]:
        return self._states_before[event.event_id]

    def judge(self, event: Event) -> Accepted | Rejected:
        """What the auth rules say about an event of this room, given the state before it."""
        if event.type == "m.room.create":
            return authorise_create(event)
        return authorise(event, self.state_before(event))

    def fork(self) -> RoomFactory:
        """Another branch that goes on from here."""
        return copy(self)

    def merge(self, *others: RoomFactory, state: Mapping[StateKey, EventID]) -> None:
        """The next event follows all these branches. state: what they resolve to."""
        ends = [*self.extremities, *(end for other in others for end in other.extremities)]
        self.extremities = tuple(dict.fromkeys(ends))
        self.state = {key: self.events[event_id] for key, event_id in state.items()}

    # what people do

    def join(self, user: UserID, *, authorised_by: UserID | None = None, **content: Any) -> Event:
        """authorised_by: through whom a restricted room lets the user in; that user's server
        signs as well."""
        if authorised_by is None:
            return self.membership(user, user, "join", **content)
        content |= {"membership": "join", "join_authorised_via_users_server": authorised_by}
        return self.send(user, "m.room.member", content, user, signed_by=[server_of(authorised_by)])

    def leave(self, user: UserID) -> Event:
        return self.membership(user, user, "leave")

    def knock(self, user: UserID) -> Event:
        return self.membership(user, user, "knock")

    def invite(self, sender: UserID, target: UserID, **content: Any) -> Event:
        return self.membership(sender, target, "invite", **content)

    def kick(self, sender: UserID, target: UserID) -> Event:
        """Also: lift a ban, withdraw an invite."""
        return self.membership(sender, target, "leave")

    def ban(self, sender: UserID, target: UserID) -> Event:
        return self.membership(sender, target, "ban")

    def membership(self, sender: UserID, target: UserID, membership: str, **content: Any) -> Event:
        return self.send(sender, "m.room.member", {"membership": membership, **content}, target)

    def message(self, sender: UserID, body: str) -> Event:
        return self.send(sender, "m.room.message", {"msgtype": "m.text", "body": body})

    def topic(self, sender: UserID, topic: str) -> Event:
        return self.send(sender, "m.room.topic", {"topic": topic}, "")

    def join_rule(self, sender: UserID, rule: str, **content: Any) -> Event:
        return self.send(sender, "m.room.join_rules", {"join_rule": rule, **content}, "")

    def power_levels(self, sender: UserID, content: Mapping[str, Any]) -> Event:
        return self.send(sender, "m.room.power_levels", content, "")

    def redaction(self, sender: UserID, redacted: Event | EventID) -> Event:
        event_id = redacted if isinstance(redacted, str) else redacted.event_id
        return self.send(sender, "m.room.redaction", {}, redacts=event_id)

    def send(
        self,
        sender: UserID,
        event_type: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        *,
        redacts: EventID | None = None,
        prev_events: Sequence[EventID] | None = None,
        auth_events: Sequence[EventID] | None = None,
        origin_server_ts: int | None = None,
        depth: int | None = None,
        signed_by: Iterable[ServerName] = (),
    ) -> Event:
        """Any event. What is None is as an honest server would choose it.
        signed_by: servers beside the sender's.
        """
        draft = build.Draft(
            room_id=self._room_id_for(event_type),
            sender=sender,
            type=event_type,
            content=content,
            state_key=state_key,
            redacts=redacts,
        )
        event = self._complete(
            draft,
            prev_events=self.extremities if prev_events is None else prev_events,
            auth_events=self._auth_events(draft) if auth_events is None else auth_events,
            origin_server_ts=origin_server_ts,
            depth=depth,
        )
        for server in signed_by:
            event = sign_too(event, server)
        return self.append(event)

    def append(self, event: Event) -> Event:
        """Puts an event from elsewhere at the end of this branch."""
        self.events[event.event_id] = event
        self._states_before[event.event_id] = self.state
        self.extremities = (event.event_id,)
        if event.is_state:
            self.state = {**self.state, event.key: event}
        return event

    def _complete(
        self,
        draft: build.Draft,
        *,
        prev_events: Sequence[EventID],
        auth_events: Sequence[EventID],
        origin_server_ts: int | None,
        depth: int | None,
    ) -> Event:
        server = server_of(draft.sender)
        count = len(self.events)
        return build.complete(
            draft,
            version=self.version,
            prev_events=prev_events,
            auth_events=auth_events,
            depth=self._next_depth(prev_events) if depth is None else depth,
            origin_server_ts=(
                START_MS + count * STEP_MS if origin_server_ts is None else origin_server_ts
            ),
            server_name=server,
            key=KEYS[server],
            new_event_id=lambda: EventID(f"${count}:{server}"),
            reference_hashes=self._reference_hashes({*prev_events, *auth_events}),
        )

    def _room_id_for(self, event_type: str) -> RoomID | None:
        if self.events:
            return self.room_id
        return None if self.version.room_id_is_create_hash else RoomID(f"!room:{HERE}")

    def _next_depth(self, prev_events: Sequence[EventID]) -> int:
        return 1 + max((self.events[event_id].depth for event_id in prev_events), default=0)

    def _reference_hashes(self, event_ids: set[EventID]) -> dict[EventID, bytes]:
        if not self.version.events_carry_id:
            return {}
        return {
            event_id: hashing.reference_hash(pdu_of(self.events[event_id]), self.version)
            for event_id in event_ids
        }

    def _auth_events(self, draft: build.Draft) -> list[EventID]:
        keys = dict.fromkeys(_auth_keys(draft, self.version))
        return [self.state[key].event_id for key in keys if key in self.state]


def sign_too(event: Event, server: ServerName) -> Event:
    """The same event with the signature of one more server."""
    pdu = signing.sign_event(pdu_of(event), server, KEYS[server], event.version)
    return parse(pdu, event.version)


def _auth_keys(draft: build.Draft, version: RoomVersion) -> Iterable[StateKey]:
    """Server-server API "Auth events selection"."""
    if draft.type == "m.room.create":
        return
    if not version.room_id_is_create_hash:
        yield "m.room.create", ""
    yield "m.room.power_levels", ""
    yield "m.room.member", draft.sender
    if draft.type == "m.room.member" and draft.state_key is not None:
        yield "m.room.member", draft.state_key
        yield from _more_auth_keys_of_member(draft.content, version)


def _more_auth_keys_of_member(
    content: Mapping[str, Any], version: RoomVersion
) -> Iterable[StateKey]:
    membership = content.get("membership")
    if membership in ("join", "invite", "knock"):
        yield "m.room.join_rules", ""
    if membership == "invite" and "third_party_invite" in content:
        yield "m.room.third_party_invite", content["third_party_invite"]["signed"]["token"]
    if membership == "join" and version.restricted_joins:
        authorising_user = content.get("join_authorised_via_users_server")
        if authorising_user is not None:
            yield "m.room.member", authorising_user
