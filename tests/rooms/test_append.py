"""Appending events: rooms stay in order, whatever happens at the same time or breaks down."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise

import asyncpg
import pytest

from homeserver.auth.rules import authorise_by_auth_events
from homeserver.auth.verdict import ACCEPTED
from homeserver.errors import Conflict, NotAllowed, Unavailable
from homeserver.events.build import Draft
from homeserver.events.format import pdu_of
from homeserver.events.hashing import reference_hash
from homeserver.events.room_version import V1
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.rooms import committer, heads
from homeserver.rooms.preparing import Append
from homeserver.rooms.refusal import RuleBroken
from homeserver.storage import database as database_module
from homeserver.storage.database import Connection, OutcomeUnknown
from tests.support.engine import (
    another_process,
    ends,
    fetch,
    history_of,
    memberships,
    state_before,
    state_now,
    stored,
)
from tests.support.postgres import with_database
from tests.support.server import Server
from tests.support.versions import versions

TOPIC = ("m.room.topic", "")


def positions(history: Sequence[StoredEvent]) -> list[int]:
    return [each.facts.position for each in history]


def texts(history: Sequence[StoredEvent]) -> list[str]:
    return [each.event.content["body"] for each in history if each.facts.is_message]


def topic(room: RoomRecord, by, text: str) -> Draft:
    return Draft(
        room_id=room.room_id,
        sender=by.user_id,
        type="m.room.topic",
        state_key="",
        content={"topic": text},
    )


async def topic_now(engine: Server, room: RoomRecord) -> str:
    event_id = (await state_now(engine, room))[TOPIC]
    text: str = (await stored(engine, event_id)).event.content["topic"]
    return text


@versions()
class TestEveryRoomVersion:
    """What the engine writes is a room that any Matrix server would take."""

    async def test_each_event_follows_the_one_before_it(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob, version=version.name)
        await engine.says(bob, room, "hello")
        await engine.sends(alice, room, "m.room.topic", {"topic": "cats"}, state_key="")
        history = await history_of(engine, room)
        assert history[0].event.type == "m.room.create"
        for before, each in pairwise(history):
            assert each.event.prev_events == (before.event.event_id,)
            assert each.event.depth == before.event.depth + 1
        assert positions(history) == list(range(1, len(history) + 1))
        assert await ends(engine, room) == {history[-1].event.event_id}

    async def test_each_event_is_allowed_by_the_events_that_it_names(self, engine, version):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(
            alice, bob, version=version.name, name="Cats", topic="all of them"
        )
        await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")
        await engine.actions.membership.add(bob, room.uuid, [carol.user_uuid])
        await engine.actions.membership.leave(alice, room.uuid)
        by_id = {each.event.event_id: each.event for each in await history_of(engine, room)}
        for event in by_id.values():
            assert authorise_by_auth_events(event, by_id, frozenset()) == ACCEPTED

    async def test_a_state_event_begins_and_ends_an_interval(self, engine, version):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, version=version.name, topic="one")
        first = (await state_now(engine, room))[TOPIC]
        second = await engine.sends(alice, room, "m.room.topic", {"topic": "two"}, state_key="")
        after = await engine.says(alice, room, "nice")
        assert (await state_before(engine, second.event.event_id))[TOPIC] == first
        assert (await state_before(engine, after.event_id))[TOPIC] == second.event.event_id
        rows = await fetch(
            engine,
            "SELECT until_version - since_version AS versions FROM room_state"
            " WHERE type = 'm.room.topic' ORDER BY since_version",
        )
        assert [row["versions"] for row in rows] == [1, None]

    async def test_a_redaction_takes_the_content_away(self, engine, version):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, version=version.name)
        said = await engine.says(alice, room, "secret")
        await engine.actions.send.delete(alice, said.message_uuid)
        redacted = await stored(engine, said.event_id)
        assert redacted.event.content == {}
        assert b"secret" not in redacted.event.raw
        history = await history_of(engine, room)
        assert redacted.facts.redacted_by == history[-1].facts.event_nid
        assert history[-1].event.redacts == said.event_id

    async def test_a_room_goes_on_after_a_restart(self, engine, version, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, version=version.name)
        before = await engine.says(alice, room, "one")
        async with another_process(database_dsn) as restarted:
            after = await restarted.says(alice, room, "two")
            event = (await stored(restarted, after.event_id)).event
        assert event.prev_events == (before.event_id,)


class TestReferencesWithHashes:
    """Room v1 "Event format": previous and auth events are named with their hashes."""

    async def test_also_after_a_restart(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, version=V1.name)
        said = await engine.says(alice, room, "one")
        await engine.actions.send.delete(alice, said.message_uuid)
        async with another_process(database_dsn) as restarted:
            await restarted.says(alice, room, "two")
        history = {each.event.event_id: each.event for each in await history_of(engine, room)}
        for event in history.values():
            pdu = pdu_of(event)
            for named, hashes in (*pdu["prev_events"], *pdu["auth_events"]):
                digest = reference_hash(pdu_of(history[named]), V1)
                assert hashes == {"sha256": _base64(digest)}


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode().rstrip("=")


class TestRedactedState:
    async def test_the_head_follows_a_redaction(self, engine):
        """A new name that equals the redacted one is a change."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, name="Cats")
        name = (await state_now(engine, room))["m.room.name", ""]
        draft = Draft(
            room_id=room.room_id,
            sender=alice.user_id,
            type="m.room.redaction",
            content={},
            redacts=name,
        )
        append = Append(compose=lambda _: (draft,), target=await stored(engine, name))
        writing = engine.core.engine.writer.append(room, append)
        seen = []

        def look(head):
            seen.append(head.event(("m.room.name", "")).content)
            return ()

        looking = engine.core.engine.writer.append(
            room, Append(compose=look, needs=[("m.room.name", "")])
        )
        await asyncio.gather(writing, looking)
        assert seen == [{}]


class TestTransactionIDs:
    """C-S API v1.19 "Transaction identifiers": the same ID gives the same event."""

    async def test_a_repeated_request_gets_the_first_answer(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        first = await engine.says(alice, room, "hello", ref="1")
        again = await engine.says(alice, room, "hello again", ref="1")
        assert again == first
        assert texts(await history_of(engine, room)) == ["hello"]

    async def test_requests_at_the_same_time(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        answers = await asyncio.gather(
            *(engine.says(alice, room, f"hello {n}", ref="1") for n in range(10))
        )
        assert len(set(answers)) == 1
        assert len(texts(await history_of(engine, room))) == 1

    async def test_after_a_restart(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        first = await engine.says(alice, room, "hello", ref="1")
        async with another_process(database_dsn) as restarted:
            answers = await asyncio.gather(
                *(restarted.says(alice, room, "hello", ref="1") for _ in range(3))
            )
        assert answers == [first] * 3

    async def test_two_processes_at_the_same_time(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        async with another_process(database_dsn) as other:
            for n in range(10):
                one, two = await asyncio.gather(
                    engine.says(alice, room, "hello", ref=f"{n}"),
                    other.says(alice, room, "hello", ref=f"{n}"),
                )
                assert one == two
        assert len(texts(await history_of(engine, room))) == 10

    async def test_a_repetition_is_tried_again_when_the_first_has_failed(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.membership.leave(bob, room.uuid)
        answers = await asyncio.gather(
            *(engine.says(bob, room, "let me in", ref="1") for _ in range(3)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [RuleBroken] * 3

    async def test_a_request_that_is_cut_off_and_repeated(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        for n in range(10):
            first = asyncio.ensure_future(engine.says(alice, room, f"{n}", ref=f"{n}"))
            for _ in range(n):  # cut off a step later each time
                await asyncio.sleep(0)
            first.cancel()
            await engine.says(alice, room, f"{n}", ref=f"{n}")
        assert texts(await history_of(engine, room)) == [f"{n}" for n in range(10)]

    async def test_sessions_do_not_share_them(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        one = await engine.says(alice, room, "hello", ref="1")
        two = await engine.says(bob, room, "hello", ref="1")
        assert one.message_uuid != two.message_uuid

    async def test_an_event_whose_commit_was_in_doubt(self, engine, monkeypatch):
        """The connection went away during COMMIT, and the event was stored."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)

        async def commit_and_fail(transaction, connection):
            await transaction.commit()
            raise OutcomeUnknown("The database went away.")

        with monkeypatch.context() as patched:
            patched.setattr(database_module, "_commit", commit_and_fail)
            sent = await engine.says(alice, room, "hello", ref="1")
        assert (await history_of(engine, room))[-1].event.event_id == sent.event_id
        assert await engine.says(alice, room, "hello", ref="1") == sent
        await engine.says(alice, room, "and more")
        assert texts(await history_of(engine, room)) == ["hello", "and more"]


class TestBatches:
    """What many rooms have ready goes into one transaction."""

    async def test_a_poisonous_item_fails_alone(self, engine):
        (alice,) = await engine.people("alice")
        one, two = await engine.group(alice), await engine.group(alice)

        async def poison(db: Connection) -> None:
            raise Conflict("This name is taken.")

        poisonous = Append(compose=lambda _: (topic(one, alice, "poison"),), also=poison)
        outcomes = await asyncio.gather(
            engine.says(alice, one, "before"),
            engine.says(alice, two, "elsewhere"),
            engine.core.engine.writer.append(one, poisonous),
            engine.says(alice, one, "after"),
            return_exceptions=True,
        )
        assert [type(outcome).__name__ for outcome in outcomes] == [
            "Sent",
            "Sent",
            "Conflict",
            "Sent",
        ]
        assert set(texts(await history_of(engine, one))) == {"before", "after"}
        assert texts(await history_of(engine, two)) == ["elsewhere"]
        assert TOPIC not in await state_now(engine, one)

    async def test_what_a_message_may_be_called(self, engine):
        """Messages of a batch go to the database in one text; nothing in them may part it."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        types = ["plain", "\x1e", "a b", "\\", "\x1f\x1d", "{,}", '"', "NULL", "\u00a0é漢🙂"]
        content = {"body": "\x1e\x1f \\ ' \" é漢🙂 \u2028"}
        sent = await asyncio.gather(*(engine.sends(alice, room, each, content) for each in types))
        for type_, each in zip(types, sent, strict=True):
            event = (await stored(engine, each.event.event_id)).event
            assert (event.type, event.content) == (type_, content)

    async def test_a_statement_that_fails(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)

        async def poison(db: Connection) -> None:
            await db.execute("SELECT 1 / 0")

        poisonous = Append(compose=lambda _: (topic(room, alice, "poison"),), also=poison)
        outcomes = await asyncio.gather(
            *(engine.says(alice, room, f"{n}") for n in range(20)),
            engine.core.engine.writer.append(room, poisonous),
            return_exceptions=True,
        )
        assert isinstance(outcomes.pop(), asyncpg.DivisionByZeroError)
        assert not [each for each in outcomes if isinstance(each, Exception)]
        assert len(texts(await history_of(engine, room))) == 20

    async def test_an_item_is_stored_whole_or_not_at_all(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotAllowed):
            await engine.core.engine.writer.append(
                room,
                Append(compose=lambda _: (topic(room, alice, "one"), topic(room, bob, "two"))),
            )
        assert TOPIC not in await state_now(engine, room)
        await engine.says(alice, room, "goes on")

    async def test_more_than_a_batch_holds(self, engine, monkeypatch):
        monkeypatch.setattr(committer, "MAX_BATCH_EVENTS", 7)
        (alice,) = await engine.people("alice")
        rooms = [await engine.group(alice) for _ in range(3)]
        await asyncio.gather(
            *(engine.says(alice, room, f"{n}") for n in range(40) for room in rooms)
        )
        for room in rooms:
            assert sorted(map(int, texts(await history_of(engine, room)))) == list(range(40))

    async def test_more_events_than_a_block_of_numbers(self, engine):
        (alice,) = await engine.people("alice")
        rooms = [await engine.group(alice) for _ in range(2)]
        await asyncio.gather(*(engine.says(alice, rooms[n % 2], f"{n}") for n in range(1_100)))

    async def test_a_deadlock_is_nobodys_fault(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        lost = []

        async def lose(db: Connection) -> None:
            if not lost:
                lost.append(True)
                raise asyncpg.DeadlockDetectedError("deadlock detected")

        request = Append(compose=lambda _: (topic(room, alice, "cats"),), also=lose)
        await asyncio.gather(
            engine.core.engine.writer.append(room, request), engine.says(alice, room, "hello")
        )
        assert TOPIC in await state_now(engine, room)

    async def test_callers_who_do_not_wait(self, engine):
        """What they asked for may be stored or not; the room goes on."""
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        for n in range(30):
            sending = [
                asyncio.ensure_future(engine.says(alice, room, f"{n}.{m}")) for m in range(3)
            ]
            for _ in range(n % 10):
                await asyncio.sleep(0)
            sending[n % 3].cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        await engine.says(alice, room, "last")
        assert texts(await history_of(engine, room))[-1] == "last"


class TestHeadsInMemory:
    """They may be forgotten at any time."""

    async def test_fewer_than_rooms(self, engine):
        (alice,) = await engine.people("alice")
        rooms = [await engine.group(alice) for _ in range(6)]
        engine.core.engine.heads._capacity = 2
        await asyncio.gather(
            *(engine.says(alice, room, f"{n}") for n in range(20) for room in rooms)
        )
        assert len(engine.core.engine.heads._heads) <= 6
        for room in rooms:
            assert sorted(map(int, texts(await history_of(engine, room)))) == list(range(20))

    async def test_one_that_knows_too_much(self, engine, monkeypatch):
        monkeypatch.setattr(heads, "MAX_ENTRIES", 8)
        people = await engine.people("alice", *(f"user{n}" for n in range(12)))
        room = await engine.group(*people)
        await asyncio.gather(
            *(engine.says(person, room, f"{n}") for n in range(5) for person in people)
        )
        assert len(texts(await history_of(engine, room))) == 5 * 13

    async def test_people_who_are_forgotten_meanwhile(self, engine):
        people = await engine.people("alice", *(f"user{n}" for n in range(5)))
        room = await engine.group(*people)
        engine.core.streams.people._capacity = 2
        await asyncio.gather(
            *(engine.says(person, room, f"{n}") for n in range(5) for person in people)
        )


class TestTwoProcesses:
    """Any process may write any room and be correct (design section 6)."""

    async def test_messages_in_the_same_rooms(self, engine, database_dsn):
        alice, bob = await engine.people("alice", "bob")
        rooms = [await engine.group(alice, bob) for _ in range(3)]
        async with another_process(database_dsn) as other:
            sent = await asyncio.gather(
                *(_goes_on(server, alice, rooms, name) for server, name in _both(engine, other))
            )
        for index, room in enumerate(rooms):
            history = await history_of(engine, room)
            said = texts(history)
            for name, counts in zip(("one", "two"), sent, strict=True):
                mine = [text for text in said if text.startswith(name)]
                assert mine == [f"{name} {n}" for n in range(counts[index])]
            for before, each in pairwise(history):
                assert each.event.prev_events == (before.event.event_id,)
        taken = await fetch(engine, "SELECT position FROM events WHERE position > 0")
        assert sorted(row["position"] for row in taken) == list(range(1, len(taken) + 1))

    async def test_a_room_that_is_overtaken_beside_one_that_is_not(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        one, two = await engine.group(alice), await engine.group(alice)
        await engine.says(alice, one, "first")
        async with another_process(database_dsn) as other:
            await other.says(alice, one, "second")
            await asyncio.gather(engine.says(alice, one, "third"), engine.says(alice, two, "here"))
        history = await history_of(engine, one)
        assert texts(history) == ["first", "second", "third"]
        for before, each in pairwise(history):
            assert each.event.prev_events == (before.event.event_id,)
        assert texts(await history_of(engine, two)) == ["here"]

    async def test_state_in_the_same_room(self, engine, database_dsn):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        async with another_process(database_dsn) as other:
            await asyncio.gather(
                *(
                    server.sends(
                        alice, room, "m.room.topic", {"topic": f"{name} {n}"}, state_key=""
                    )
                    for n in range(10)
                    for server, name in _both(engine, other)
                )
            )
        topics = [each for each in await history_of(engine, room) if each.event.key == TOPIC]
        assert len(topics) == 20
        assert (await state_now(engine, room))[TOPIC] == topics[-1].event.event_id

    async def test_a_ban_in_one_counts_in_the_other(self, engine, database_dsn):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        async with another_process(database_dsn) as other:
            await other.says(bob, room, "hello")
            await engine.actions.membership.ban(alice, room.uuid, bob.user_uuid)
            with pytest.raises(RuleBroken):
                await other.says(bob, room, "still here?")
        assert (await memberships(engine, room))[bob.user_id] == "ban"

    async def test_members_come_and_go_in_both(self, engine, database_dsn):
        alice, *others = await engine.people("alice", *(f"user{n}" for n in range(6)))
        room = await engine.channel(alice, *others)

        async def come_and_go(server: Server, person) -> None:
            for _ in range(3):
                await server.actions.membership.leave(person, room.uuid)
                await server.actions.membership.join(person, room.uuid)

        async with another_process(database_dsn) as other:
            await asyncio.gather(
                *(come_and_go((engine, other)[n % 2], each) for n, each in enumerate(others))
            )
        assert set((await memberships(engine, room)).values()) == {"join"}


def _both(one: Server, two: Server) -> list[tuple[Server, str]]:
    return [(one, "one"), (two, "two")]


async def _goes_on(server: Server, by, rooms, name: str) -> list[int]:
    """Says things in all rooms, each after the one before it; returns how many in each."""

    async def talk(room) -> int:
        for n in range(25):
            await server.actions.send.message(by, room.uuid, f"{name} {n}")
        return 25

    return await asyncio.gather(*map(talk, rooms))


class TestFailedCommits:
    """Everybody concerned is told, and the next one succeeds."""

    async def test_the_connection_is_lost_in_the_middle(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        one, two = await engine.group(alice, topic="kept"), await engine.group(alice)

        async def lose(db: Connection) -> None:
            await _terminate(database_dsn, await db.fetchval("SELECT pg_backend_pid()"))

        request = Append(compose=lambda _: (topic(one, alice, "lost"),), also=lose)
        outcomes = await asyncio.gather(
            engine.core.engine.writer.append(one, request),
            engine.says(alice, one, "after it"),
            engine.says(alice, two, "elsewhere"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
        for room in (one, two):
            assert texts(await history_of(engine, room)) == []
            await engine.says(alice, room, "works again")
        assert (await topic_now(engine, one)) == "kept"

    async def test_idle_connections_are_lost(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        await _terminate_all(database_dsn)
        while not await _says(engine, alice, room, "hello"):
            pass
        assert texts(await history_of(engine, room)) == ["hello"]

    async def test_the_database_refuses_for_a_while(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        await engine.says(alice, room, "before")
        await _allow_connections(database_dsn, "false")
        await _terminate_all(database_dsn)
        outcomes = await asyncio.gather(
            *(engine.says(alice, room, f"{n}") for n in range(10)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        await _allow_connections(database_dsn, "true")
        while not await _says(engine, alice, room, "after"):
            pass
        assert texts(await history_of(engine, room)) == ["before", "after"]

    async def test_a_membership_that_was_not_stored_counts_for_nothing(self, engine, database_dsn):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice)

        async def lose(db: Connection) -> None:
            await _terminate(database_dsn, await db.fetchval("SELECT pg_backend_pid()"))

        request = Append(compose=lambda _: (topic(room, alice, "lost"),), also=lose)
        outcomes = await asyncio.gather(
            engine.core.engine.writer.append(room, request),
            engine.actions.membership.join(bob, room.uuid),
            engine.says(bob, room, "hello"),
            return_exceptions=True,
        )
        lost, joined, said = (not isinstance(each, Exception) for each in outcomes)
        # The join may have come after the failure, and then it counts.
        assert not lost
        assert joined or not said
        if not joined:
            with pytest.raises(RuleBroken):
                await engine.says(bob, room, "hello")


async def _says(engine: Server, by, room, text: str) -> bool:
    try:
        await engine.says(by, room, text)
    except Unavailable:
        return False
    return True


async def _terminate(dsn: str, pid: int) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await connection.close()


async def _terminate_all(dsn: str) -> None:
    name = dsn.rpartition("/")[2].partition("?")[0]
    connection = await asyncpg.connect(with_database(dsn, "postgres", user="postgres"))
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
    )
    await connection.close()


async def _allow_connections(dsn: str, allowed: str) -> None:
    name = dsn.rpartition("/")[2].partition("?")[0]
    connection = await asyncpg.connect(with_database(dsn, "postgres", user="postgres"))
    await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
    await connection.close()
