"""Searching messages, and the index behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from homeserver.delivery.search_index import CURSOR, search_index
from homeserver.errors import InvalidInput, NotFound
from homeserver.requester import Requester
from homeserver.storage import cursors
from tests.support.server import Server, server

__all__ = ["server"]


async def finds(server: Server, by: Requester, q: str, **more) -> list[str]:
    """Texts of the messages found, after all that was written is indexed."""
    await server.search_index.catch_up()
    return [message.text for message in await server.views.search.messages(by, q, **more)]


class TestWords:
    async def test_all_words_must_be_there(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "The budget is ready")
        await server.says(alice, room, "The meeting is ready")
        assert await finds(server, alice, "ready budget") == ["The budget is ready"]
        assert await finds(server, alice, "ready") == [
            "The meeting is ready",
            "The budget is ready",
        ]
        assert await finds(server, alice, "ready nothing") == []

    async def test_beginnings_of_words_are_enough(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "Quarterly reporting")
        assert await finds(server, alice, "quart repo") == ["Quarterly reporting"]
        assert await finds(server, alice, "porting") == []

    async def test_case_and_accents_do_not_matter(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "Le CAFÉ est prêt")
        for q in ("cafe", "café", "Pret", "PRÊT"):
            assert await finds(server, alice, q) == ["Le CAFÉ est prêt"]

    async def test_scripts_without_spaces_are_found_anywhere(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "明日は東京で会議です")
        for q in ("東京", "会議", "す", "明"):
            assert await finds(server, alice, q) == ["明日は東京で会議です"]
        assert await finds(server, alice, "大阪") == []

    @pytest.mark.parametrize("q", ["", "  ", "!?", "' & | ! ( ) :* \\"])
    async def test_a_query_needs_a_word(self, server: Server, q: str) -> None:
        (alice,) = await server.people("alice")
        with pytest.raises(InvalidInput):
            await server.views.search.messages(alice, q)

    @pytest.mark.parametrize("q", ["a'b", "x\\' | y", "'#1' hello", "hello:*A", "!hello", "<->"])
    async def test_operators_mean_nothing(self, server: Server, q: str) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        await server.says(alice, room, "secret")
        if q != "<->":
            assert await finds(server, bob, q) == []


class TestWhere:
    async def test_only_rooms_of_the_reader_are_searched(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        await server.says(alice, await server.group(alice), "secret plan")
        shared = await server.group(alice, bob)
        await server.says(alice, shared, "open plan")
        assert await finds(server, bob, "plan") == ["open plan"]
        await server.actions.membership.leave(bob, shared.uuid)
        assert await finds(server, bob, "plan") == []

    async def test_one_room_may_be_asked_for(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        one, two = await server.group(alice), await server.group(alice)
        await server.says(alice, one, "plan one")
        await server.says(alice, two, "plan two")
        assert await finds(server, alice, "plan", room=one.uuid) == ["plan one"]
        with pytest.raises(NotFound) as error:
            await finds(server, bob, "plan", room=one.uuid)
        assert error.value.kind == "room"

    async def test_one_sender_may_be_asked_for(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "plan of alice")
        await server.says(bob, room, "plan of bob")
        assert await finds(server, alice, "plan", sender=bob.user_uuid) == ["plan of bob"]
        with pytest.raises(NotFound) as error:
            await finds(server, alice, "plan", sender=room.uuid)
        assert error.value.kind == "user"

    async def test_pages_go_back_in_time(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        for index in range(7):
            await server.says(alice, room, f"word {index}")
        await server.search_index.catch_up()
        first = await server.views.search.messages(alice, "word", limit=3)
        second = await server.views.search.messages(alice, "word", limit=3, before=first[-1].uuid)
        assert [m.text for m in (*first, *second)] == [f"word {n}" for n in (6, 5, 4, 3, 2, 1)]
        with pytest.raises(NotFound) as error:
            await finds(server, alice, "word", before=room.uuid)
        assert error.value.kind == "message"

    async def test_what_one_may_not_see_is_not_found(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, history_visibility="joined")
        for index in range(250):
            await server.says(alice, room, f"plan {index}")
        await server.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        assert await finds(server, bob, "plan") == []
        await server.says(alice, room, "new plan")
        assert await finds(server, bob, "plan") == ["new plan"]
        assert len(await finds(server, alice, "plan", limit=200)) == 200


class TestIndex:
    async def test_an_edit_replaces_the_words(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "wrong")
        assert await finds(server, alice, "wrong") == ["wrong"]
        await server.actions.send.edit(alice, sent.message_uuid, "right")
        assert await finds(server, alice, "wrong") == []
        assert await finds(server, alice, "right") == ["right"]

    async def test_an_edit_by_another_replaces_nothing(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "mine")
        content = {
            "body": "* yours",
            "m.new_content": {"body": "yours"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": sent.event_id},
        }
        await server.sends(bob, room, "m.room.message", content)
        assert await finds(server, alice, "mine") == ["mine"]
        assert await finds(server, alice, "yours") == []

    async def test_a_deleted_message_is_not_found(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "oops")
        assert await finds(server, alice, "oops") == ["oops"]
        await server.actions.send.delete(alice, sent.message_uuid)
        # Not even before the index knows.
        assert await server.views.search.messages(alice, "oops") == []
        assert await finds(server, alice, "oops") == []
        async with server.database.connection() as db:
            assert await db.fetchval("SELECT count(*) FROM message_search") == 0

    async def test_a_deleted_edit_brings_the_words_back(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "first")
        edit = await server.actions.send.edit(alice, sent.message_uuid, "second")
        assert await finds(server, alice, "second") == ["second"]
        await server.actions.send.delete(alice, edit.message_uuid)
        assert await finds(server, alice, "first") == ["first"]
        assert await finds(server, alice, "second") == []

    async def test_doing_it_again_changes_nothing(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "first")
        await server.actions.send.edit(alice, sent.message_uuid, "second")
        await server.says(alice, room, "another second")
        expected = await finds(server, alice, "second")
        async with server.database.transaction() as db:
            await cursors.move(db, CURSOR, 0)
        assert await finds(server, alice, "second") == expected == ["another second", "second"]

    async def test_it_goes_on_where_it_was(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "first")
        assert await server.search_index.catch_up() == server.position
        for index in range(1_100):
            await server.sends(alice, room, "m.room.message", {"body": f"later {index}"})
        again = search_index(database=server.database, tail=server.core.streams.events)
        assert await again.catch_up() == server.position
        assert await finds(server, alice, "later 1099") == ["later 1099"]

    async def test_new_messages_wake_it(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        async with running_index(server) as reached:
            sent = await server.says(alice, room, "hello")
            await reached(sent.position)
        assert len(await server.views.search.messages(alice, "hello")) == 1

    async def test_one_of_several_runs_and_another_takes_over(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        async with server.database.dedicated() as first:
            assert await cursors.try_hold(first, CURSOR)
            async with server.database.dedicated() as second:
                assert not await cursors.try_hold(second, CURSOR)
        async with running_index(server) as reached:
            sent = await server.says(alice, room, "hello")
            await reached(sent.position)
            async with server.database.dedicated() as third:
                assert not await cursors.try_hold(third, CURSOR)

    async def test_who_lost_his_turn_takes_it_again(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        async with running_index(server) as reached:
            await reached(server.position)
            async with server.database.connection() as db:
                await db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                )
            sent = await server.says(alice, room, "hello")
            await reached(sent.position)


@asynccontextmanager
async def running_index(server: Server) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """A follower that runs; what it gives waits until a position was reached."""
    moved = asyncio.Event()
    position = 0

    def observe(reached: int) -> None:
        nonlocal position
        position = reached
        moved.set()

    async def reached(wanted: int) -> None:
        while position < wanted:
            await moved.wait()
            moved.clear()

    follower = search_index(
        database=server.database,
        tail=server.core.streams.events,
        observe=observe,
        turn_poll_s=0.01,
    )
    task = asyncio.ensure_future(follower.run())
    try:
        yield reached
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
