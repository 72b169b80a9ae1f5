"""Rooms whose history forks, for tests of state resolution: unsigned events with chosen IDs."""

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any

from homeserver.auth.rules import authorise, authorise_create
from homeserver.auth.selection import auth_types
from homeserver.auth.verdict import Accepted
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.state.resolve import resolve

ALICE = UserID("@alice:one.example")
BOB = UserID("@bob:two.example")
CHARLIE = UserID("@charlie:three.example")
DORA = UserID("@dora:one.example")
EVE = UserID("@eve:evil.example")


class ForkedRoom:
    """All events of one room. `start` is the branch that others fork from.

    Time starts at 0 and passes one millisecond an event, whichever branch it is on, unless a test
    says otherwise.
    """

    def __init__(
        self, version: RoomVersion, *, creator: UserID = ALICE, **create_content: Any
    ) -> None:
        self.version = version
        self.creator = creator
        self.events: dict[EventID, Event] = {}
        self.start = Branch(self, {}, depth=0)
        by_hash = version.room_id_is_create_hash
        self.room_id = RoomID("!create" if by_hash else "!room:one.example")
        content = {"room_version": version.name, **create_content}
        if not version.implicit_creator:
            content["creator"] = creator
        self.start.send("m.room.create", creator, content, name="create")

    @classmethod
    def public_chat(
        cls,
        version: RoomVersion,
        *,
        members: Iterable[UserID] = (BOB, CHARLIE),
        users: Mapping[UserID, int] | None = None,
        join_rule: str = "public",
    ) -> "ForkedRoom":
        """Alice's room, everybody joined. users: power levels beside Alice's 100."""
        room = cls(version)
        room.start.join(ALICE)
        room.start.power(ALICE, users or {})
        room.start.join_rule(ALICE, "public")
        for member in members:
            room.start.join(member)
        if join_rule != "public":
            room.start.join_rule(ALICE, join_rule)
        return room

    def event_id(self, name: str) -> EventID:
        return EventID(f"${name}:one.example" if self.version.events_carry_id else f"${name}")

    def add(self, event: Event) -> None:
        assert event.event_id not in self.events, f"{event.event_id} exists"
        self.events[event.event_id] = event

    def resolve(
        self, *branches: "Branch", rejected: Iterable[Event] = ()
    ) -> dict[StateKey, EventID]:
        """Resolved in every order of the branches, which must not matter."""
        outcomes = [
            resolve(
                self.version,
                [branch.state_map for branch in order],
                self.events,
                frozenset(event.event_id for event in rejected),
            )
            for order in permutations(branches)
        ]
        assert all(outcome == outcomes[0] for outcome in outcomes)
        return outcomes[0]

    def merge(self, *branches: "Branch") -> "Branch":
        """A branch that goes on where these meet."""
        state = {key: self.events[event_id] for key, event_id in self.resolve(*branches).items()}
        heads = tuple(head for branch in branches for head in branch.heads)
        return Branch(self, state, depth=max(b.depth for b in branches), heads=heads)


class Branch:
    """One line of the room's history and the state at its end."""

    def __init__(
        self,
        room: ForkedRoom,
        state: Mapping[StateKey, Event],
        *,
        depth: int,
        heads: tuple[EventID, ...] = (),
    ) -> None:
        self.room = room
        self.state = dict(state)
        self.depth = depth
        self.heads = heads

    @property
    def state_map(self) -> dict[StateKey, EventID]:
        return {key: event.event_id for key, event in self.state.items()}

    def fork(self) -> "Branch":
        return Branch(self.room, self.state, depth=self.depth, heads=self.heads)

    def allows(self, event: Event) -> bool:
        judged = (
            authorise_create(event)
            if event.type == "m.room.create"
            else authorise(event, self.state)
        )
        return isinstance(judged, Accepted)

    def prepare(
        self,
        event_type: str,
        sender: UserID,
        content: Mapping[str, Any],
        *,
        state_key: str = "",
        name: str = "",
        ts: int | None = None,
    ) -> Event:
        """An event that cites this branch's state, not sent yet."""
        version, count = self.room.version, len(self.room.events)
        keys = auth_types(event_type, sender, state_key, content, version)
        return Event(
            event_id=self.room.event_id(name or f"{count:04}-{event_type.rpartition('.')[2]}"),
            room_id=self.room.room_id,
            sender=sender,
            type=event_type,
            state_key=state_key,
            content=content,
            prev_events=self.heads,
            auth_events=tuple(self.state[key].event_id for key in keys if key in self.state),
            depth=self.depth + 1,
            origin_server_ts=count if ts is None else ts,
            redacts=None,
            version=version,
            raw=b"",
        )

    def append(self, event: Event) -> Event:
        self.room.add(event)
        return self.append_known(event)

    def append_known(self, event: Event) -> Event:
        """An event of another branch, believed here too."""
        self.state[event.key] = event
        self.depth = event.depth
        self.heads = (event.event_id,)
        return event

    def send(
        self,
        event_type: str,
        sender: UserID,
        content: Mapping[str, Any],
        *,
        state_key: str = "",
        name: str = "",
        ts: int | None = None,
    ) -> Event:
        """A state event that the rules allow on this branch."""
        event = self.prepare(event_type, sender, content, state_key=state_key, name=name, ts=ts)
        assert self.allows(event), f"{sender} may not send {event_type} {content} here"
        return self.append(event)

    def topic(self, sender: UserID, text: str, *, ts: int | None = None) -> Event:
        return self.send("m.room.topic", sender, {"topic": text}, ts=ts)

    def join_rule(self, sender: UserID, rule: str, *, ts: int | None = None) -> Event:
        return self.send("m.room.join_rules", sender, {"join_rule": rule}, ts=ts)

    def power(
        self,
        sender: UserID,
        users: Mapping[UserID, int],
        *,
        ts: int | None = None,
        **levels: Any,
    ) -> Event:
        """Power levels of `users`, and the creator's 100 where the version lets it be listed."""
        creator = {} if self.room.version.privileged_creators else {self.room.creator: 100}
        content = {"users": {**creator, **users}, **levels}
        return self.send("m.room.power_levels", sender, content, ts=ts)

    def join(self, user: UserID, *, ts: int | None = None, **content: Any) -> Event:
        return self.member(user, user, "join", ts=ts, **content)

    def leave(self, user: UserID, *, ts: int | None = None) -> Event:
        return self.member(user, user, "leave", ts=ts)

    def invite(self, sender: UserID, user: UserID, *, ts: int | None = None) -> Event:
        return self.member(sender, user, "invite", ts=ts)

    def kick(self, sender: UserID, user: UserID, *, ts: int | None = None) -> Event:
        return self.member(sender, user, "leave", ts=ts)

    def ban(self, sender: UserID, user: UserID, *, ts: int | None = None) -> Event:
        return self.member(sender, user, "ban", ts=ts)

    def member(
        self,
        sender: UserID,
        user: UserID,
        membership: str,
        *,
        ts: int | None = None,
        **content: Any,
    ) -> Event:
        return self.send(
            "m.room.member", sender, {"membership": membership, **content}, state_key=user, ts=ts
        )
