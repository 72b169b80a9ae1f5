"""Who joins hears a room from there on; who leaves hears nothing more of it."""

from tests.native.stage import on_stage


class TestJoining:
    async def test_the_members_and_the_new_one_are_told(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.happens(stage.membership(room, "bob", "join"))
            joined = await alice.hears("member.joined")
            assert joined["user_name"] == "Bob"
            assert joined["user_id"] == str(stage.person("bob").uuid)
            updated = (await alice.hears("room.updated"))["room"]
            ids = [str(stage.person(name).uuid) for name in ("alice", "bob")]
            assert (updated["members"], updated["member_count"]) == (ids, 2)
            own = (await bob.hears("room.joined"))["room"]
            assert (own["id"], own["members"]) == (str(room.uuid), ids)

    async def test_he_hears_what_is_said_from_then_on(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            bob = await stage.connects("bob")
            stage.says("alice", room, "before")
            stage.happens(stage.membership(room, "bob", "join"))
            stage.says("alice", room, "after")
            await bob.hears("room.joined")
            assert (await bob.hears("message.new"))["message"]["content"] == "after"

    async def test_who_connects_later_hears_the_room(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            stage.happens(stage.membership(room, "bob", "join"))
            bob = await stage.connects("bob")
            stage.says("alice", room, "welcome")
            assert (await bob.hears("message.new"))["message"]["content"] == "welcome"

    async def test_a_new_name_is_no_new_member(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            again = stage.event(
                "alice",
                room,
                "m.room.member",
                {"membership": "join", "displayname": "A."},
                state_key=stage.person("alice").user_id,
                prev_membership="join",
            )
            stage.happens(again)
            assert await bob.is_idle()

    async def test_many_who_join_at_once_are_one_change(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            names = ["bob", *(f"member{number}" for number in range(10))]
            batch = []
            for name in names:
                batch.append(stage.membership(room, name, "invite", by="alice"))
                batch.append(stage.membership(room, name, "join"))
            stage.happens(*batch)
            for _ in names:
                await alice.hears("member.joined")
            assert len((await alice.hears("room.updated"))["room"]["members"]) == 12
            # Bob gets the room as it is afterwards, and no invitation that was answered already.
            assert len((await bob.hears("room.joined"))["room"]["members"]) == 12
            assert await bob.is_idle()
            assert await alice.is_idle()
            assert stage.views.asked["room"] <= 4

    async def test_a_direct_room_has_the_name_of_the_other(self):
        async with on_stage() as stage:
            room = stage.room("alice", kind="direct", name=None)
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.happens(stage.membership(room, "bob", "join"))
            assert (await bob.hears("room.joined"))["room"]["name"] == "Alice"
            await alice.hears("member.joined")
            assert (await alice.hears("room.updated"))["room"]["name"] == "Bob"


class TestLeaving:
    async def test_a_removed_member_hears_that_and_nothing_more(self):
        async with on_stage() as stage:
            room, other = stage.room("alice", "bob"), stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.happens(
                stage.membership(room, "bob", "leave", by="alice"),
                stage.message("alice", room, "he is gone"),
            )
            stage.says("alice", other, "but here he is")
            left = await bob.hears("room.left")
            assert (left["room_id"], left["reason"]) == (str(room.uuid), "removed")
            assert (await bob.hears("message.new"))["message"]["content"] == "but here he is"
            gone = await alice.hears("member.left")
            assert (gone["user_name"], gone["reason"]) == ("Bob", "removed")
            assert len((await alice.hears("room.updated"))["room"]["members"]) == 1
            assert (await alice.hears("message.new"))["message"]["content"] == "he is gone"

    async def test_what_was_said_before_is_still_heard(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            stage.happens(
                stage.message("alice", room, "good-bye"),
                stage.membership(room, "bob", "ban", by="alice"),
            )
            assert (await bob.hears("message.new"))["message"]["content"] == "good-bye"
            assert (await bob.hears("room.left"))["reason"] == "banned"

    async def test_who_leaves_is_told_on_all_devices(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            devices = [await stage.connects("bob") for _ in range(3)]
            stage.happens(stage.membership(room, "bob", "leave"))
            for device in devices:
                assert (await device.hears("room.left"))["reason"] == "left"

    async def test_who_comes_back_hears_the_room_again(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            stage.happens(
                stage.membership(room, "bob", "leave"),
                stage.message("alice", room, "unheard"),
                stage.membership(room, "bob", "join"),
                stage.message("alice", room, "heard"),
            )
            await bob.hears("room.left")
            await bob.hears("room.joined")
            assert (await bob.hears("message.new"))["message"]["content"] == "heard"

    async def test_a_removal_takes_effect_even_if_nothing_can_be_looked_up(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")

            async def broken(_room_nid):
                raise ZeroDivisionError

            stage.views.room = broken
            stage.happens(
                stage.membership(room, "bob", "leave", by="alice"),
                stage.message("alice", room, "he is gone"),
            )
            await bob.hears("room.left")
            assert await bob.is_idle()


class TestInvitations:
    async def test_only_who_is_invited_is_told(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.happens(stage.membership(room, "bob", "invite", by="alice"))
            invited = await bob.hears("room.invited")
            person = stage.person("alice")
            by = {"id": str(person.uuid), "name": "Alice", "user_id": person.user_id}
            assert invited["by"] == by
            assert (invited["room"]["id"], invited["room"]["members"]) == (str(room.uuid), [])
            assert await alice.is_idle()

    async def test_an_invitation_lets_nobody_hear(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            bob = await stage.connects("bob")
            stage.happens(stage.membership(room, "bob", "invite", by="alice"))
            await bob.hears("room.invited")
            stage.says("alice", room, "not yet")
            assert await bob.is_idle()

    async def test_one_that_is_taken_back_is_gone(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            bob = await stage.connects("bob")
            stage.happens(stage.membership(room, "bob", "invite", by="alice"))
            await bob.hears("room.invited")
            stage.happens(stage.membership(room, "bob", "leave", by="alice"))
            assert (await bob.hears("room.left"))["reason"] == "removed"


class TestRooms:
    async def test_a_new_name_is_told(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob", name="Old")
            bob = await stage.connects("bob")
            room.name = "New"
            stage.happens(stage.event("alice", room, "m.room.name", {"name": "New"}, state_key=""))
            assert (await bob.hears("room.updated"))["room"]["name"] == "New"

    async def test_a_large_room_lists_some_of_its_members(self):
        async with on_stage() as stage:
            room = stage.room("alice", *(f"member{number}" for number in range(299)))
            alice = await stage.connects("alice")
            stage.happens(stage.event("alice", room, "m.room.topic", {"topic": "t"}, state_key=""))
            told = (await alice.hears("room.updated"))["room"]
            assert (len(told["members"]), told["member_count"]) == (250, 300)
            assert told["members_truncated"] is True

    async def test_in_a_large_room_new_members_are_only_named(self):
        async with on_stage() as stage:
            room = stage.room("alice", *(f"member{number}" for number in range(299)))
            alice = await stage.connects("alice")
            stage.happens(stage.membership(room, "bob", "join"))
            await alice.hears("member.joined")
            assert await alice.is_idle()

    async def test_a_deleted_room_is_gone_for_everybody(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            del stage.rooms[room.record.room_nid]
            stage.happens(
                stage.event("alice", room, "chat.foyer.deleted", {}, state_key=""),
                stage.membership(room, "alice", "leave"),
                stage.membership(room, "bob", "leave"),
            )
            for client in (alice, bob):
                assert (await client.hears("room.deleted"))["room_id"] == str(room.uuid)
                assert (await client.hears("room.left"))["reason"] == "deleted"
                assert await client.is_idle()

    async def test_the_event_alone_deletes_nothing(self):
        """Whoever may change the room's settings could send it."""
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            stage.happens(stage.event("alice", room, "chat.foyer.deleted", {}, state_key=""))
            stage.says("alice", room, "still here")
            assert (await bob.hears("message.new"))["message"]["content"] == "still here"
