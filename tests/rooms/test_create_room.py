"""Making rooms.

Source: C-S API v1.19 `createRoom`; seed, "Rooms".
"""

import asyncio
from uuid import uuid4

import pytest

from homeserver.actions.create_room import NewRoom
from homeserver.actions.membership import CHUNK
from homeserver.config import Config
from homeserver.errors import Conflict, InvalidInput, NotFound
from homeserver.storage.database import Database
from tests.support.engine import fetch, history_of, is_sound, memberships, state_now, stored
from tests.support.server import running_server
from tests.support.versions import versions


async def content_of(engine, room, event_type: str):
    state = await state_now(engine, room)
    event_id = state.get((event_type, ""))
    return None if event_id is None else (await stored(engine, event_id)).event.content


@versions()
class TestEveryRoomVersion:
    async def test_the_order_of_the_events(self, engine, version):
        """`createRoom`: creator's join, power levels, alias, preset, name, topic, invitations."""
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(
            alice, bob, version=version.name, name="News", topic="What is new", alias="news"
        )
        assert [each.event.type for each in await history_of(engine, room)] == [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
            "m.room.member",
        ]
        assert room.version == version
        assert (await content_of(engine, room, "m.room.create"))["room_version"] == version.name
        assert await content_of(engine, room, "m.room.join_rules") == {"join_rule": "public"}
        assert await memberships(engine, room) == dict.fromkeys(
            (alice.user_id, bob.user_id), "join"
        )

    async def test_the_creator_is_its_admin(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob, version=version.name)
        await engine.actions.membership.remove(alice, room.uuid, bob.user_uuid)
        await engine.actions.room_settings.delete(alice, room.uuid)

    async def test_both_people_of_a_conversation_have_the_same_say(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.direct(alice, bob, version=version.name)
        await engine.says(bob, room, "hello")
        await engine.actions.room_settings.delete(bob, room.uuid)


class TestKinds:
    async def test_an_unknown_one(self, engine):
        (alice,) = await engine.people("alice")
        with pytest.raises(InvalidInput):
            await engine.room("conference", alice)

    async def test_only_channels_are_public(self, engine):
        (alice,) = await engine.people("alice")
        with pytest.raises(InvalidInput):
            await engine.group(alice, public=True)
        channel = await engine.channel(alice)
        assert channel.published
        assert not (await engine.channel(alice, public=False)).published

    async def test_channels_have_names(self, engine):
        (alice,) = await engine.people("alice")
        with pytest.raises(InvalidInput):
            await engine.channel(alice, name="  ")

    @pytest.mark.parametrize(
        "wanted",
        [
            {"version": "13"},
            {"version": "org.example.new"},
            {"name": "x" * 256},
            {"topic": "nul \0 character"},
            {"history_visibility": "everybody"},
        ],
    )
    async def test_what_cannot_be(self, engine, wanted):
        (alice,) = await engine.people("alice")
        with pytest.raises(InvalidInput):
            await engine.group(alice, **wanted)
        assert await fetch(engine, "SELECT FROM rooms") == []

    async def test_rooms_made_in_the_same_moment_are_not_the_same(self, engine):
        """Room v12: the room ID is the hash of the create event."""
        (alice,) = await engine.people("alice")
        wanted = NewRoom(kind="group", name="Cats")
        made = await asyncio.gather(
            *(engine.actions.create_room.create(alice, wanted) for _ in range(5))
        )
        assert len({room.room_id for room, _ in made}) == 5


class TestMembers:
    async def test_somebody_who_does_not_exist(self, engine):
        (alice,) = await engine.people("alice")
        with pytest.raises(NotFound):
            await engine.actions.create_room.create(alice, NewRoom(kind="group", members=[uuid4()]))
        assert await fetch(engine, "SELECT FROM rooms") == []

    async def test_the_creator_and_repeated_people_count_once(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob, alice, bob)
        assert len(await memberships(engine, room)) == 2

    async def test_more_than_go_into_one_transaction(self, engine):
        alice, *others = await engine.people("alice", *(f"user{n}" for n in range(CHUNK + 5)))
        room = await engine.group(alice, *others)
        assert len(await memberships(engine, room)) == CHUNK + 6

    async def test_more_than_a_room_may_begin_with(self, database: Database):
        config = Config.model_validate({"rooms": {"max_initial_members": 2}})
        async with running_server(database, config=config) as engine:
            alice, *others = await engine.people("alice", "bob", "carol", "dora")
            with pytest.raises(InvalidInput):
                await engine.group(alice, *others)
        await is_sound(database)


class TestDirectConversations:
    """One room for two people."""

    async def test_the_one_that_is_there(self, engine):
        alice, bob = await engine.people("alice", "bob")
        first, created = await engine.actions.create_room.create(
            alice, NewRoom(kind="direct", members=[bob.user_uuid])
        )
        again, created_again = await engine.actions.create_room.create(
            bob, NewRoom(kind="direct", members=[alice.user_uuid])
        )
        assert (created, created_again) == (True, False)
        assert again.room_id == first.room_id

    async def test_both_begin_at_once(self, engine):
        alice, bob = await engine.people("alice", "bob")
        rooms = await asyncio.gather(
            *(engine.direct(*pair) for pair in ((alice, bob), (bob, alice)) * 3)
        )
        assert len({room.room_id for room in rooms}) == 1

    async def test_after_one_has_left(self, engine):
        alice, bob = await engine.people("alice", "bob")
        old = await engine.direct(alice, bob)
        await engine.actions.membership.leave(bob, old.uuid)
        new = await engine.direct(alice, bob)
        assert new.room_id != old.room_id

    async def test_after_it_was_deleted(self, engine):
        alice, bob = await engine.people("alice", "bob")
        old = await engine.direct(alice, bob)
        await engine.actions.room_settings.delete(alice, old.uuid)
        assert (await engine.direct(alice, bob)).room_id != old.room_id

    @pytest.mark.parametrize("count", [0, 2])
    async def test_with_another_number_of_people(self, engine, count):
        alice, *others = await engine.people("alice", "bob", "carol")
        with pytest.raises(InvalidInput):
            await engine.room("direct", alice, *others[:count])

    async def test_with_oneself(self, engine):
        (alice,) = await engine.people("alice")
        with pytest.raises(InvalidInput):
            await engine.direct(alice, alice)


class TestNames:
    async def test_a_name_that_is_taken(self, engine):
        (alice,) = await engine.people("alice")
        await engine.channel(alice, alias="news")
        with pytest.raises(Conflict):
            await engine.channel(alice, alias="news")
        assert len(await fetch(engine, "SELECT FROM rooms")) == 1

    async def test_several_want_the_same_name_at_once(self, engine):
        (alice,) = await engine.people("alice")
        wanted = NewRoom(kind="channel", name="News", public=True, alias="news")
        outcomes = await asyncio.gather(
            *(engine.actions.create_room.create(alice, wanted) for _ in range(5)),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [
            *["AliasTaken"] * 4,
            "tuple",
        ]
        assert len(await fetch(engine, "SELECT FROM rooms")) == 1
