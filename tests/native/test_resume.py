"""`/ws?cursor=…`: what was missed comes first, in order, then what happens now."""

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from clientapi.native import hub
from homeserver.errors import Unavailable
from schema.wire.errors import CloseCode
from tests.native.stage import on_stage


async def contents(client, count):
    return [(await client.hears("message.new"))["message"]["content"] for _ in range(count)]


class TestBeginning:
    async def test_without_a_cursor_nothing_comes_unasked(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.says("alice", room, "long ago")
            bob = await stage.connects("bob")
            assert await bob.is_idle()

    async def test_now_tells_where_one_is(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.says("alice", room, "long ago")
            bob = await stage.connects("bob", cursor="now")
            assert await bob.frame() == {"type": "resumed", "cursor": "e1_r0", "replayed": 0}
            stage.says("alice", room, "hello")
            assert (await bob.hears("message.new"))["cursor"] == "e2_r0"


@pytest.mark.parametrize("keeps", [10_000, 0], ids=["from memory", "from the database"])
class TestResuming:
    async def test_what_was_missed_comes_in_order(self, keeps):
        async with on_stage() as stage:
            stage.events.keeps = keeps
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob", cursor="now")
            await bob.hears("resumed")
            stage.says("alice", room, "heard")
            await bob.hears("message.new")
            await bob.leaves()
            for number in range(450):
                stage.says("alice", room, str(number))
            bob = await stage.connects("bob", cursor=bob.cursor)
            assert await contents(bob, 450) == [str(number) for number in range(450)]
            resumed = await bob.hears("resumed")
            assert (resumed["replayed"], resumed["cursor"]) == (450, bob.cursor)
            stage.says("alice", room, "live")
            assert await contents(bob, 1) == ["live"]

    async def test_resuming_with_nothing_missed(self, keeps):
        async with on_stage() as stage:
            stage.events.keeps = keeps
            room = stage.room("alice", "bob")
            stage.says("alice", room, "x")
            bob = await stage.connects("bob", cursor="e1_r0")
            assert await bob.frame() == {"type": "resumed", "cursor": "e1_r0", "replayed": 0}

    async def test_what_happens_meanwhile_comes_afterwards_and_once(self, keeps):
        async with on_stage() as stage:
            stage.events.keeps = keeps
            room = stage.room("alice", "bob")
            first = stage.says("alice", room, "one")
            stage.edits(first, "two")
            stage.views.lookups.clear()
            bob = await stage.connects("bob", cursor="e0_r0")
            stage.says("alice", room, "three")
            stage.says("alice", room, "four")
            stage.views.lookups.set()
            assert await contents(bob, 1) == ["one"]
            assert (await bob.hears("message.updated"))["message"]["content"] == "two"
            assert (await bob.hears("resumed"))["replayed"] == 2
            assert await contents(bob, 2) == ["three", "four"]
            assert await bob.is_idle()

    async def test_a_deleted_message_comes_without_what_it_said(self, keeps):
        async with on_stage() as stage:
            stage.events.keeps = keeps
            room = stage.room("alice", "bob")
            stage.redacts("alice", stage.says("alice", room, "a secret"))
            bob = await stage.connects("bob", cursor="e0_r0")
            assert await contents(bob, 1) == [""]
            await bob.hears("message.deleted")
            # It was no news for long: it cannot be counted from what was sent again.
            await bob.hears("unread")
            await bob.hears("resumed")

    async def test_read_marks_that_were_missed_come_too(self, keeps):
        async with on_stage() as stage:
            stage.events.keeps = keeps
            room = stage.room("alice", "bob")
            message = stage.says("alice", room, "x")
            stage.reads("alice", message)
            bob = await stage.connects("bob", cursor="e1_r0")
            read = await bob.hears("message.read")
            assert read["user_id"] == str(stage.person("alice").uuid)
            assert (await bob.hears("resumed"))["cursor"] == "e1_r1"


class TestMembershipsThatWereMissed:
    async def test_only_what_was_said_while_one_was_a_member_comes(self):
        async with on_stage() as stage:
            room, other = stage.room("alice"), stage.room("alice", "bob")
            stage.says("alice", room, "before")
            stage.happens(stage.membership(room, "bob", "join"))
            stage.says("alice", room, "during")
            stage.says("alice", other, "elsewhere")
            stage.happens(stage.membership(room, "bob", "leave", by="alice"))
            stage.says("alice", room, "after")
            bob = await stage.connects("bob", cursor="e0_r0")
            await bob.hears("room.joined")
            assert await contents(bob, 2) == ["during", "elsewhere"]
            assert (await bob.hears("room.left"))["reason"] == "removed"
            assert (await bob.hears("resumed"))["replayed"] == 4

    async def test_several_changes_of_a_room_are_told_as_one(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            for number in range(5):
                stage.happens(stage.membership(room, f"member{number}", "join"))
            bob = await stage.connects("bob", cursor="e0_r0")
            for _ in range(5):
                await bob.hears("member.joined")
            assert len((await bob.hears("room.updated"))["room"]["members"]) == 7
            await bob.hears("resumed")

    async def test_a_change_before_an_invitation_is_told_too(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob", "carol")
            stage.happens(stage.membership(room, "carol", "leave"))
            stage.happens(stage.membership(room, "carol", "invite", by="alice"))
            bob = await stage.connects("bob", cursor="e0_r0")
            # Who hears only this comes back with a cursor that does not name the event.
            assert (await bob.hears("member.left"))["cursor"] == "e0_r0"
            assert (await bob.hears("room.updated"))["room"]["member_count"] == 2
            await bob.hears("resumed")


class TestTooMuch:
    async def test_who_missed_too_much_starts_afresh(self):
        async with on_stage(resume_max_events=10) as stage:
            room = stage.room("alice", "bob")
            stage.events.keeps = 5
            for number in range(300):
                stage.says("alice", room, str(number))
            bob = await stage.connects("bob", cursor="e0_r0")
            assert (await bob.hears("error"))["code"] == "CURSOR_TOO_OLD"
            assert (await bob.hears("resumed"))["cursor"] == "e300_r0"
            stage.says("alice", room, "live")
            assert await contents(bob, 1) == ["live"]

    @pytest.mark.parametrize("cursor", ["nonsense", "e1", "e-1_r0", "e1_r1%20", "e" + "9" * 30])
    async def test_a_cursor_that_is_none(self, cursor):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.says("alice", room, "x")
            bob = await stage.connects("bob", cursor=cursor)
            error = await bob.hears("error")
            assert (error["code"], error["field"]) == ("INVALID_INPUT", "cursor")
            assert (await bob.hears("error"))["code"] == "CURSOR_TOO_OLD"
            assert (await bob.hears("resumed"))["cursor"] == "e1_r0"

    async def test_a_cursor_from_the_future(self):
        """The database came back from a backup."""
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.says("alice", room, "x")
            bob = await stage.connects("bob", cursor="e500_r0")
            assert (await bob.hears("error"))["code"] == "CURSOR_TOO_OLD"
            assert (await bob.hears("resumed"))["cursor"] == "e1_r0"


class TestWhenTheDatabaseIsAway:
    async def test_nobody_is_let_in_who_would_not_hear_his_rooms(self):
        async with on_stage() as stage:
            stage.room("bob")
            stage.views.subscriptions = unavailable
            with pytest.raises(InvalidStatus) as refused:
                await stage.connects("bob")
            assert refused.value.response.status_code == 503

    async def test_who_cannot_be_given_what_he_missed_tries_again(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.events.keeps = 0
            stage.says("alice", room, "x")
            stage.views.replay = unavailable
            bob = await stage.connects("bob", cursor="e0_r0")
            assert (await bob.hears("error"))["code"] == "UNAVAILABLE"
            assert await bob.ends() == CloseCode.RESTART

    async def test_what_happens_live_waits_for_it(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            first = stage.says("alice", room, "one")
            await bob.hears("message.new")
            look_up, stage.views.message = stage.views.message, unavailable
            stage.edits(first, "two")
            stage.says("alice", room, "three")
            assert await bob.is_idle()
            stage.views.message = look_up
            assert (await bob.hears("message.updated"))["message"]["content"] == "two"
            assert await contents(bob, 1) == ["three"]

    async def test_if_too_much_waits_everybody_resumes(self, monkeypatch):
        monkeypatch.setattr(hub, "MAX_WAITING", 10)
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob", cursor="now")
            await bob.hears("resumed")
            first = stage.says("alice", room, "one")
            await bob.hears("message.new")
            stage.views.lookups.clear()
            stage.edits(first, "two")
            for number in range(20):
                stage.says("alice", room, str(number))
            assert await bob.ends() == CloseCode.RESTART
            stage.views.lookups.set()
            bob = await stage.connects("bob", cursor=bob.cursor)
            await bob.hears("message.updated")
            assert await contents(bob, 20) == [str(number) for number in range(20)]
            await bob.hears("resumed")


async def unavailable(*_args):
    raise Unavailable("The database is away")


class TestAnswersMeanwhile:
    async def test_an_answer_does_not_wait_and_names_no_later_cursor(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.edits(stage.says("alice", room, "one"), "two")
            stage.views.lookups.clear()
            bob = await stage.connects("bob", cursor="e0_r0")
            await bob.says("message.send", room_id=room.uuid, content="three", ref="r")
            assert (await bob.hears("message.sent"))["cursor"] == "e0_r0"
            stage.views.lookups.set()
            await bob.hears("message.new")
            await bob.hears("message.updated")
            await bob.hears("resumed")
            assert await contents(bob, 1) == ["three"]


class TestEnteringExactly:
    async def test_nothing_is_missed_or_doubled_while_the_rooms_are_loaded(self):
        async with on_stage() as stage:
            room, left = stage.room("alice", "bob"), stage.room("alice", "bob")
            loaded, go_on = asyncio.Event(), asyncio.Event()
            load = stage.views.subscriptions

            async def slowly(user_nid):
                found = await load(user_nid)
                loaded.set()
                await go_on.wait()
                return found

            stage.views.subscriptions = slowly
            connecting = asyncio.ensure_future(stage.connects("bob", cursor="e0_r0"))
            await loaded.wait()
            stage.says("alice", room, "while loading")
            stage.happens(stage.membership(left, "bob", "leave"))
            stage.says("alice", left, "not for bob")
            new = stage.room("alice")
            stage.happens(stage.membership(new, "bob", "join"))
            go_on.set()
            bob = await connecting
            stage.says("alice", new, "welcome")
            stage.says("alice", left, "not for bob either")
            stage.says("alice", room, "after loading")
            assert await contents(bob, 1) == ["while loading"]
            await bob.hears("room.left")
            await bob.hears("room.joined")
            await bob.hears("resumed")
            assert await contents(bob, 2) == ["welcome", "after loading"]

    async def test_rooms_of_a_later_position_wait_for_the_stream(self):
        """The database may be ahead of what this process was told."""
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            message = stage.message("alice", room, "on its way")
            load = stage.views.subscriptions

            async def ahead(user_nid):
                found = await load(user_nid)
                asyncio.get_running_loop().call_soon(stage.happens, message)
                return type(found)(message.position, found.room_nids)

            stage.views.subscriptions = ahead
            bob = await stage.connects("bob", cursor="now")
            assert (await bob.hears("resumed"))["cursor"] == "e1_r0"
            assert await bob.is_idle()
