"""Messages, edits, deletions and reactions reach everybody who is in the room."""

from clientapi.native.cursor import parse_cursor
from tests.native.stage import on_stage, until


class TestNewMessages:
    """Seed section 1: `message.send`, `message.new`."""

    async def test_a_message_reaches_all_members(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob", "carol")
            clients = [await stage.connects(name) for name in ("alice", "bob", "carol")]
            await clients[0].says("message.send", room_id=room.uuid, content="Hello world")
            for client in clients:
                message = (await client.hears("message.new"))["message"]
                assert message["content"] == "Hello world"
                assert message["user_name"] == "Alice"
                assert message["room_id"] == str(room.uuid)
                assert message["reply_to"] is None
                assert message["attachments"] == []

    async def test_all_devices_of_the_sender_get_it_too(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            phone, laptop = [await stage.connects("alice") for _ in range(2)]
            await phone.says("message.send", room_id=room.uuid, content="to myself")
            assert (await laptop.hears("message.new"))["message"]["content"] == "to myself"
            assert (await phone.hears("message.new"))["message"]["content"] == "to myself"

    async def test_nobody_else_hears_it(self):
        async with on_stage() as stage:
            room, other = stage.room("alice", "bob"), stage.room("alice", "mallory")
            mallory = await stage.connects("mallory")
            stage.says("alice", room, "a secret")
            stage.says("alice", other, "hello mallory")
            assert (await mallory.hears("message.new"))["message"]["content"] == "hello mallory"

    async def test_the_sender_learns_that_it_is_safe(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice = await stage.connects("alice")
            await alice.says("message.send", room_id=room.uuid, content="hi", ref="r1")
            new = await alice.hears("message.new")
            sent = await alice.hears("message.sent")
            assert sent["ref"] == "r1"
            assert sent["message_id"] == new["message"]["id"]
            assert sent["room_id"] == str(room.uuid)
            assert sent["created_at"] == new["message"]["created_at"]

    async def test_without_a_ref_the_answer_has_none(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("message.send", room_id=room.uuid, content="hi")
            await alice.hears("message.new")
            assert (await alice.hears("message.sent"))["ref"] is None

    async def test_a_frame_of_every_size_arrives(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            for size in (0, 1, 125, 126, 300, 32_768, 65_535, 65_536, 200_000):
                text = "é" * (size // 2)
                stage.says("alice", room, text)
                assert (await bob.hears("message.new"))["message"]["content"] == text

    async def test_what_is_no_accepted_message_is_not_told(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            stage.happens(stage.event("alice", room, "org.example.custom", {"body": "x"}))
            stage.happens(stage.event("alice", room, "m.room.pinned_events", {}, state_key=""))
            assert await bob.is_idle()


class TestOrder:
    async def test_messages_of_one_connection_keep_their_order(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            for number in range(200):
                await alice.says("message.send", room_id=room.uuid, content=str(number))
            heard = [(await bob.hears("message.new"))["message"]["content"] for _ in range(200)]
            assert heard == [str(number) for number in range(200)]
            answers = [(await alice.frame())["type"] for _ in range(400)]
            assert answers.count("message.sent") == 200

    async def test_a_batch_of_many_rooms_keeps_the_order_of_positions(self):
        async with on_stage() as stage:
            rooms = [stage.room("alice", "bob") for _ in range(5)]
            bob = await stage.connects("bob")
            batch = [stage.message("alice", rooms[n % 5], str(n)) for n in range(50)]
            stage.happens(*batch)
            positions = []
            for number in range(50):
                frame = await bob.hears("message.new")
                assert frame["message"]["content"] == str(number)
                positions.append(parse_cursor(frame["cursor"]).events)
            assert positions == [each.position for each in batch]

    async def test_what_must_be_looked_up_holds_back_what_comes_after_it(self):
        async with on_stage() as stage:
            room, other = stage.room("alice", "bob"), stage.room("alice", "bob")
            bob = await stage.connects("bob")
            first = stage.says("alice", room, "first")
            await bob.hears("message.new")
            stage.views.lookups.clear()
            stage.edits(first, "first, edited")
            stage.says("alice", room, "second")
            stage.says("alice", other, "elsewhere")
            assert await bob.is_idle()
            stage.views.lookups.set()
            updated = await bob.hears("message.updated")
            assert updated["message"]["content"] == "first, edited"
            assert (await bob.hears("message.new"))["message"]["content"] == "second"
            assert (await bob.hears("message.new"))["message"]["content"] == "elsewhere"

    async def test_the_next_frame_is_read_before_the_last_is_answered(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            stage.gate.clear()
            await alice.says("message.send", room_id=room.uuid, content="slow")
            await alice.says("ping")
            await alice.hears("pong")
            stage.gate.set()
            await alice.hears("message.new")
            await alice.hears("message.sent")

    async def test_no_more_than_a_few_frames_are_in_flight(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            stage.gate.clear()
            for number in range(100):
                await alice.says("message.send", room_id=room.uuid, content=str(number))
            await alice.says("ping")
            stage.gate.set()
            answers = [(await alice.frame())["type"] for _ in range(201)]
            # The ping was not read while too much was in flight, though it was sent long before.
            assert answers.index("pong") > 2 * (100 - 64)
            assert answers.count("message.sent") == 100


class TestChangesOfMessages:
    async def test_an_edit_comes_with_the_message_as_it_is_now(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            first = stage.says("alice", room, "helo")
            await bob.hears("message.new")
            message_id = str(first.stored.facts.uuid)
            await alice.hears("message.new")
            await alice.says("message.edit", message_id=message_id, content="hello", ref="e")
            updated = (await bob.hears("message.updated"))["message"]
            assert (updated["id"], updated["content"]) == (message_id, "hello")
            assert "edited_at" in updated
            frames = [await alice.frame(), await alice.frame()]
            sent = next(frame for frame in frames if frame["type"] == "message.sent")
            assert (sent["ref"], sent["message_id"]) == ("e", message_id)

    async def test_a_deletion_is_told(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob")
            first = stage.says("alice", room, "oops")
            await bob.hears("message.new")
            stage.redacts("alice", first)
            deleted = await bob.hears("message.deleted")
            assert deleted["message_id"] == str(first.stored.facts.uuid)
            assert deleted["room_id"] == str(room.uuid)
            assert deleted["user_id"] == str(stage.person("alice").uuid)

    async def test_reactions_come_and_go(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            first = stage.says("alice", room, "lunch?")
            message_id = str(first.stored.facts.uuid)
            await bob.hears("message.new")
            await alice.hears("message.new")
            await bob.says("reaction.add", message_id=message_id, key="👍")
            added = await alice.hears("reaction.added")
            assert (added["message_id"], added["key"]) == (message_id, "👍")
            assert added["user_id"] == str(stage.person("bob").uuid)
            await bob.hears("reaction.added")
            assert (await bob.hears("message.sent"))["message_id"] == message_id
            await bob.says("reaction.remove", message_id=message_id, key="👍")
            removed = await alice.hears("reaction.removed")
            assert (removed["message_id"], removed["key"]) == (message_id, "👍")


class TestOtherCalls:
    async def test_calls_reach_their_actions(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            message = str(stage.says("alice", room, "x").stored.facts.uuid)
            await alice.hears("message.new")
            await alice.says("typing.start", room_id=room.uuid, ref="1")
            assert await alice.frame() == {"type": "ack", "ref": "1"}
            await alice.says("typing.stop", room_id=room.uuid, ref="2")
            assert await alice.frame() == {"type": "ack", "ref": "2"}
            await alice.says("message.read", room_id=room.uuid, message_id=message, ref="3")
            assert await alice.frame() == {"type": "ack", "ref": "3"}
            await alice.says("presence.update", status="busy", ref="4")
            assert await alice.frame() == {"type": "ack", "ref": "4"}
            assert [call[0] for call in stage.calls] == ["typing", "typing stopped", "read"]
            assert [each[2] for each in stage.presences] == ["connected", "busy"]

    async def test_without_a_ref_they_are_not_answered(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("typing.start", room_id=room.uuid)
            await alice.says("presence.update", status="away")
            assert await alice.is_idle()

    async def test_presence_comes_and_goes_with_the_connection(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("presence.update", status="offline")
            await alice.leaves()
            await until(lambda: len(stage.presences) == 3)
            assert [each[2] for each in stage.presences] == ["connected", "offline", "disconnected"]


class TestErrors:
    async def test_a_room_that_is_not_there(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says(
                "message.send", room_id="0f8fad5b-d9cb-469f-a165-70867728950e", content="x", ref="r"
            )
            assert await alice.frame() == {
                "type": "error",
                "code": "INVALID_ROOM",
                "message": "Room not found",
                "ref": "r",
            }

    async def test_a_room_that_one_is_not_in(self):
        async with on_stage() as stage:
            room = stage.room("bob")
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("message.send", room_id=room.uuid, content="x")
            assert (await alice.hears("error"))["code"] == "FORBIDDEN"

    async def test_a_defect_of_the_server_is_told_without_details(self):
        async with on_stage() as stage:
            room = stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("message.send", room_id=room.uuid, content="crash", ref="c")
            error = await alice.hears("error")
            assert (error["code"], error["ref"]) == ("INTERNAL", "c")
            assert "division" not in error["message"]
            await alice.says("message.send", room_id=room.uuid, content="still here")
            await alice.hears("message.new")

    async def test_bad_frames_do_not_end_the_connection(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            for bad in ("nonsense", "[]", b"\x00\x01", '{"type":"nope"}', "{}"):
                await alice.socket.send(bad)
                await alice.hears("error")
            await alice.socket.send(b"\xff\xfe not UTF-8", text=True)
            assert (await alice.hears("error"))["code"] == "INVALID_FRAME"
            assert await alice.is_idle()


class TestPing:
    async def test_it_is_answered_as_the_seed_says(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.says("ping")
            assert await alice.socket.recv() == '{"type":"pong"}'

    async def test_pings_of_the_websocket_protocol_are_answered_too(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await (await alice.socket.ping("are you there?"))
