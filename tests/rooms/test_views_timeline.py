"""Pages of messages, threads, single messages, receipts."""

from uuid import uuid4

import pytest

from homeserver.errors import InvalidInput, NotFound
from homeserver.events.stored import RoomRecord
from homeserver.requester import Requester
from homeserver.storage import room_state
from tests.support.queries import counted
from tests.support.server import Server, server

__all__ = ["server"]


async def reads(server: Server, by: Requester, room: RoomRecord, **more) -> list[str]:
    """The texts of a page."""
    return [m.text for m in await server.views.timeline.page(by, room.uuid, **more)]


async def refused(coroutine) -> str:
    """What a read says is not there."""
    with pytest.raises(NotFound) as error:
        await coroutine
    return error.value.kind


def edit(target: str, text: str, **more) -> dict:
    return {
        "body": f"* {text}",
        "m.new_content": {"msgtype": "m.text", "body": text},
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
    } | more


class TestPages:
    async def test_the_newest_messages_come_oldest_first(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        for index in range(5):
            await server.says(alice, room, str(index))
        assert await reads(server, alice, room, limit=3) == ["2", "3", "4"]

    async def test_pages_join_without_gap_or_overlap(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        for index in range(10):
            await server.says(alice, room, str(index))
        seen: list[str] = []
        before = None
        while page := await server.views.timeline.page(alice, room.uuid, 3, before):
            seen = [*(m.text for m in page), *seen]
            before = page[0].uuid
        assert seen == [str(index) for index in range(10)]

    async def test_deleted_messages_and_edits_are_not_in_it(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        gone = await server.says(alice, room, "gone")
        kept = await server.says(alice, room, "kept")
        await server.actions.send.edit(alice, kept.message_uuid, "better")
        await server.actions.send.react(alice, kept.message_uuid, "👍")
        await server.actions.send.delete(alice, gone.message_uuid)
        assert await reads(server, alice, room) == ["better"]

    async def test_a_deleted_message_still_marks_a_place(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        await server.says(alice, room, "one")
        gone = await server.says(alice, room, "gone")
        await server.says(alice, room, "two")
        await server.actions.send.delete(alice, gone.message_uuid)
        assert await reads(server, alice, room, before=gone.message_uuid) == ["one"]

    async def test_messages_in_threads_are_in_it(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        root = await server.says(alice, room, "root")
        await server.says(alice, room, "reply", thread=root.message_uuid)
        first, second = await server.views.timeline.page(alice, room.uuid)
        assert (first.thread_count, first.thread) == (1, None)
        assert (second.thread, second.reply_to) == (root.message_uuid, None)

    async def test_an_unknown_place_is_refused(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room, other = await server.group(alice), await server.group(alice)
        elsewhere = await server.says(alice, other, "elsewhere")
        page = server.views.timeline.page
        assert await refused(page(alice, room.uuid, 3, elsewhere.message_uuid)) == "message"
        assert await refused(page(alice, room.uuid, 3, uuid4())) == "message"

    @pytest.mark.parametrize("limit", [0, -1, 201])
    async def test_an_impossible_limit_is_refused(self, server: Server, limit: int) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        with pytest.raises(InvalidInput):
            await server.views.timeline.page(alice, room.uuid, limit)

    async def test_the_number_of_queries_does_not_depend_on_the_page(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)

        async def queries() -> int:
            async with counted(server.database) as statements:
                await server.views.timeline.page(bob, room.uuid)
            return len(statements)

        first = await server.says(alice, room, "first")
        await server.actions.send.react(bob, first.message_uuid, "👍")
        few = await queries()
        for index in range(20):
            sent = await server.says(alice, room, str(index), thread=first.message_uuid)
            await server.actions.send.edit(alice, sent.message_uuid, f"{index}!")
            for key in "🎉👍":
                await server.actions.send.react(bob, sent.message_uuid, key)
        assert await queries() == few <= 8


class TestWhoMayRead:
    async def test_a_stranger_does_not_learn_that_there_is_a_room(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice)
        sent = await server.says(alice, room, "hi")
        timeline = server.views.timeline
        assert await refused(timeline.page(bob, room.uuid)) == "room"
        assert await refused(timeline.page(bob, uuid4())) == "room"
        assert await refused(timeline.message(bob, sent.message_uuid)) == "message"
        assert await refused(timeline.thread(bob, sent.message_uuid)) == "message"
        assert await refused(timeline.receipts_of(bob, sent.message_uuid)) == "message"

    async def test_who_left_reads_nothing_more(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "hi")
        await server.actions.membership.leave(bob, room.uuid)
        assert await refused(server.views.timeline.page(bob, room.uuid)) == "room"
        assert await refused(server.views.timeline.message(bob, sent.message_uuid)) == "message"

    async def test_who_is_invited_reads_nothing_yet(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        assert await refused(server.views.timeline.page(bob, room.uuid)) == "room"

    async def test_a_deleted_room_is_gone(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hi")
        await server.actions.room_settings.delete(alice, room.uuid)
        assert await refused(server.views.timeline.page(alice, room.uuid)) == "room"
        assert await refused(server.views.timeline.message(alice, sent.message_uuid)) == "message"

    @pytest.mark.parametrize(
        ("visibility", "seen"),
        [
            ("shared", ["early", "invited", "late"]),
            ("world_readable", ["early", "invited", "late"]),
            ("invited", ["invited", "late"]),
            ("joined", ["late"]),
        ],
    )
    async def test_history_visibility_decides_about_the_past(
        self, server: Server, visibility: str, seen: list[str]
    ) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, history_visibility=visibility)
        early = await server.says(alice, room, "early")
        await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        await server.says(alice, room, "invited")
        await server.actions.membership.join(bob, room.uuid)
        await server.says(alice, room, "late")
        assert await reads(server, bob, room) == seen
        assert await reads(server, bob, room, limit=1) == ["late"]
        if "early" not in seen:
            message = server.views.timeline.message(bob, early.message_uuid)
            assert await refused(message) == "message"

    async def test_an_absence_stays_hidden_where_history_is(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob, history_visibility="joined")
        await server.says(alice, room, "one")
        await server.actions.membership.leave(bob, room.uuid)
        root = await server.says(alice, room, "hidden")
        await server.actions.membership.join(bob, room.uuid)
        await server.says(alice, room, "two", thread=root.message_uuid)
        assert await reads(server, bob, room) == ["one", "two"]
        assert await reads(server, bob, room, limit=1) == ["two"]
        assert await reads(server, alice, room) == ["one", "hidden", "two"]

    async def test_what_was_hidden_stays_hidden_when_history_opens(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, history_visibility="joined")
        await server.says(alice, room, "hidden")
        visibility = {"history_visibility": "shared"}
        await server.sends(alice, room, "m.room.history_visibility", visibility, state_key="")
        await server.says(alice, room, "open")
        await server.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        await server.says(alice, room, "new")
        assert await reads(server, bob, room) == ["open", "new"]

    async def test_on_a_fork_its_own_state_decides(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "seen")
        forked = await server.says(alice, room, "forked")
        hidden = {"history_visibility": "joined"}
        event = await server.sends(alice, room, "m.room.history_visibility", hidden, state_key="")
        entries = {
            ("m.room.history_visibility", ""): event.facts.event_nid,
            ("m.room.member", bob.user_id): None,
        }
        async with server.database.transaction() as db:
            base = await db.fetchval(
                "SELECT state_version FROM events WHERE uuid = $1", forked.message_uuid
            )
            fork = await room_state.insert_fork(db, room.room_nid, base, entries)
            await db.execute(
                "UPDATE events SET fork_nid = $1 WHERE uuid = $2", fork, forked.message_uuid
            )
        assert await reads(server, bob, room) == ["seen"]
        assert await reads(server, alice, room) == ["seen", "forked"]


class TestEdits:
    """C-S API v1.19 "Validity of replacement events"."""

    async def test_the_most_recent_one_counts(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        for text in ("two", "three"):
            server.clock.ms += 10
            await server.actions.send.edit(alice, sent.message_uuid, text)
        message = await server.views.timeline.message(alice, sent.message_uuid)
        assert message.text == "three"
        assert message.edited_at_ms == server.clock.ms
        assert message.created_at_ms == sent.created_at_ms

    async def test_most_recent_is_by_time_not_by_arrival(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        server.clock.ms += 100
        await server.actions.send.edit(alice, sent.message_uuid, "newer")
        server.clock.ms -= 50
        await server.actions.send.edit(alice, sent.message_uuid, "older")
        assert await reads(server, alice, room) == ["newer"]

    async def test_of_the_same_time_the_largest_id_counts(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        texts: dict[str, str] = {}
        for index in range(4):
            made = await server.actions.send.edit(alice, sent.message_uuid, f"edit {index}")
            texts[made.event_id] = f"edit {index}"
        assert await reads(server, alice, room) == [texts[max(texts)]]

    async def test_somebody_elses_does_not_count(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "mine")
        await server.sends(bob, room, "m.room.message", edit(sent.event_id, "yours"))
        assert await reads(server, alice, room) == ["mine"]

    async def test_one_from_another_room_does_not_count(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room, other = await server.group(alice), await server.group(alice)
        sent = await server.says(alice, room, "here")
        await server.sends(alice, other, "m.room.message", edit(sent.event_id, "there"))
        assert await reads(server, alice, room) == ["here"]

    async def test_one_of_another_type_does_not_count(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "text")
        await server.sends(alice, room, "m.sticker", edit(sent.event_id, "sticker"))
        assert await reads(server, alice, room) == ["text"]

    async def test_one_without_new_content_does_not_count(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        await server.sends(alice, room, "m.room.message", edit(sent.event_id, "two"))
        content = edit(sent.event_id, 'no "m.new_content":{')
        del content["m.new_content"]
        await server.sends(alice, room, "m.room.message", content)
        await server.sends(
            alice, room, "m.room.message", content | {"m.new_content": "not an object"}
        )
        assert await reads(server, alice, room) == ["two"]

    async def test_a_state_event_does_not_edit(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        content = edit(sent.event_id, "two")
        await server.sends(alice, room, "m.room.message", content, state_key="")
        assert await reads(server, alice, room) == ["one"]

    async def test_an_edit_of_an_edit_does_not_count(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        first = await server.sends(alice, room, "m.room.message", edit(sent.event_id, "two"))
        await server.sends(alice, room, "m.room.message", edit(first.event.event_id, "three"))
        assert await reads(server, alice, room) == ["two"]

    async def test_a_deleted_edit_gives_the_one_before_back(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "one")
        edits = []
        for text in ("two", "three"):
            server.clock.ms += 1
            edits.append(await server.actions.send.edit(alice, sent.message_uuid, text))
        await server.actions.send.delete(alice, edits[1].message_uuid)
        assert await reads(server, alice, room) == ["two"]
        await server.actions.send.delete(alice, edits[0].message_uuid)
        message = await server.views.timeline.message(alice, sent.message_uuid)
        assert (message.text, message.edited_at_ms) == ("one", None)


class TestReactions:
    async def test_they_are_counted_by_key(self, server: Server) -> None:
        alice, bob, carol = await server.people("alice", "bob", "carol")
        room = await server.group(alice, bob, carol)
        sent = await server.says(alice, room, "hi")
        for who, key in ((bob, "👍"), (alice, "🎉"), (carol, "👍")):
            await server.actions.send.react(who, sent.message_uuid, key)
        (message,) = await server.views.timeline.page(bob, room.uuid)
        assert [(r.key, r.count, r.users, r.mine) for r in message.reactions] == [
            ("👍", 2, (bob.user_uuid, carol.user_uuid), True),
            ("🎉", 1, (alice.user_uuid,), False),
        ]

    async def test_one_that_was_taken_back_does_not_count(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "hi")
        for who in (alice, bob):
            await server.actions.send.react(who, sent.message_uuid, "👍")
        await server.actions.send.unreact(alice, sent.message_uuid, "👍")
        (message,) = await server.views.timeline.page(alice, room.uuid)
        assert [(r.count, r.mine) for r in message.reactions] == [(1, False)]
        await server.actions.send.react(alice, sent.message_uuid, "👍")
        (message,) = await server.views.timeline.page(alice, room.uuid)
        assert [(r.count, r.mine) for r in message.reactions] == [(2, True)]

    async def test_one_from_another_room_does_not_count(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room, other = await server.group(alice), await server.group(bob)
        sent = await server.says(alice, room, "hi")
        content = {
            "m.relates_to": {"rel_type": "m.annotation", "event_id": sent.event_id, "key": "👎"}
        }
        await server.sends(bob, other, "m.reaction", content)
        (message,) = await server.views.timeline.page(alice, room.uuid)
        assert message.reactions == ()

    async def test_only_reactions_react(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hi")
        content = {
            "m.relates_to": {"rel_type": "m.annotation", "event_id": sent.event_id, "key": "ok"}
        }
        await server.sends(alice, room, "org.example.status", content)
        (message,) = await server.views.timeline.page(alice, room.uuid)
        assert message.reactions == ()

    async def test_of_many_people_fifty_are_named(self, server: Server) -> None:
        people = await server.people(*(f"user{index}" for index in range(55)))
        room = await server.group(*people)
        sent = await server.says(people[0], room, "hi")
        for person in people:
            await server.actions.send.react(person, sent.message_uuid, "👍")
        (message,) = await server.views.timeline.page(people[54], room.uuid)
        (reaction,) = message.reactions
        assert (reaction.count, reaction.mine) == (55, True)
        assert reaction.users == tuple(person.user_uuid for person in people[:50])


class TestOneMessage:
    async def test_it_is_as_in_the_page(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        first = await server.says(alice, room, "one")
        second = await server.says(bob, room, "two", reply_to=first.message_uuid)
        message = await server.views.timeline.message(alice, second.message_uuid)
        assert message == (await server.views.timeline.page(alice, room.uuid))[1]
        assert (message.reply_to, message.sender.name) == (first.message_uuid, "Bob")
        assert (message.room_uuid, message.position) == (room.uuid, second.position)

    async def test_a_deleted_one_says_only_that(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "secret")
        await server.actions.send.edit(alice, sent.message_uuid, "secret too")
        await server.actions.send.react(bob, sent.message_uuid, "👍")
        server.clock.ms += 500
        await server.actions.send.delete(alice, sent.message_uuid)
        message = await server.views.timeline.message(bob, sent.message_uuid)
        assert (message.text, message.reactions, message.edited_at_ms) == ("", (), None)
        assert message.deleted_at_ms == server.clock.ms
        assert message.sender.uuid == alice.user_uuid
        assert b"secret" not in message.event.raw

    async def test_what_is_no_message_is_not_found(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hi")
        made = await server.actions.send.edit(alice, sent.message_uuid, "ho")
        reacted = await server.actions.send.react(alice, sent.message_uuid, "👍")
        for uuid in (made.message_uuid, reacted.message_uuid, room.uuid, uuid4()):
            assert await refused(server.views.timeline.message(alice, uuid)) == "message"


class TestThreads:
    async def test_replies_come_in_pages(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        root = await server.says(alice, room, "root")
        for index in range(5):
            await server.says(bob, room, str(index), thread=root.message_uuid)
            await server.says(bob, room, "beside")
        page = await server.views.timeline.thread(alice, root.message_uuid, 2)
        assert [m.text for m in page] == ["3", "4"]
        page = await server.views.timeline.thread(alice, root.message_uuid, 9, page[0].uuid)
        assert [m.text for m in page] == ["0", "1", "2"]

    async def test_any_message_of_a_thread_stands_for_it(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        root = await server.says(alice, room, "root")
        reply = await server.says(alice, room, "reply", thread=root.message_uuid)
        page = await server.views.timeline.thread(alice, reply.message_uuid)
        assert [m.text for m in page] == ["reply"]

    async def test_a_deleted_root_keeps_its_thread(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        root = await server.says(alice, room, "root")
        await server.says(alice, room, "kept", thread=root.message_uuid)
        gone = await server.says(alice, room, "gone", thread=root.message_uuid)
        await server.actions.send.delete(alice, root.message_uuid)
        await server.actions.send.delete(alice, gone.message_uuid)
        page = await server.views.timeline.thread(alice, root.message_uuid)
        assert [m.text for m in page] == ["kept"]
        assert (await server.views.timeline.message(alice, root.message_uuid)).thread_count == 1

    async def test_replies_from_another_room_are_none(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room, other = await server.group(alice), await server.group(bob)
        root = await server.says(alice, room, "root")
        content = {
            "body": "intruder",
            "m.relates_to": {"rel_type": "m.thread", "event_id": root.event_id},
        }
        await server.sends(bob, other, "m.room.message", content)
        assert await server.views.timeline.thread(alice, root.message_uuid) == []
        assert (await server.views.timeline.message(alice, root.message_uuid)).thread_count == 0


class TestReceipts:
    async def test_others_are_told_with_times(self, server: Server) -> None:
        alice, bob, carol, dave = await server.people("alice", "bob", "carol", "dave")
        room = await server.group(alice, bob, carol, dave)
        first = await server.says(alice, room, "one")
        second = await server.says(alice, room, "two")
        server.clock.ms = 1_800_000_000_000
        await server.reads(bob, room, second.message_uuid)
        await server.reads(carol, room, first.message_uuid)
        await server.reads(alice, room, second.message_uuid)
        receipts = await server.views.timeline.receipts_of(dave, first.message_uuid)
        assert [(r.user.name, r.read_at_ms) for r in receipts] == [
            ("Bob", server.clock.ms),
            ("Carol", server.clock.ms),
        ]
        receipts = await server.views.timeline.receipts_of(alice, second.message_uuid)
        assert [(r.user.name, r.delivered_at_ms) for r in receipts] == [("Bob", server.clock.ms)]

    async def test_who_left_is_not_told(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "one")
        await server.reads(bob, room, sent.message_uuid)
        await server.actions.membership.leave(bob, room.uuid)
        assert await server.views.timeline.receipts_of(alice, sent.message_uuid) == []
