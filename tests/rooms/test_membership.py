"""Joining, leaving, adding, inviting, removing, banning; roles.

Source: C-S API v1.19 "Room membership"; seed, sections on rooms and members.
"""

import asyncio
from uuid import uuid4

import pytest

from homeserver.errors import Conflict, InvalidInput, NotAllowed, NotFound
from homeserver.events.build import Draft
from homeserver.rooms.preparing import Append
from homeserver.rooms.refusal import RuleBroken
from tests.support.engine import fetch, history_of, memberships
from tests.support.room_factory import CHARLIE
from tests.support.versions import versions


async def membership_of(engine, room, person) -> str | None:
    return (await memberships(engine, room)).get(person.user_id)


@versions()
class TestAdding:
    """In a team chat, whom a member adds is in at once."""

    async def test_an_invitation_and_the_join_that_answers_it(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, version=version.name)
        await engine.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        last = (await history_of(engine, room))[-2:]
        assert [each.event.sender for each in last] == [alice.user_id, bob.user_id]
        assert [each.event.content["membership"] for each in last] == ["invite", "join"]

    async def test_roles(self, engine, version):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob, carol, version=version.name)
        with pytest.raises(RuleBroken):
            await engine.actions.membership.set_role(bob, room.uuid, bob.user_uuid, "admin")
        await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")
        await engine.actions.membership.remove(bob, room.uuid, carol.user_uuid)


class TestAddingMany:
    async def test_who_is_in_already_is_left_alone(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob)
        before = len(await history_of(engine, room))
        await engine.actions.membership.add(
            alice, room.uuid, [bob.user_uuid, carol.user_uuid, carol.user_uuid, alice.user_uuid]
        )
        assert len(await history_of(engine, room)) == before + 2

    async def test_more_than_go_into_one_transaction(self, engine):
        alice, *others = await engine.people("alice", *(f"user{n}" for n in range(45)))
        room = await engine.group(alice)
        await engine.actions.membership.add(
            alice, room.uuid, [person.user_uuid for person in others]
        )
        assert set((await memberships(engine, room)).values()) == {"join"}
        assert len(await memberships(engine, room)) == 46

    async def test_nobody_is_added_if_one_does_not_exist(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.membership.add(alice, room.uuid, [bob.user_uuid, uuid4()])
        assert await membership_of(engine, room, bob) is None

    async def test_who_was_banned_stays_out(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.membership.ban(alice, room.uuid, bob.user_uuid)
        with pytest.raises(NotAllowed):
            await engine.actions.membership.add(alice, room.uuid, [bob.user_uuid])

    async def test_strangers_cannot_add(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.membership.add(bob, room.uuid, [carol.user_uuid])

    async def test_users_of_other_servers_are_invited(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        there = (await engine.core.streams.people.ensure([CHARLIE]))[CHARLIE]
        await engine.actions.membership.add(alice, room.uuid, [there.uuid])
        assert (await memberships(engine, room))[CHARLIE] == "invite"


class TestJoining:
    async def test_a_public_channel(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice)
        await engine.actions.membership.join(bob, room.uuid)
        await engine.says(bob, room, "hello")

    async def test_twice_is_once(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice)
        await asyncio.gather(*(engine.actions.membership.join(bob, room.uuid) for _ in range(5)))
        senders = [each.event.sender for each in await history_of(engine, room)]
        assert senders.count(bob.user_id) == 1

    async def test_a_private_room_is_not_there(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.membership.join(bob, room.uuid)

    async def test_an_invitation_is_answered(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        await engine.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        assert await membership_of(engine, room, bob) == "invite"
        await engine.actions.membership.join(bob, room.uuid)
        assert await membership_of(engine, room, bob) == "join"

    async def test_who_is_banned_is_told_so(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice, bob)
        await engine.actions.membership.ban(alice, room.uuid, bob.user_uuid)
        with pytest.raises(RuleBroken, match="banned"):
            await engine.actions.membership.join(bob, room.uuid)

    async def test_members_are_not_invited(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        with pytest.raises(Conflict):
            await engine.actions.membership.invite(alice, room.uuid, bob.user_uuid)


class TestLeaving:
    async def test_a_member(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.membership.leave(bob, room.uuid)
        with pytest.raises(NotAllowed):
            await engine.says(bob, room, "still here?")

    async def test_an_invitation_is_declined(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        await engine.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        await engine.actions.membership.leave(bob, room.uuid)
        with pytest.raises(NotFound):
            await engine.actions.membership.join(bob, room.uuid)

    async def test_who_is_not_there_cannot_leave(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.membership.leave(bob, room.uuid)

    async def test_twice_at_once(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        outcomes = await asyncio.gather(
            *(engine.actions.membership.leave(bob, room.uuid) for _ in range(3)),
            return_exceptions=True,
        )
        assert [outcome for outcome in outcomes if outcome is None] == [None]


class TestRemoving:
    async def test_by_an_admin(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.membership.remove(alice, room.uuid, bob.user_uuid, "be nice")
        last = (await history_of(engine, room))[-1].event
        assert (last.content["membership"], last.content["reason"]) == ("leave", "be nice")

    async def test_not_by_a_member(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob, carol)
        for target in (alice, carol):
            with pytest.raises(RuleBroken):
                await engine.actions.membership.remove(bob, room.uuid, target.user_uuid)

    async def test_oneself(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.actions.membership.remove(bob, room.uuid, bob.user_uuid)
        assert await membership_of(engine, room, bob) == "leave"

    async def test_who_is_not_there(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice)
        with pytest.raises(NotFound):
            await engine.actions.membership.remove(alice, room.uuid, bob.user_uuid)

    async def test_several(self, engine):
        alice, bob, carol, dora = await engine.people("alice", "bob", "carol", "dora")
        room = await engine.group(alice, bob, carol, dora)
        await engine.actions.membership.leave(dora, room.uuid)
        everybody = [each.user_nid for each in (alice, bob, carol, dora)]
        actor, *people = (await engine.core.streams.people.get_many(everybody)).values()
        await engine.actions.membership.remove_people(alice, room, actor, people)
        left = dict.fromkeys((bob.user_id, carol.user_id, dora.user_id), "leave")
        assert await memberships(engine, room) == {alice.user_id: "join", **left}


class TestBanning:
    async def test_and_lifting_the_ban(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice, bob)
        await engine.actions.membership.ban(alice, room.uuid, bob.user_uuid, "spam")
        assert await membership_of(engine, room, bob) == "ban"
        await engine.actions.membership.unban(alice, room.uuid, bob.user_uuid)
        await engine.actions.membership.join(bob, room.uuid)

    async def test_who_was_never_there(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice)
        await engine.actions.membership.ban(alice, room.uuid, bob.user_uuid)
        with pytest.raises(NotAllowed):
            await engine.actions.membership.join(bob, room.uuid)

    async def test_nobody_bans_himself(self, engine):
        (alice,) = await engine.people("alice")
        room = await engine.group(alice)
        with pytest.raises(InvalidInput):
            await engine.actions.membership.ban(alice, room.uuid, alice.user_uuid)

    async def test_lifting_needs_a_ban(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        with pytest.raises(NotFound):
            await engine.actions.membership.unban(alice, room.uuid, bob.user_uuid)


@versions(first=10)
class TestRoles:
    async def test_the_last_admin_stays_one(self, engine, version):
        """Until version 11; the creator of a newer room always is."""
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob, version=version.name)
        with pytest.raises((Conflict, NotAllowed)):
            await engine.actions.membership.set_role(alice, room.uuid, alice.user_uuid, "member")

    async def test_an_admin_makes_another_one_and_steps_down(self, engine, version):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.group(alice, bob, carol, version=version.name)
        await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")
        await engine.actions.membership.set_role(bob, room.uuid, carol.user_uuid, "admin")
        await engine.actions.membership.set_role(bob, room.uuid, bob.user_uuid, "member")
        with pytest.raises(NotAllowed):
            await engine.actions.membership.remove(bob, room.uuid, carol.user_uuid)

    async def test_the_role_that_one_has_is_no_change(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob, version=version.name)
        before = len(await history_of(engine, room))
        await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "member")
        await engine.actions.membership.set_role(alice, room.uuid, alice.user_uuid, "admin")
        assert len(await history_of(engine, room)) == before

    async def test_only_members_have_one(self, engine, version):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, version=version.name)
        with pytest.raises(NotFound):
            await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")

    async def test_in_a_room_without_power_levels(self, engine, version):
        """As another program may make it."""
        alice, bob = await engine.people("alice", "bob")
        creator = {} if version.implicit_creator else {"creator": alice.user_id}
        content = {"room_version": version.name, **creator}
        create = Draft(
            room_id=None,
            sender=alice.user_id,
            type="m.room.create",
            state_key="",
            content=content,
        )

        def compose(room_id):
            content = {"membership": "join"}
            return [
                Draft(
                    room_id=room_id,
                    sender=alice.user_id,
                    type="m.room.member",
                    state_key=alice.user_id,
                    content=content,
                )
            ]

        room = await engine.core.engine.writer.create_room(
            kind="group", version=version, published=False, create=create, compose=compose
        )
        await engine.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        await engine.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")
        await engine.actions.room_settings.delete(bob, room.uuid)


class TestDirectConversations:
    async def test_nobody_else_comes_in(self, engine):
        alice, bob, carol = await engine.people("alice", "bob", "carol")
        room = await engine.direct(alice, bob)
        with pytest.raises(InvalidInput):
            await engine.actions.membership.add(alice, room.uuid, [carol.user_uuid])
        with pytest.raises(InvalidInput):
            await engine.actions.membership.invite(alice, room.uuid, carol.user_uuid)
        with pytest.raises(NotFound):
            await engine.actions.membership.add(carol, room.uuid, [carol.user_uuid])


class TestAtTheSameTime:
    async def test_a_message_after_a_removal_is_refused_whatever_is_pending(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.group(alice, bob)
        await engine.says(bob, room, "hello")
        outcomes = await asyncio.gather(
            *(engine.says(bob, room, f"{n}") for n in range(5)),
            engine.actions.membership.remove(alice, room.uuid, bob.user_uuid),
            *(engine.says(bob, room, f"{n}") for n in range(5)),
            return_exceptions=True,
        )
        assert {type(each) for each in outcomes if isinstance(each, Exception)} <= {RuleBroken}
        history = [each.event for each in await history_of(engine, room)]
        removed = [event.content.get("membership") for event in history].index("leave")
        assert not [event for event in history[removed:] if event.sender == bob.user_id]

    async def test_rows_follow_the_last_of_many_changes_in_one_transaction(self, engine):
        alice, bob = await engine.people("alice", "bob")
        room = await engine.channel(alice)

        def draft(membership: str) -> Draft:
            return Draft(
                room_id=room.room_id,
                sender=bob.user_id,
                type="m.room.member",
                state_key=bob.user_id,
                content={"membership": membership},
            )

        drafts = [draft("join"), draft("leave"), draft("join"), draft("leave")]
        await engine.core.engine.writer.append(room, Append(compose=lambda _: drafts))
        assert await membership_of(engine, room, bob) == "leave"
        rows = await fetch(
            engine,
            "SELECT until_version - since_version AS length FROM room_state"
            " WHERE state_key = $1 ORDER BY since_version",
            bob.user_id,
        )
        assert [row["length"] for row in rows] == [1, 1, 1, None]
