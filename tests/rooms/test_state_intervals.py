"""State kept as intervals and forks says what a replay of the history says.

Source: design section 7.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.auth.verdict import Accepted, Rejected
from homeserver.events.build import Draft
from homeserver.events.event import Event
from homeserver.events.room_version import V1, V2, V11, V12, RoomVersion
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, StateKey
from homeserver.rooms.preparing import Append
from homeserver.state.resolve import resolve
from homeserver.storage import room_state
from tests.support.engine import ends, history_of, new_server, receives, state_before, state_now
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.server import Server

State = Mapping[StateKey, EventID]

few = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
rooms_so_far = count()


class TestStraightHistories:
    """Rooms that only this server writes."""

    changes = st.lists(
        st.lists(
            st.tuples(st.sampled_from(("m.room.topic", "m.room.name", "x")), st.sampled_from("ab"))
            | st.none(),
            min_size=1,
            max_size=4,
        ),
        max_size=8,
    )

    @few
    @given(changes=changes)
    async def test_the_state_at_every_version(self, engine, changes):
        """changes: what goes into the room together; None: a message."""
        by = await engine.person(f"user{next(rooms_so_far)}")
        room = await engine.group(by)

        def draft(change: tuple[str, str] | None) -> Draft:
            event_type, key = change or ("m.room.message", None)
            content = {"body": "hello"}
            return Draft(
                room_id=room.room_id,
                sender=by.user_id,
                type=event_type,
                state_key=key,
                content=content,
            )

        for together in changes:
            drafts = [draft(change) for change in together]
            await engine.core.engine.writer.append(
                room, Append(compose=lambda _, drafts=drafts: drafts)
            )
        await self.check(engine, room)

    async def check(self, engine, room) -> None:
        replayed: dict[StateKey, EventID] = {}
        version = 0
        for stored in await history_of(engine, room):
            assert stored.facts.state_version == version
            assert await _at(engine, room, version) == replayed
            if stored.event.is_state:
                replayed[stored.event.key] = stored.event.event_id
                version += 1
        assert await state_now(engine, room) == replayed


async def _at(engine, room, version: int) -> State:
    async with engine.database.connection() as db:
        state = await room_state.state_at(db, room.room_nid, version)
    return {key: event_id for key, (_, event_id) in state.items()}


class History:
    """Branches of a room that other servers write, at random but never against the rules."""

    def __init__(self, version: RoomVersion, draw: Any) -> None:
        creator = {} if version.privileged_creators else {ALICE: 100}
        self.start = RoomFactory.public_chat(
            version,
            members=(BOB, CHARLIE),
            power_levels={"users": {**creator, BOB: 50, CHARLIE: 50}},
            create_content={"room": next(rooms_so_far)},
        )
        self.arrived = set(self.start.events)
        self.branches = [self.start.fork(), self.start.fork()]
        self.draw = draw

    @property
    def events(self) -> dict[EventID, Event]:
        return self.start.events

    def choose(self, among: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(among))

    def grow(self) -> None:
        index = self.choose(range(len(self.branches)))
        step = self.choose(("fork", "merge", *["act"] * 6))
        if step == "fork" and len(self.branches) < 4:
            self.branches.append(self.branches[index].fork())
        elif step == "merge":
            self.merge(self.branches[index], self.choose(self.branches))
        elif step == "act":
            self.act(index)

    def act(self, index: int) -> None:
        trial = self.branches[index].fork()
        event = trial.send(*self.choose((self.membership, self.setting, self.power))())
        if isinstance(trial.judge(event), Accepted):
            self.branches[index] = trial
        else:
            del self.events[event.event_id]

    def merge(self, one: RoomFactory, other: RoomFactory) -> None:
        """The next event of one branch follows the ends of both, of which some may be the same."""
        ends = {*one.extremities, *other.extremities}
        states = [self.state_after(end) for end in ends]
        one.merge(other, state=resolve(one.version, states, self.events))

    def membership(self) -> tuple[Any, ...]:
        sender = self.choose((ALICE, BOB, CHARLIE, DORA))
        target = self.choose((sender, sender, BOB, CHARLIE, DORA))
        kinds = ("join", "leave") if target == sender else ("invite", "leave", "ban")
        return sender, "m.room.member", {"membership": self.choose(kinds)}, target

    def setting(self) -> tuple[Any, ...]:
        sender = self.choose((ALICE, BOB, CHARLIE, DORA))
        return self.choose(
            (
                (sender, "m.room.message", {"body": "hello"}),
                (sender, "m.room.topic", {"topic": "x"}, ""),
                (ALICE, "m.room.join_rules", {"join_rule": self.choose(("public", "invite"))}, ""),
            )
        )

    def power(self) -> tuple[Any, ...]:
        creator = {} if self.start.version.privileged_creators else {ALICE: 100}
        users = {**creator, BOB: 50, self.choose((CHARLIE, DORA)): self.choose((0, 50))}
        return ALICE, "m.room.power_levels", {"users": users}, ""

    def next(self) -> Event | None:
        """An event that may arrive now: what is before it has arrived."""
        ready = [
            event_id
            for event_id, event in self.events.items()
            if event_id not in self.arrived
            and self.arrived.issuperset((*event.prev_events, *event.auth_events))
        ]
        if not ready:
            return None
        event = self.events[self.choose(ready)]
        self.arrived.add(event.event_id)
        return event

    def state_before(self, event_id: EventID) -> State:
        before = self.start.state_before(self.events[event_id])
        return {key: event.event_id for key, event in before.items()}

    def state_after(self, event_id: EventID) -> State:
        event, before = self.events[event_id], self.state_before(event_id)
        return {**before, event.key: event_id} if event.is_state else before


@pytest.mark.parametrize("version", [V1, V2, V11, V12], ids=lambda version: f"v{version.name}")
class TestForkedHistories:
    """Rooms that others write; events arrive in any order in which causes are before effects."""

    @few
    @given(data=st.data())
    async def test_the_state_before_every_event_and_now(self, postgres, data, version):
        history = History(version, data.draw)
        async with new_server(postgres) as server:
            room = await receives(server, history.start)
            for _ in range(data.draw(st.integers(3, 18))):
                history.grow()
            while (event := history.next()) is not None:
                await self.arrives(server, room, history, event)

    async def arrives(self, server: Server, room: RoomRecord, history: History, event: Event):
        verdict = await server.core.engine.admitter.admit(room, event)
        assert not isinstance(verdict, Rejected)
        before = history.state_before(event.event_id)
        assert await state_before(server, event.event_id) == before
        states = [history.state_after(end) for end in await ends(server, room)]
        assert await state_now(server, room) == resolve(room.version, states, history.events)
