"""Reads of the hub: what a client missed, and things as they are now."""

from homeserver.events.content import membership_of
from homeserver.messages import text_of
from homeserver.requester import Requester
from homeserver.views.live import RemovedEdit, RemovedMessage, RemovedReaction
from tests.support.server import Server, server

__all__ = ["server"]

ENOUGH = 1_000


async def missed(server: Server, by: Requester, after: int, limit: int = ENOUGH) -> list[str]:
    """Texts of messages, memberships and other types that a replay brings."""
    found = await server.views.live.replay(by.user_nid, after, server.position, limit)
    assert [each.position for each in found] == sorted({each.position for each in found})
    told = []
    for each in found:
        event = each.stored.event
        if event.type == "m.room.message":
            told.append(text_of(event.content))
        elif event.type == "m.room.member":
            name = (event.state_key or "")[1:].partition(":")[0]
            told.append(f"{name} {membership_of(event)} (was {each.prev_membership})")
        else:
            told.append(event.type)
    return told


class TestSubscriptions:
    async def test_they_are_the_rooms_that_one_is_in(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        first = await server.group(alice, bob)
        left = await server.group(alice, bob)
        await server.group(alice)
        await server.actions.membership.leave(bob, left.uuid)
        found = await server.views.live.subscriptions(bob.user_nid)
        assert found.room_nids == {first.room_nid}
        assert found.position == server.position

    async def test_an_invitation_is_none(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        assert not (await server.views.live.subscriptions(bob.user_nid)).room_nids


class TestReplay:
    async def test_a_member_gets_what_was_said_since(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "before")
        after = server.position
        await server.says(alice, room, "one")
        await server.says(bob, room, "two")
        assert await missed(server, bob, after) == ["one", "two"]

    async def test_rooms_come_in_the_order_of_the_stream(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        rooms = [await server.group(alice, bob) for _ in range(3)]
        after = server.position
        for index in range(9):
            await server.says(alice, rooms[index % 3], str(index))
        assert await missed(server, bob, after) == [str(index) for index in range(9)]
        assert await missed(server, bob, after, limit=4) == ["0", "1", "2", "3"]
        assert await missed(server, bob, after + 4, limit=4) == ["4", "5", "6", "7"]

    async def test_a_room_of_others_does_not_come(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        await server.says(alice, room, "secret")
        assert await missed(server, bob, 0) == []

    async def test_a_new_member_gets_nothing_from_before(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        after = server.position
        await server.says(alice, room, "before")
        await server.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        await server.says(alice, room, "after")
        assert await missed(server, bob, after) == [
            "bob invite (was leave)",
            "bob join (was invite)",
            "after",
        ]

    async def test_who_was_removed_gets_all_up_to_the_removal(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        after = server.position
        await server.says(alice, room, "still there")
        await server.actions.membership.remove(alice, room.uuid, bob.user_uuid)
        await server.says(alice, room, "gone")
        assert await missed(server, bob, after) == ["still there", "bob leave (was join)"]

    async def test_who_was_removed_before_gets_nothing(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.actions.membership.remove(alice, room.uuid, bob.user_uuid)
        after = server.position
        await server.says(alice, room, "gone")
        assert await missed(server, bob, after) == []

    async def test_an_absence_stays_unknown(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob)
        after = server.position
        await server.says(alice, room, "one")
        await server.actions.membership.leave(bob, room.uuid)
        await server.says(alice, room, "unheard")
        await server.actions.membership.join(bob, room.uuid)
        await server.says(alice, room, "two")
        assert await missed(server, bob, after) == [
            "one",
            "bob leave (was join)",
            "bob join (was leave)",
            "two",
        ]

    async def test_what_comes_after_the_end_is_left_out(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob)
        after = server.position
        await server.says(alice, room, "one")
        upto = server.position
        await server.says(alice, room, "two")
        await server.actions.membership.leave(bob, room.uuid)
        found = await server.views.live.replay(bob.user_nid, after, upto, ENOUGH)
        assert [text_of(each.stored.event.content) for each in found] == ["one"]

    async def test_an_invitation_and_its_end_come(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        after = server.position
        await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        await server.says(alice, room, "not for him")
        await server.actions.membership.remove(alice, room.uuid, bob.user_uuid)
        assert await missed(server, bob, after) == [
            "bob invite (was leave)",
            "bob leave (was invite)",
        ]

    async def test_a_new_name_is_no_new_beginning(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        after = server.position
        await server.says(alice, room, "one")
        content = {"membership": "join", "displayname": "Bobby"}
        await server.sends(bob, room, "m.room.member", content, state_key=bob.user_id)
        await server.says(alice, room, "two")
        assert await missed(server, bob, after) == ["one", "bob join (was join)", "two"]

    async def test_what_was_deleted_comes_without_content(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        after = server.position
        sent = await server.says(alice, room, "secret")
        await server.actions.send.edit(alice, sent.message_uuid, "secret too")
        await server.actions.send.delete(alice, sent.message_uuid)
        found = await server.views.live.replay(bob.user_nid, after, server.position, ENOUGH)
        assert found[0].stored.facts.redacted_by is not None
        assert found[0].stored.event.content == {}
        assert b"secret" not in found[0].stored.event.raw

    async def test_a_deleted_room_says_good_bye(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        after = server.position
        await server.actions.room_settings.delete(alice, room.uuid)
        told = await missed(server, bob, after)
        assert told[0] == "chat.foyer.deleted"
        assert "bob leave (was join)" in told


class TestReads:
    async def test_marks_come_from_rooms_that_one_is_in(self, server: Server) -> None:
        alice, bob, carol = await server.people("alice", "bob", "carol")
        room = await server.group(alice, bob)
        others = await server.group(alice, carol)
        sent = await server.says(alice, room, "one")
        elsewhere = await server.says(alice, others, "one")
        await server.reads(bob, room, sent.message_uuid)
        await server.reads(carol, others, elsewhere.message_uuid)
        upto = server.core.streams.receipts.position
        found = await server.views.live.reads(alice.user_nid, 0, upto, ENOUGH)
        assert {mark.reader_uuid for mark in found} == {bob.user_uuid, carol.user_uuid}
        found = await server.views.live.reads(bob.user_nid, 0, upto, ENOUGH)
        assert [(mark.reader_uuid, mark.message_uuid) for mark in found] == [
            (bob.user_uuid, sent.message_uuid)
        ]
        assert await server.views.live.reads(bob.user_nid, upto, upto, ENOUGH) == []


class TestThingsAsTheyAre:
    async def test_a_message_is_told_for_nobody_in_particular(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "hi")
        await server.actions.send.react(bob, sent.message_uuid, "👍")
        message = await server.views.live.message(sent.message_uuid)
        assert message is not None
        assert [(each.count, each.mine) for each in message.reactions] == [(1, False)]
        assert await server.views.live.message(room.uuid) is None

    async def test_a_room_has_its_own_name(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        direct = await server.direct(alice, bob)
        found = await server.views.live.room(direct.room_nid)
        assert found is not None
        assert (found.name, found.role, found.member_count) == (None, None, 2)
        assert await server.views.live.room(direct.room_nid + 1) is None

    async def test_a_user_without_account_has_no_address(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        found = await server.views.live.user(alice.user_uuid)
        assert found is not None
        assert (found.name, found.email, found.status) == ("Alice", None, "offline")

    async def test_unread_messages_are_counted(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "one")
        await server.says(alice, room, "two")
        assert await server.views.live.unread(bob.user_nid, room.room_nid) == 2
        assert await server.views.live.unread(alice.user_nid, room.room_nid) == 0
        assert await server.views.live.unread(bob.user_nid, room.room_nid + 1) == 0


class TestRemoved:
    async def removed(self, server: Server, after: int) -> object:
        (redaction,) = server.core.streams.events.since(after) or ()
        return await server.views.live.removed(redaction)

    async def test_a_redaction_takes_a_message(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "oops")
        await server.actions.send.delete(alice, sent.message_uuid)
        assert await self.removed(server, sent.position) == RemovedMessage(sent.message_uuid)

    async def test_a_redaction_takes_a_reaction(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hi")
        await server.actions.send.react(alice, sent.message_uuid, "👍")
        after = server.position
        await server.actions.send.unreact(alice, sent.message_uuid, "👍")
        assert await self.removed(server, after) == RemovedReaction(sent.message_uuid, "👍")

    async def test_a_redaction_takes_an_edit(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hi")
        edit = await server.actions.send.edit(alice, sent.message_uuid, "ho")
        after = server.position
        await server.actions.send.delete(alice, edit.message_uuid)
        assert await self.removed(server, after) == RemovedEdit(sent.message_uuid)

    async def test_a_redaction_without_effect_takes_nothing(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "hi")
        await server.sends(bob, room, "m.room.redaction", {"redacts": sent.event_id})
        assert await self.removed(server, sent.position) is None
