"""Names of rooms. Source: C-S API v1.19 "Room aliases"."""

import asyncio
from dataclasses import replace

import pytest

from homeserver.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tests.support.engine import state_now, stored
from tests.support.server import SERVER

CANONICAL = ("m.room.canonical_alias", "")


class TestAdding:
    async def test_a_room_is_found_by_it(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        alias = await engine.actions.aliases.add(alice, room.uuid, "cats")
        assert alias == f"#cats:{SERVER}"
        for text in ("cats", alias):
            assert await engine.actions.aliases.resolve(text) == room

    async def test_several_for_one_room(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        for text in ("cats", "chats"):
            await engine.actions.aliases.add(alice, room.uuid, text)
            assert await engine.actions.aliases.resolve(text) == room

    async def test_a_taken_one(self, engine):
        (alice,) = await engine.people("alice")
        one, two = await engine.group(alice), await engine.group(alice)
        outcomes = await asyncio.gather(
            *(engine.actions.aliases.add(alice, room.uuid, "cats") for room in (one, two)),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AliasTaken", "str"]
        with pytest.raises(Conflict):
            await engine.actions.aliases.add(alice, one.uuid, "cats")

    async def test_by_strangers(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.aliases.add(bob, room.uuid, "cats")

    @pytest.mark.parametrize("text", ["#cats:elsewhere.example", "#cats", "x" * 300, "nul\0"])
    async def test_what_cannot_be(self, engine, text):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        with pytest.raises(InvalidInput):
            await engine.actions.aliases.add(alice, room.uuid, text)


class TestResolving:
    async def test_one_that_nobody_has(self, engine):
        with pytest.raises(NotFound):
            await engine.actions.aliases.resolve("cats")

    async def test_that_of_a_deleted_room(self, engine):
        (alice,) = await engine.people("alice")
        await engine.actions.room_settings.delete(
            alice, (await engine.channel(alice, alias="cats")).uuid
        )
        with pytest.raises(NotFound):
            await engine.actions.aliases.resolve("cats")


class TestRemoving:
    async def test_by_who_made_it(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.aliases.add(bob, room.uuid, "cats")
        await engine.actions.aliases.remove(bob, "cats")
        with pytest.raises(NotFound):
            await engine.actions.aliases.resolve("cats")

    async def test_by_an_admin_of_the_room_or_of_the_server(self, engine):
        alice, bob, root = await engine.people("alice", "bob", "root")
        room = await engine.group(alice, bob)
        for by in (alice, replace(root, is_admin=True)):
            await engine.actions.aliases.add(bob, room.uuid, "cats")
            await engine.actions.aliases.remove(by, "cats")

    async def test_not_by_others(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob)
        await engine.actions.aliases.add(alice, room.uuid, "cats")
        with pytest.raises(NotAllowed):
            await engine.actions.aliases.remove(bob, "cats")
        with pytest.raises(NotFound):
            await engine.actions.aliases.remove(carol, "cats")
        assert await engine.actions.aliases.resolve("cats") == room

    async def test_one_that_the_room_shows(self, engine):
        """The room stops to show it, in the same transaction."""
        (alice,) = await engine.people("alice")
        room = await engine.channel(alice, alias="cats")
        await engine.actions.aliases.remove(alice, "cats")
        shown = await stored(engine, (await state_now(engine, room))[CANONICAL])
        assert shown.event.content == {}
        with pytest.raises(NotFound):
            await engine.actions.aliases.resolve("cats")

    async def test_one_that_the_room_shows_by_who_may_not(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice, bob, alias="cats")
        with pytest.raises(NotAllowed):
            await engine.actions.aliases.remove(bob, "cats")
        assert await engine.actions.aliases.resolve("cats") == room
