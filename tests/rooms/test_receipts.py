"""Read and delivery receipts. Source: C-S API v1.19 "Receipts"; a marker only moves forward."""

import asyncio
from uuid import uuid4

import pytest

from homeserver.actions.receipts import Markers
from homeserver.errors import NotAllowed, NotFound, Unavailable
from homeserver.storage import database as database_module
from homeserver.storage import receipts as stored_receipts
from homeserver.storage.database import OutcomeUnknown
from homeserver.streams import gathering, receipts
from homeserver.streams.receipts import Mark
from tests.support.engine import another_process, fetch


async def marker(engine, by, kind: str = "read") -> int | None:
    """The position at which somebody's marker stands."""
    rows = await fetch(
        engine,
        "SELECT event_position FROM receipts WHERE user_nid = $1 AND kind = $2",
        by.user_nid,
        kind,
    )
    return rows[0]["event_position"] if rows else None


async def unread(engine, by) -> int:
    (summary,) = await engine.views.rooms.list(by)
    return summary.unread_count


@pytest.fixture
async def talk(engine):
    """Alice has said three things to Bob."""
    alice, bob = await engine.people("alice", "bob")
    room = await engine.group(alice, bob)
    said = [await engine.says(alice, room, text) for text in ("one", "two", "three")]
    return alice, bob, room, said


class TestReading:
    async def test_the_marker_moves(self, engine, talk):
        _, bob, room, said = talk
        for index, sent in enumerate(said):
            await engine.reads(bob, room, sent.message_uuid)
            assert await marker(engine, bob) == sent.position
            assert await unread(engine, bob) == 2 - index

    async def test_it_never_moves_back(self, engine, talk):
        _, bob, room, said = talk
        told = []
        engine.core.streams.receipts.subscribe(told.extend)
        await engine.reads(bob, room, said[2].message_uuid)
        await engine.reads(bob, room, said[0].message_uuid)
        assert await marker(engine, bob) == said[2].position
        assert [row.message_uuid for row in told] == [said[2].message_uuid]

    async def test_before_anything_is_read_everything_is_unread(self, engine, talk):
        alice, bob, *_ = talk
        assert [await unread(engine, by) for by in (alice, bob)] == [0, 3]

    async def test_followers_are_told_in_order(self, engine, talk):
        alice, bob, room, said = talk
        told = []
        engine.core.streams.receipts.subscribe(told.extend)
        await engine.reads(bob, room, said[0].message_uuid)
        await engine.reads(alice, room, said[1].message_uuid)
        await engine.reads(bob, room, said[2].message_uuid)
        assert [(row.reader_uuid, row.message_uuid) for row in told] == [
            (bob.user_uuid, said[0].message_uuid),
            (alice.user_uuid, said[1].message_uuid),
            (bob.user_uuid, said[2].message_uuid),
        ]
        positions = [row.position for row in told]
        assert positions == sorted(positions)
        assert engine.core.streams.receipts.position == positions[-1]


class TestWhatCannotBeRead:
    async def test_a_message_of_another_room(self, engine, talk):
        alice, bob, _, said = talk
        other = await engine.group(alice, bob)
        with pytest.raises(NotFound):
            await engine.reads(bob, other, said[0].message_uuid)

    async def test_a_message_that_does_not_exist(self, engine, talk):
        _, bob, room, _ = talk
        with pytest.raises(NotFound):
            await engine.reads(bob, room, uuid4())

    async def test_by_strangers_and_former_members(self, engine, talk):
        _, bob, room, said = talk
        (carol,) = await engine.people("carol")
        with pytest.raises(NotFound):
            await engine.reads(carol, room, said[0].message_uuid)
        await engine.actions.membership.leave(bob, room.uuid)
        with pytest.raises(NotAllowed):
            await engine.reads(bob, room, said[0].message_uuid)


class TestWhoIsShownWhat:
    """Of everybody the public ones, and one's own private ones."""

    @pytest.fixture
    async def read(self, engine, talk):
        """Bob has read the last message, and told only of the first."""
        alice, bob, room, said = talk
        for sent, kind in ((said[0], "read"), (said[2], "private")):
            await engine.actions.receipts.mark(bob, room.room_id, Markers(**{kind: sent.event_id}))
        await engine.actions.receipts.mark(
            alice, room.room_id, Markers(read=said[1].event_id, thread="main")
        )
        return talk

    async def _shown(self, engine, room, by, **more) -> list[tuple[str, str, str]]:
        async with engine.database.connection() as db:
            rows = await stored_receipts.of_rooms(db, [room.room_nid], by.user_nid, **more)
        return [(row.reader_id, row.kind, row.thread) for row in rows]

    async def test_in_rooms(self, engine, read):
        alice, bob, room, _ = read
        bobs, alices = (bob.user_id, "read", ""), (alice.user_id, "read", "main")
        assert await self._shown(engine, room, alice) == [bobs, alices]
        assert await self._shown(engine, room, bob) == [bobs, (bob.user_id, "private", ""), alices]
        assert await self._shown(engine, room, bob, limit=1) == [alices]

    async def test_since_a_position(self, engine, read):
        alice, bob, _, said = read
        async with engine.database.connection() as db:
            rows = {
                by: await stored_receipts.changed(db, by.user_nid, after=1, upto=3, limit=9)
                for by in (alice, bob)
            }
            assert await stored_receipts.changed(db, bob.user_nid, after=3, upto=9, limit=9) == []
        assert [row.position for row in rows[alice]] == [3]
        assert [row.position for row in rows[bob]] == [2, 3]
        assert (rows[bob][0].event_id, rows[bob][0].is_private) == (said[2].event_id, True)

    async def test_the_tail_has_all_of_them_as_the_database_has(self, engine, read, database_dsn):
        async with another_process(database_dsn) as other:
            tail = other.core.streams.receipts
            told = []
            tail.subscribe(told.extend)
            heard = asyncio.Event()
            tail.subscribe(lambda _: heard.set())
            _, bob, room, said = read
            await engine.actions.receipts.mark(
                bob, room.room_id, Markers(private=said[2].event_id, thread="main")
            )
            tail.poll()
            await heard.wait()
        assert told == list(engine.core.streams.receipts.since(3))

    async def test_the_farthest_one_counts_for_what_is_unread(self, engine, read):
        _, bob, *_ = read
        assert await unread(engine, bob) == 0

    async def test_an_event_that_is_no_message_stands_for_the_last_before_it(self, engine, talk):
        alice, bob, room, said = talk
        named = await engine.sends(alice, room, "m.room.topic", {"topic": "x"}, state_key="")
        await engine.says(alice, room, "four")
        await engine.actions.receipts.mark(bob, room.room_id, Markers(read=named.event.event_id))
        (row,) = engine.core.streams.receipts.since(0)
        assert (row.message_uuid, row.event_id) == (said[2].message_uuid, named.event.event_id)
        (summary,) = await engine.views.rooms.list(bob)
        assert (summary.unread_count, summary.last_read_id) == (1, said[2].message_uuid)


class TestManyAtOnce:
    async def test_moves_of_one_marker_are_one_move(self, engine, talk):
        _, bob, room, said = talk
        person = await engine.core.streams.people.get(bob.user_nid)
        marks = [await _mark(engine, room, sent) for sent in said]
        told = []
        engine.core.streams.receipts.subscribe(told.extend)
        await asyncio.gather(
            *(
                engine.core.streams.receipt_writer.read(person, mark, 1)
                for mark in (marks[1], marks[2], marks[0])
            )
        )
        assert [row.message_uuid for row in told] == [said[2].message_uuid]
        assert engine.core.streams.receipts.position == 1

    async def test_more_than_go_into_one_transaction(self, engine, monkeypatch):
        monkeypatch.setattr(gathering, "MAX_BATCH", 3)
        people = await engine.people("alice", *(f"user{n}" for n in range(10)))
        room = await engine.group(*people)
        sent = await engine.says(people[0], room, "hello")
        await asyncio.gather(*(engine.reads(each, room, sent.message_uuid) for each in people))
        assert {await marker(engine, each) for each in people} == {sent.position}

    async def test_in_two_processes(self, engine, talk, database_dsn):
        _, bob, room, said = talk
        async with another_process(database_dsn) as other:
            await asyncio.gather(
                *(
                    server.reads(bob, room, sent.message_uuid)
                    for sent in said
                    for server in (engine, other)
                )
            )
        assert await marker(engine, bob) == said[2].position


class TestWhenTheDatabaseFails:
    async def test_the_reader_is_told(self, engine, talk, monkeypatch):
        _, bob, room, said = talk

        async def fail(transaction, connection):
            await transaction.rollback()
            raise OutcomeUnknown("The database went away.")

        with monkeypatch.context() as patched:
            patched.setattr(database_module, "_commit", fail)
            with pytest.raises(Unavailable):
                await engine.reads(bob, room, said[0].message_uuid)
        await engine.reads(bob, room, said[1].message_uuid)
        assert await marker(engine, bob) == said[1].position


class TestDelivery:
    async def test_markers_move_soon_and_nobody_waits(self, engine, talk, monkeypatch):
        monkeypatch.setattr(receipts, "DELIVERED_AFTER_S", 0.0)
        _, bob, room, said = talk
        committed = asyncio.Event()
        engine.bus.subscribe("receipts", lambda _: committed.set())
        mark = await _mark(engine, room, said[2])
        engine.actions.receipts.delivered(
            bob.user_nid, room.room_nid, mark.event_nid, mark.event_position
        )
        await committed.wait()
        assert await marker(engine, bob, "delivered") == said[2].position
        assert await marker(engine, bob) is None

    async def test_they_go_with_the_next_read_marker(self, engine, talk):
        alice, bob, room, said = talk
        mark = await _mark(engine, room, said[2])
        engine.actions.receipts.delivered(
            bob.user_nid, room.room_nid, mark.event_nid, mark.event_position
        )
        await engine.reads(alice, room, said[0].message_uuid)
        assert await marker(engine, bob, "delivered") == said[2].position


async def _mark(engine, room, sent) -> Mark:
    rows = await fetch(engine, "SELECT event_nid FROM events WHERE uuid = $1", sent.message_uuid)
    return Mark(
        room_nid=room.room_nid,
        room_uuid=room.uuid,
        event_nid=rows[0]["event_nid"],
        event_position=sent.position,
        message_uuid=sent.message_uuid,
        event_id=sent.event_id,
    )
