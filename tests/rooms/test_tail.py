"""The stream of events in memory: every commit once, in order, without gaps, whoever made it."""

import asyncio
from collections.abc import Sequence

import pytest

from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.errors import Unavailable
from homeserver.events.room_version import V11
from homeserver.streams import ring, tail
from homeserver.streams.tail import Committed
from tests.support.engine import (
    admits,
    another_process,
    receives,
)
from tests.support.room_factory import BOB, DORA, RoomFactory
from tests.support.server import Server, running_server


class Ear:
    """What a listener hears."""

    def __init__(self, server: Server) -> None:
        self.tail = server.core.streams.events
        self.batches: list[Sequence[Committed]] = []
        self._heard = asyncio.Event()
        self.tail.subscribe(self._hear)

    def _hear(self, batch: Sequence[Committed]) -> None:
        self.batches.append(batch)
        self._heard.set()

    @property
    def heard(self) -> list[Committed]:
        return [each for batch in self.batches for each in batch]

    @property
    def positions(self) -> list[int]:
        return [each.position for each in self.heard]

    async def until(self, position: int) -> None:
        while self.tail.position < position:
            self._heard.clear()
            await self._heard.wait()


@pytest.fixture
def patient(monkeypatch):
    """Only what is announced is looked for."""
    monkeypatch.setattr(ring, "IDLE_POLL_S", 1e6)


class TestListening:
    async def test_every_commit_once_and_in_order(self, engine):
        alice, bob = await engine.people("alice", "bob")
        ear = Ear(engine)
        rooms = [await engine.group(alice, bob) for _ in range(2)]
        await asyncio.gather(
            *(
                engine.says(by, room, "hello")
                for _ in range(20)
                for room in rooms
                for by in (alice, bob)
            )
        )
        assert ear.positions == list(range(1, engine.position + 1))

    async def test_what_is_committed_together_is_heard_together(self, engine):
        (alice,) = await engine.people("alice")
        ear = Ear(engine)
        room = await engine.group(alice)
        assert len(ear.batches) == 1
        assert {each.room for each in ear.heard} == {room}

    async def test_before_whoever_wrote_it_is_told(self, engine):
        """So a client's answer never overtakes the event."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        sent = await engine.says(alice, room, "hello")
        assert ear.positions == [sent.position]

    async def test_rejected_and_backfilled_events_are_not_heard(self, engine):
        history = RoomFactory.public_chat(V11, members=(BOB,))
        room = await receives(engine, history)
        ear = Ear(engine)
        lost, after = history.message(BOB, "lost"), history.message(BOB, "after")
        told = [*history.state_ids.values()]
        admitter = engine.core.engine.admitter
        await admitter.admit(room, after, state_before=told)
        verdicts = await admits(engine, room, [lost, history.message(DORA, "let me in")])
        assert [type(verdict) for verdict in verdicts] == [type(ACCEPTED), Rejected]
        assert [each.stored.event for each in ear.heard] == [after]

    async def test_what_a_membership_was_before(self, engine):
        alice, bob = await engine.people("alice", "bob")
        ear = Ear(engine)
        room = await engine.group(alice, bob)
        await engine.actions.membership.leave(bob, room.uuid)
        changes = [
            (each.prev_membership, each.stored.event.content["membership"])
            for each in ear.heard
            if each.stored.event.state_key == bob.user_id
        ]
        assert changes == [("leave", "invite"), ("invite", "join"), ("join", "leave")]


class TestWhatAnotherProcessWrote:
    async def test_it_is_read_when_it_is_announced(self, engine, database_dsn, patient):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        async with another_process(database_dsn) as other:
            sent = await other.says(alice, room, "hello")
        engine.bus.announce("events", str(sent.position))
        await ear.until(sent.position)
        assert [each.stored.event.content["body"] for each in ear.heard] == ["hello"]
        assert ear.heard[0].sender.user_id == alice.user_id

    async def test_without_an_announcement_at_the_next_look(
        self, engine, database_dsn, monkeypatch
    ):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        async with another_process(database_dsn) as other:
            sent = await other.says(alice, room, "hello")
        engine.core.streams.events.poll()
        await ear.until(sent.position)
        assert ear.positions == [sent.position]

    async def test_idle_looks_find_it(self, database, database_dsn, monkeypatch):
        monkeypatch.setattr(ring, "IDLE_POLL_S", 0.01)
        async with running_server(database) as engine, another_process(database_dsn) as other:
            (alice,) = await engine.people("alice")
            ear = Ear(engine)
            await other.group(alice)
            await ear.until(other.position)
            assert ear.positions == list(range(1, other.position + 1))

    async def test_own_commits_after_it_do_not_overtake_it(self, engine, database_dsn, patient):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        async with another_process(database_dsn) as other:
            theirs = await other.says(alice, room, "theirs")
        ours = await engine.says(alice, room, "ours")
        await ear.until(ours.position)
        assert ear.positions == [theirs.position, ours.position]

    async def test_both_write_without_pause(self, engine, database_dsn, patient):
        (alice,) = await engine.people("alice")
        rooms = [await engine.group(alice) for _ in range(3)]
        async with another_process(database_dsn) as other:
            ears = [Ear(engine), Ear(other)]
            for one, two in ((engine, other), (other, engine)):
                one.core.streams.events.subscribe(
                    lambda batch, two=two: two.bus.announce("events", str(batch[-1].position))
                )
            await asyncio.gather(
                *(
                    server.says(alice, room, "hello")
                    for _ in range(15)
                    for room in rooms
                    for server in (engine, other)
                )
            )
            newest = max(engine.position, other.position)
            for ear in ears:
                await ear.until(newest)
        assert ears[0].positions == ears[1].positions
        first = ears[0].positions[0]
        assert ears[0].positions == list(range(first, newest + 1))

    async def test_memberships_and_senders_are_as_their_writer_knew_them(
        self, engine, database_dsn, patient
    ):
        alice, bob = await engine.people("alice", "bob")
        async with another_process(database_dsn) as other:
            ours, theirs = Ear(engine), Ear(other)
            room = await other.group(alice, bob)
            await other.actions.membership.leave(bob, room.uuid)
            engine.bus.announce("events", str(other.position))
            await ours.until(other.position)
        assert ours.heard == theirs.heard

    async def test_what_is_committed_during_a_look_does_not_wait_for_the_next(
        self, engine, patient, monkeypatch
    ):
        """The look itself sees nothing, for its snapshot is older."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear, events = Ear(engine), engine.core.streams.events
        read, looking, look_on = events._read, asyncio.Event(), asyncio.Event()

        async def slow(db, position):
            stretch = await read(db, position)
            looking.set()
            await look_on.wait()
            return stretch

        monkeypatch.setattr(events, "_read", slow)
        events.poll()
        await looking.wait()
        sent = await engine.says(alice, room, "hello")
        look_on.set()
        await ear.until(sent.position)
        assert ear.positions == [sent.position]

    async def test_an_announcement_of_what_is_not_there(self, engine, patient):
        """A rolled back transaction, a lie: nothing is heard, and nothing is waited for."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        engine.bus.announce("events", str(engine.position + 1000))
        sent = await engine.says(alice, room, "hello")
        await ear.until(sent.position)
        assert ear.positions == [sent.position]


class TestTheRing:
    async def test_what_came_after_a_position(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        positions = [(await engine.says(alice, room, f"{n}")).position for n in range(5)]
        events = engine.core.streams.events
        for index, position in enumerate(positions):
            since = events.since(position)
            assert since is not None
            assert [each.position for each in since] == positions[index + 1 :]

    async def test_positions_that_are_not_reached_yet(self, engine):
        """By a client of a process that is ahead: the database knows."""
        assert engine.core.streams.events.since(engine.position + 1) is None
        assert engine.core.streams.events.since(engine.position) == ()

    async def test_how_far_it_reaches_back(self, database, monkeypatch):
        monkeypatch.setattr(tail, "RING_SIZE", 10)
        async with running_server(database) as engine:
            (alice,) = await engine.people("alice")
            room = await engine.group(alice)
            for n in range(25):
                newest = (await engine.says(alice, room, f"{n}")).position
            events = engine.core.streams.events
            assert [each.position for each in events.since(newest - 10)] == [
                *range(newest - 9, newest + 1)
            ]
            assert events.since(newest - 11) is None

    async def test_a_batch_that_is_greater_than_the_ring(self, database, monkeypatch):
        monkeypatch.setattr(tail, "RING_SIZE", 10)
        async with running_server(database) as engine:
            people = await engine.people("alice", *(f"user{n}" for n in range(10)))
            ear = Ear(engine)
            await engine.group(*people)
            newest = engine.position
            events = engine.core.streams.events
            assert ear.positions == list(range(1, newest + 1))
            assert len(events.since(newest - 10)) == 10
            assert events.since(newest - 11) is None

    async def test_after_a_restart_it_begins_where_the_database_stands(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        before = engine.position
        async with another_process(database_dsn) as restarted:
            assert restarted.position == before
            assert restarted.core.streams.events.since(before - 1) is None
            sent = await restarted.says(alice, room, "hello")
            (after,) = restarted.core.streams.events.since(before)
            assert after.position == sent.position


class TestWhileTheDatabaseIsAway:
    async def test_it_catches_up_afterwards(self, engine, database_dsn, monkeypatch):
        monkeypatch.setattr(ring, "RETRY_S", 0.0)
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        ear = Ear(engine)
        async with another_process(database_dsn) as other:
            sent = await other.says(alice, room, "hello")
            failures = []
            snapshot = engine.database.snapshot

            def failing():
                if len(failures) < 3:
                    failures.append(True)
                    raise Unavailable("The database is away.")
                return snapshot()

            monkeypatch.setattr(engine.database, "snapshot", failing)
            engine.bus.announce("events", str(sent.position))
            await ear.until(sent.position)
        assert len(failures) == 3
        assert ear.positions == [sent.position]
