"""What a room is called, who finds it, and its end: settings, deletion, upgrade.

Source: C-S API v1.19 "Room upgrades"; seed, "Rooms".
"""

import asyncio
from uuid import uuid4

import pytest

from homeserver.actions.create_room import state_draft
from homeserver.actions.membership import CHUNK
from homeserver.actions.room_settings import Changes
from homeserver.errors import InvalidInput, NotAllowed, NotFound
from homeserver.events.build import Draft
from homeserver.events.room_version import V12
from tests.support.engine import (
    another_process,
    fetch,
    history_of,
    memberships,
    state_now,
    stored,
)
from tests.support.versions import versions


async def content_of(engine, room, event_type: str):
    event_id = (await state_now(engine, room)).get((event_type, ""))
    return None if event_id is None else (await stored(engine, event_id)).event.content


async def update(engine, by, room, **changes):
    return await engine.actions.room_settings.update(by, room.uuid, Changes(**changes))


class TestUpdate:
    async def test_everything_at_once(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.channel(alice, bob)
        await update(
            engine,
            alice,
            room,
            name=" Cats ",
            topic="All of them",
            avatar_url="https://example.org/cat.png",
            members=[carol.user_uuid],
            public=False,
            history_visibility="joined",
        )
        assert await content_of(engine, room, "m.room.name") == {"name": "Cats"}
        assert await content_of(engine, room, "m.room.topic") == {"topic": "All of them"}
        assert await content_of(engine, room, "m.room.join_rules") == {"join_rule": "invite"}
        visibility = await content_of(engine, room, "m.room.history_visibility")
        assert visibility == {"history_visibility": "joined"}
        everybody = await memberships(engine, room)
        assert [everybody[each.user_id] for each in (alice, bob, carol)] == [
            "join",
            "leave",
            "join",
        ]
        found = await engine.core.streams.rooms.by_uuid(room.uuid)
        assert not found.published

    async def test_nothing(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, name="Cats")
        before = await history_of(engine, room)
        await update(engine, alice, room)
        await update(engine, alice, room, name="Cats", members=[])
        assert len(await history_of(engine, room)) == len(before)

    async def test_a_name_is_removed(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice, name="Cats")
        await update(engine, alice, room, name="")
        assert await content_of(engine, room, "m.room.name") == {"name": ""}

    async def test_who_may_not_changes_nothing(self, engine):
        """Not even what he may: Bob may add Carol, but not remove Alice."""
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob)
        before = await state_now(engine, room)
        for changes in ({"name": "Dogs"}, {"members": [bob.user_uuid]}, {"public": True}):
            with pytest.raises((NotAllowed, InvalidInput)):
                await update(engine, bob, room, **{"members": [carol.user_uuid], **changes})
        assert await state_now(engine, room) == before

    async def test_strangers_find_nothing(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await update(engine, bob, room, name="Dogs")

    async def test_many_members(self, engine):
        count = CHUNK + 3
        alice, *people = await engine.people("alice", *(f"user{n}" for n in range(2 * count)))
        leaving, joining = people[:count], people[count:]
        room = await engine.group(alice, *leaving)
        await update(engine, alice, room, members=[each.user_uuid for each in joining])
        everybody = await memberships(engine, room)
        assert {everybody[each.user_id] for each in leaving} == {"leave"}
        assert {everybody[each.user_id] for each in joining} == {"join"}

    async def test_an_unknown_member(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await update(engine, alice, room, name="Cats", members=[uuid4()])
        assert await content_of(engine, room, "m.room.name") is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"avatar_url": "javascript:alert(1)"},
            {"name": "x" * 256},
            {"history_visibility": "all"},
            {"public": True},
        ],
    )
    async def test_what_cannot_be(self, engine, changes):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        with pytest.raises(InvalidInput):
            await update(engine, alice, room, **changes)

    async def test_the_members_of_a_conversation_stay(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.direct(alice, bob)
        with pytest.raises(InvalidInput):
            await update(engine, alice, room, members=[])


class TestPublishing:
    async def test_again(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice, public=False)
        await update(engine, alice, room, public=True)
        await engine.actions.membership.join(bob, room.uuid)
        assert (await engine.core.streams.rooms.by_uuid(room.uuid)).published

    async def test_where_everybody_may_join_already(self, engine):
        """As a Matrix client leaves it: the directory is another question than the door."""
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice, bob, public=False)
        await engine.sends(alice, room, "m.room.join_rules", {"join_rule": "public"}, state_key="")
        with pytest.raises(NotAllowed):
            await update(engine, bob, room, public=True)
        await update(engine, alice, room, public=True)
        assert (await engine.core.streams.rooms.by_uuid(room.uuid)).published


class TestDeletion:
    async def test_everybody_leaves_and_nobody_finds_it(self, engine):
        people = await engine.people("alice", *(f"user{n}" for n in range(CHUNK + 3)))
        alice, bob, *_ = people
        room = await engine.group(*people, name="Cats")
        await engine.actions.room_settings.delete(alice, room.uuid)
        assert set((await memberships(engine, room)).values()) == {"leave"}
        with pytest.raises(NotFound):
            await engine.says(bob, room, "where is everybody?")
        with pytest.raises(NotFound):
            await engine.actions.room_settings.delete(alice, room.uuid)

    async def test_its_names_are_free_again(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.channel(alice, alias="news")
        await engine.actions.room_settings.delete(alice, room.uuid)
        await engine.channel(alice, alias="news")

    async def test_not_by_a_member(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob)
        with pytest.raises(NotAllowed):
            await engine.actions.room_settings.delete(bob, room.uuid)
        with pytest.raises(NotFound):
            await engine.actions.room_settings.delete(carol, room.uuid)

    async def test_while_people_leave_and_join(self, engine):
        alice, *others = await engine.people("alice", *(f"user{n}" for n in range(10)))
        room = await engine.channel(alice, *others)

        async def come_and_go(person) -> None:
            for _ in range(3):
                await engine.actions.membership.leave(person, room.uuid)
                await engine.actions.membership.join(person, room.uuid)

        deleting, *outcomes = await asyncio.gather(
            engine.actions.room_settings.delete(alice, room.uuid),
            *map(come_and_go, others),
            return_exceptions=True,
        )
        assert deleting is None
        assert {type(each) for each in outcomes} <= {NotFound, type(None)}

    async def test_one_that_was_cut_off_is_finished(self, engine):
        """The members of a deleted room leave when that is asked for again."""
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await fetch(engine, "UPDATE rooms SET deleted_at = 1")
        await engine.actions.room_settings.empty(room)
        assert set((await memberships(engine, room)).values()) == {"leave"}
        await engine.actions.room_settings.empty(room)


@versions()
class TestUpgrade:
    """C-S API v1.19 "Room upgrades", "Server behaviour"."""

    @pytest.mark.parametrize("to", ["1", "11", "12"])
    async def test_settings_names_and_members_come_along(self, engine, version, to):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        old = await engine.channel(
            alice, bob, version=version.name, name="News", topic="What is new", alias="news"
        )
        await engine.actions.membership.leave(bob, old.uuid)
        await engine.actions.membership.add(alice, old.uuid, [carol.user_uuid])
        new = await engine.actions.room_settings.upgrade(alice, old.uuid, to)
        assert (new.version.name, new.kind, new.published) == (to, "channel", True)
        assert await memberships(engine, new) == dict.fromkeys(
            (alice.user_id, carol.user_id), "join"
        )
        for event_type in ("m.room.name", "m.room.topic", "m.room.join_rules"):
            assert await content_of(engine, new, event_type) == await content_of(
                engine, old, event_type
            )
        assert (await engine.actions.aliases.resolve("news")).room_id == new.room_id
        predecessor = (await content_of(engine, new, "m.room.create"))["predecessor"]
        assert predecessor["room_id"] == old.room_id
        assert ("event_id" in predecessor) == (to != "12")
        tombstone = await content_of(engine, old, "m.room.tombstone")
        assert tombstone["replacement_room"] == new.room_id
        await engine.says(carol, new, "nice and new")

    async def test_nobody_goes_on_in_the_old_room(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        old = await engine.group(alice, bob, version=version.name)
        await engine.actions.room_settings.upgrade(alice, old.uuid, version.name)
        with pytest.raises(NotAllowed):
            await engine.says(bob, old, "is anybody here?")

    @pytest.mark.parametrize("to", ["11", "12"])
    async def test_admins_stay_admins(self, engine, version, to):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        old = await engine.group(alice, bob, carol, version=version.name)
        await engine.actions.membership.set_role(alice, old.uuid, bob.user_uuid, "admin")
        new = await engine.actions.room_settings.upgrade(alice, old.uuid, to)
        await engine.actions.membership.remove(bob, new.uuid, carol.user_uuid)
        await engine.actions.membership.add(alice, new.uuid, [carol.user_uuid])
        await engine.actions.membership.remove(alice, new.uuid, carol.user_uuid)

    @pytest.mark.parametrize("to", ["11", "12"])
    async def test_both_people_of_a_conversation_keep_the_same_say(self, engine, version, to):
        alice, bob = await engine.people("alice", "bob")
        old = await engine.direct(alice, bob, version=version.name)
        new = await engine.actions.room_settings.upgrade(bob, old.uuid, to)
        assert new.kind == "direct"
        again = await engine.actions.room_settings.upgrade(alice, new.uuid, to)
        await engine.actions.room_settings.delete(bob, again.uuid)


class TestUpgradesThatCannotBe:
    async def test_an_unknown_version(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        with pytest.raises(InvalidInput):
            await engine.actions.room_settings.upgrade(alice, room.uuid, "13")

    async def test_by_a_member(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        with pytest.raises(NotAllowed):
            await engine.actions.room_settings.upgrade(bob, room.uuid, "12")
        assert len(await fetch(engine, "SELECT FROM rooms")) == 1


class TestWhatElseComesAlong:
    async def test_the_type(self, engine):
        """Server behaviour 2: copied from the predecessor."""
        (alice,) = await engine.people("alice")
        create = Draft(
            room_id=None,
            sender=alice.user_id,
            type="m.room.create",
            state_key="",
            content={"room_version": "12", "type": "m.space"},
        )

        def compose(room_id):
            join = {"membership": "join"}
            return [state_draft(room_id, alice.user_id, "m.room.member", join, alice.user_id)]

        old = await engine.core.engine.writer.create_room(
            kind="group", version=V12, published=False, create=create, compose=compose
        )
        new = await engine.actions.room_settings.upgrade(alice, old.uuid, "12")
        assert (await content_of(engine, new, "m.room.create"))["type"] == "m.space"


class TestOtherProcesses:
    async def test_a_deleted_room_is_deleted_there_when_they_hear_of_it(self, engine, database_dsn):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        async with another_process(database_dsn) as other:
            await other.says(alice, room, "hello")
            await engine.actions.room_settings.delete(alice, room.uuid)
            other.bus.announce("room-changed", str(room.uuid))
            with pytest.raises(NotFound):
                await other.says(alice, room, "still there?")
