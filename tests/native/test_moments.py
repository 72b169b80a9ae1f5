"""Typing, presence and read marks: of the moment, and for whoever shares a room."""

from clientapi.native import reads
from tests.native.stage import on_stage


class TestTyping:
    """Seed section 1: `typing`."""

    async def test_the_others_in_the_room_are_told(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.types("bob", room)
            assert await alice.hears("typing") == {
                "type": "typing",
                "room_id": str(room.uuid),
                "user_id": str(stage.person("bob").uuid),
                "user_name": "Bob",
            }
            stage.types("bob", room, active=False)
            assert (await alice.hears("typing.stopped"))["room_id"] == str(room.uuid)
            assert await bob.is_idle()


class TestPresence:
    """Seed section 1: `presence`."""

    async def test_whoever_shares_a_room_is_told_once(self):
        async with on_stage() as stage:
            stage.room("alice", "bob")
            stage.room("alice", "bob")
            stage.room("carol")
            alice, bob, carol = [await stage.connects(n) for n in ("alice", "bob", "carol")]
            stage.appears("bob", "busy")
            assert await alice.hears("presence") == {
                "type": "presence",
                "user_id": str(stage.person("bob").uuid),
                "status": "busy",
                "last_seen": "2023-11-14T22:13:20.000Z",
            }
            assert await alice.is_idle()
            assert await carol.is_idle()
            await bob.hears("presence")

    async def test_only_the_newest_state_counts(self):
        async with on_stage() as stage:
            stage.room("alice", "bob")
            alice = await stage.connects("alice")
            for status in ("online", "away", "busy", "offline"):
                stage.appears("bob", status)
            assert (await alice.hears("presence"))["status"] == "offline"
            assert await alice.is_idle()

    async def test_large_rooms_tell_nobodys_presence(self):
        async with on_stage(presence={"max_room_members": 2}) as stage:
            stage.room("alice", "bob", "carol")
            stage.room("alice", "carol")
            clients = [await stage.connects(name) for name in ("alice", "bob", "carol")]
            stage.appears("carol", "online")
            await clients[0].hears("presence")
            assert await clients[1].is_idle()

    async def test_many_at_once_are_told_a_few_at_a_time(self):
        async with on_stage(max_connections_per_user=50) as stage:
            names = [f"member{number}" for number in range(60)]
            stage.room("alice", *names)
            clients = [await stage.connects("alice") for _ in range(50)]
            for name in names:
                stage.appears(name, "online")
            heard = set()
            for _ in names:
                heard.add((await clients[7].hears("presence"))["user_id"])
            assert len(heard) == 60


class TestProfiles:
    async def test_a_new_name_is_told_to_whoever_shares_a_room(self):
        async with on_stage() as stage:
            stage.room("alice", "bob")
            stage.room("carol")
            bob, carol = [await stage.connects(name) for name in ("bob", "carol")]
            stage.bus.announce("profile-changed", str(stage.person("alice").uuid))
            assert (await bob.hears("user.updated"))["user"]["name"] == "Alice"
            assert await carol.is_idle()


class TestReadMarks:
    """Seed section 1: `message.read`."""

    async def test_the_room_is_told_who_read(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            message = stage.says("alice", room, "hello")
            await alice.hears("message.new")
            await bob.hears("message.new")
            stage.reads("bob", message)
            read = await alice.hears("message.read")
            assert read["message_id"] == str(message.stored.facts.uuid)
            assert read["user_id"] == str(stage.person("bob").uuid)
            assert read["read_at"] == "2023-11-14T22:13:20.000Z"
            assert read["cursor"] == "e1_r1"
            unread = await bob.hears("unread")
            assert (unread["room_id"], unread["unread_count"]) == (str(room.uuid), 0)
            assert unread["last_read_id"] == str(message.stored.facts.uuid)
            # Who hears only this comes back with a cursor that does not name the mark.
            assert unread["cursor"] == "e1_r0"
            await bob.hears("message.read")
            assert await alice.is_idle()

    async def test_a_private_one_is_told_to_the_devices_of_its_reader_alone(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            message = stage.says("alice", room, "hello")
            for client in (alice, bob):
                await client.hears("message.new")
            stage.reads("bob", message, is_private=True)
            unread = await bob.hears("unread")
            assert (unread["unread_count"], unread["cursor"]) == (0, "e1_r0")
            assert await alice.is_idle()

    async def test_one_for_a_thread_only_changes_what_its_reader_has_left(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            message = stage.says("alice", room, "hello")
            for client in (alice, bob):
                await client.hears("message.new")
            stage.reads("bob", message, is_of_room=False)
            assert await alice.is_idle()
            assert "last_read_id" not in await bob.hears("unread")
            assert await bob.is_idle()
            assert stage.live.reads._progress.receipts == 1

    async def test_what_is_still_unread_is_counted(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            first = stage.says("alice", room, "one")
            for text in ("two", "three", "four"):
                stage.says("alice", room, text)
            stage.reads("bob", first)
            for _ in range(4):
                await bob.hears("message.new")
            await bob.hears("message.read")
            assert (await bob.hears("unread"))["unread_count"] == 3

    async def test_many_who_read_at_once_are_told_together(self, monkeypatch):
        monkeypatch.setattr(reads, "FEW", 1)
        async with on_stage() as stage:
            names = [f"member{number}" for number in range(20)]
            room = stage.room("alice", "bob", *names)
            alice = await stage.connects("alice")
            await stage.connects("bob")
            message = stage.says("alice", room, "hello")
            await alice.hears("message.new")
            for name in names:
                stage.reads(name, message)
            stage.says("bob", room, "and you?")
            # A cursor that came before the marks does not name them.
            assert (await alice.hears("message.new"))["cursor"] == "e2_r0"
            for _ in names:
                assert (await alice.hears("message.read"))["cursor"] == "e2_r20"

    async def test_in_a_crowd_only_author_and_reader_are_told(self, monkeypatch):
        monkeypatch.setattr(reads, "CROWD", 2)
        async with on_stage() as stage:
            room = stage.room("alice", "bob", "carol")
            clients = [await stage.connects(name) for name in ("alice", "bob", "carol")]
            message = stage.says("alice", room, "hello")
            for client in clients:
                await client.hears("message.new")
            stage.reads("bob", message)
            await clients[0].hears("message.read")
            await clients[1].hears("unread")
            await clients[1].hears("message.read")
            assert await clients[2].is_idle()
