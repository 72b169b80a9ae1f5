"""What people see of each other: what was delivered and read, who is there, who is writing."""

from datetime import datetime
from uuid import uuid4

import pytest

from tests.support.play import Person, Play, eventually
from tests.support.promises import Json
from tests.support.stubborn import StubbornDevice


async def says_nothing_about(person: Person, frame_type: str) -> None:
    """Nothing of the kind came, nor is on its way."""
    await person.device.is_up_to_date()
    assert person.heard(frame_type) == []


async def receipts_of(reader: Person, message: str) -> dict[str, Json]:
    """By the ID of who received the message."""
    found = await reader.gets(f"/api/messages/{message}/receipts")
    return {receipt["user_id"]: receipt for receipt in found}


class TestDelivered:
    """`message.delivered`: the first device of another member has really received it."""

    async def test_told_once_to_all_devices_of_the_author(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        await alice.connects()
        await bob.connects()
        room = await alice.creates_group(bob, carol)
        message = await alice.says(room, "Hello")
        for device in alice.devices:
            await device.hears("message.delivered", message_id=message)
        later = await alice.says(room, "Hello again")
        for device in alice.devices:
            await device.hears("message.delivered", message_id=later)
            await device.is_up_to_date()
            assert len(device.heard("message.delivered", message_id=message)) == 1
        for person in (bob, carol):
            await says_nothing_about(person, "message.delivered")

    async def test_ones_own_devices_do_not_count(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        other = await alice.connects()
        room = await alice.creates_group(bob)
        await bob.leaves_the_stage()
        message = await alice.says(room, "Anybody?")
        await other.hears("message.new", id=message)
        await other.is_up_to_date()
        await says_nothing_about(alice, "message.delivered")

    async def test_not_before_a_device_has_answered_for_it(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.leaves_the_stage()
        device = await StubbornDevice.opens(play.server.websocket_url, bob.token)
        message = await alice.says(room, "Hello")
        await device.reads_until(lambda: device.pings > 0)
        assert message in [frame["message"]["id"] for frame in device.frames if "message" in frame]
        await says_nothing_about(alice, "message.delivered")
        await device.answers()
        await alice.hears("message.delivered", message_id=message)
        device.hangs_up()

    async def test_a_device_that_hangs_up_has_received_nothing(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        device = await StubbornDevice.opens(play.server.websocket_url, bob.token)
        message = await alice.says(room, "Hello")
        await device.reads_until(lambda: device.pings > 0)
        device.hangs_up()
        await says_nothing_about(alice, "message.delivered")
        await bob.connects(cursor=cursor)
        await bob.hears("message.new", id=message)
        await alice.hears("message.delivered", message_id=message)

    async def test_who_was_away_receives_it_when_they_resume(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        message = await alice.says(room, "Hello")
        await says_nothing_about(alice, "message.delivered")
        await bob.connects(cursor=cursor)
        await alice.hears("message.delivered", message_id=message)

    async def test_who_comes_without_a_cursor_has_not_received_it(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.leaves_the_stage()
        old = await alice.says(room, "Before he came")
        await bob.connects()
        new = await alice.says(room, "After he came")
        await alice.hears("message.delivered", message_id=new)
        assert alice.heard("message.delivered", message_id=old) == []

    async def test_the_receipts_of_a_message_say_so(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        await carol.leaves_the_stage()
        message = await alice.says(room, "Hello")
        await alice.hears("message.delivered", message_id=message)
        receipts = await eventually(lambda: receipts_of(alice, message))
        assert receipts.keys() == {bob.id}
        assert receipts[bob.id]["user_name"] == bob.name
        assert receipts[bob.id]["delivered_at"]
        assert receipts[bob.id]["read_at"] is None


class TestRead:
    async def test_everybody_hears_how_far_somebody_has_read(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        message = await alice.says(room, "Hello")
        acknowledged = await bob.asks("message.read", room_id=room, message_id=message)
        assert acknowledged == {"type": "ack", "ref": acknowledged["ref"]}
        for person in (alice, carol):
            frame = await person.hears("message.read", message_id=message)
            assert (frame["user_id"], frame["room_id"]) == (bob.id, room)
        receipts = await receipts_of(alice, message)
        assert receipts[bob.id]["read_at"]

    async def test_over_rest(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Hello")
        await bob.reads(room, message)
        await alice.hears("message.read", message_id=message, user_id=bob.id)
        assert (await bob.sees_in_list(room))["last_read_id"] == message

    async def test_it_only_moves_forward(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        first, second, third = [await alice.says(room, str(number)) for number in range(3)]
        await bob.reads(room, second)
        await bob.reads(room, first)
        await bob.asks("message.read", room_id=room, message_id=first)
        assert await bob.unread(room) == 1
        await bob.reads(room, third)
        await alice.hears("message.read", message_id=third)
        assert [frame["message_id"] for frame in alice.heard("message.read")] == [second, third]

    async def test_unread_counts_are_the_same_on_all_devices(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        other = await bob.connects()
        room = await alice.creates_group(bob)
        messages = [await alice.says(room, str(number)) for number in range(5)]
        assert await bob.unread(room) == 5
        for message, left in ((messages[1], 3), (messages[4], 0)):
            await bob.asks("message.read", room_id=room, message_id=message)
            for device in (bob.device, other):
                frame = await device.hears("unread", last_read_id=message)
                assert (frame["room_id"], frame["unread_count"]) == (room, left)
            assert await bob.unread(room) == left
        await says_nothing_about(alice, "unread")

    async def test_ones_own_messages_are_not_unread(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.says(room, "Mine")
        assert await alice.unread(room) == 0
        assert await bob.unread(room) == 1

    async def test_what_a_client_cannot_count_is_told(self, play: Play) -> None:
        """One's own message reads what stands before it in its thread; what is deleted is gone."""
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        root = await alice.says(room, "A question")
        await alice.says(room, "An answer", thread_id=root)
        assert await bob.unread(room) == 2
        await bob.says(room, "In the room")
        frame = await bob.hears("unread", room_id=room)
        assert (frame["unread_count"], "last_read_id" in frame) == (1, False)
        last = await alice.says(room, "A mistake")
        await alice.asks("message.delete", message_id=last)
        await bob.hears("unread", room_id=room, unread_count=1)
        await bob.says(room, "In the thread", thread_id=root)
        await bob.hears("unread", room_id=room, unread_count=0)

    async def test_a_new_member_has_nothing_unread(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group()
        await alice.says(room, "Old news")
        await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]})
        assert await bob.unread(room) == 0
        await alice.says(room, "News")
        assert await bob.unread(room) == 1

    async def test_rooms_are_counted_each_for_itself(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        rooms = [await alice.creates_group(bob) for _ in range(2)]
        message = await alice.says(rooms[0], "Here")
        await alice.says(rooms[1], "There")
        await bob.reads(rooms[0], message)
        assert [await bob.unread(room) for room in rooms] == [0, 1]

    async def test_what_is_not_there_cannot_be_read(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room, other = await alice.creates_group(bob), await alice.creates_group()
        here, elsewhere = await alice.says(room, "Here"), await alice.says(other, "Elsewhere")
        for room_id, message, code in (
            (room, elsewhere, "INVALID_MESSAGE"),
            (room, str(uuid4()), "INVALID_MESSAGE"),
            (other, elsewhere, "INVALID_ROOM"),
            (str(uuid4()), here, "INVALID_ROOM"),
        ):
            refused = await bob.asks("message.read", room_id=room_id, message_id=message)
            assert refused["code"] == code
            answer = await bob.post(f"/api/rooms/{room_id}/read", {"message_id": message})
            assert answer.error == (404, code)
        await says_nothing_about(alice, "message.read")


class TestPresence:
    async def test_who_shares_a_room_hears_of_coming_and_going(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        await bob.leaves_the_stage()
        gone = await alice.hears("presence", user_id=bob.id, status="offline")
        presence = await alice.gets(f"/api/presence/{bob.id}")
        assert presence["status"] == "offline"
        assert datetime.fromisoformat(presence["last_seen"]) <= datetime.fromisoformat(
            gone["last_seen"]
        )
        await bob.connects()
        await alice.hears("presence", user_id=bob.id, status="online")
        assert (await alice.gets(f"/api/users/{bob.id}"))["status"] == "online"

    async def test_the_device_that_says_most_counts(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        phone, desk = bob.device, await bob.connects()
        for device, says, status in (
            (phone, "away", "online"),
            (desk, "away", "away"),
            (phone, "busy", "busy"),
            (desk, "online", "busy"),
            (phone, "offline", "online"),
            (desk, "offline", "offline"),
        ):
            await device.asks("presence.update", status=says)
            assert (await alice.gets(f"/api/presence/{bob.id}"))["status"] == status

    async def test_offline_only_after_the_last_device_left(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        phone, desk = bob.device, await bob.connects()
        await phone.closes()
        await desk.asks("presence.update", status="busy")
        await alice.hears("presence", user_id=bob.id, status="busy")
        assert alice.heard("presence", user_id=bob.id, status="offline") == []
        await desk.closes()
        await alice.hears("presence", user_id=bob.id, status="offline")

    async def test_who_says_offline_still_hears_everything(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.asks("presence.update", status="offline")
        await alice.hears("presence", user_id=bob.id, status="offline")
        await alice.says(room, "Are you there?")
        await bob.hears("message.new", content="Are you there?")

    async def test_strangers_neither_hear_nor_see_it(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        await alice.creates_group(bob)
        await eve.creates_group()
        await bob.asks("presence.update", status="busy")
        await alice.hears("presence", user_id=bob.id, status="busy")
        await eve.device.is_up_to_date()
        assert eve.heard("presence", user_id=bob.id) == []
        assert (await eve.get(f"/api/presence/{bob.id}")).error == (403, "FORBIDDEN")
        seen = await eve.gets(f"/api/users/{bob.id}")
        assert (seen["status"], seen["email"]) == ("offline", None)

    async def test_who_left_the_room_does_not_hear_it_any_more(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        await carol.post(f"/api/rooms/{room}/leave")
        await carol.hears("room.left")
        await bob.asks("presence.update", status="busy")
        await alice.hears("presence", user_id=bob.id, status="busy")
        await carol.device.is_up_to_date()
        assert carol.heard("presence", user_id=bob.id, status="busy") == []

    async def test_ones_own(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await alice.asks("presence.update", status="away")
        assert (await alice.gets(f"/api/presence/{alice.id}"))["status"] == "away"
        assert (await alice.gets("/api/users/me"))["status"] == "away"

    async def test_of_somebody_who_never_came(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        await alice.creates_group(bob)
        presence = await alice.gets(f"/api/presence/{bob.id}")
        assert presence == {"user_id": bob.id, "status": "offline", "last_seen": None}


class TestTyping:
    async def test_the_others_in_the_room_hear_it(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        own = await bob.connects()
        room = await alice.creates_group(bob)
        acknowledged = await bob.asks("typing.start", room_id=room)
        assert acknowledged["type"] == "ack"
        frame = await alice.hears("typing")
        assert (frame["room_id"], frame["user_id"], frame["user_name"]) == (room, bob.id, bob.name)
        await bob.asks("typing.stop", room_id=room)
        await alice.hears("typing.stopped", user_id=bob.id)
        await says_nothing_about(eve, "typing")
        for device in (bob.devices[0], own):
            await device.is_up_to_date()
            assert device.heard("typing") == []

    async def test_it_wears_off(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.asks("typing.start", room_id=room)
        await alice.hears("typing")
        await alice.hears("typing.stopped", room_id=room, user_id=bob.id)

    async def test_it_ends_with_the_message(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.asks("typing.start", room_id=room)
        await bob.says(room, "There")
        await alice.hears("message.new", content="There")
        await alice.hears("typing.stopped", user_id=bob.id)
        types = [frame["type"] for frame in alice.heard(lambda frame: True)]
        assert types.index("typing") < types.index("typing.stopped")

    async def test_over_rest(self, play: Play) -> None:
        alice, bob = (await play.cast("alice"))[0], await play.enters("bob")
        room = await alice.creates_group(bob)
        for typing, frame_type in ((True, "typing"), (False, "typing.stopped")):
            answer = await bob.post(f"/api/rooms/{room}/typing", {"typing": typing})
            assert answer.status == 204
            await alice.hears(frame_type, user_id=bob.id)

    @pytest.mark.parametrize("frame_type", ["typing.start", "typing.stop"])
    async def test_where_one_is_not(self, play: Play, frame_type: str) -> None:
        alice, eve = await play.cast("alice", "eve")
        room = await alice.creates_group()
        refused = await eve.asks(frame_type, room_id=room)
        assert refused["code"] == "INVALID_ROOM"
        await says_nothing_about(alice, "typing")


class TestProfiles:
    async def test_a_new_name_is_told_to_those_who_share_a_room(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        room = await alice.creates_group(bob)
        answer = await bob.patch("/api/users/me", {"name": "Robert"})
        assert (answer.status, answer.json["name"]) == (200, "Robert")
        frame = await alice.hears("user.updated", id=bob.id)
        assert frame["user"]["name"] == "Robert"
        await bob.says(room, "Call me Robert")
        heard = await alice.hears("message.new")
        assert heard["message"]["user_name"] == "Robert"
        await says_nothing_about(eve, "user.updated")

    async def test_what_is_no_picture(self, play: Play) -> None:
        alice = await play.enters("alice")
        for avatar in ("javascript:alert(1)", "data:image/png;base64,", "picture.png"):
            answer = await alice.patch("/api/users/me", {"avatar_url": avatar})
            assert answer.error == (400, "INVALID_INPUT")
        answer = await alice.patch("/api/users/me", {"avatar_url": "https://example.org/a.png"})
        assert answer.json["avatar_url"] == "https://example.org/a.png"
        assert (await alice.patch("/api/users/me", {"avatar_url": ""})).json["avatar_url"] is None
