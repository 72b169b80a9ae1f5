"""What people do with messages: write, answer, edit, delete, react, and page through them."""

import asyncio
import signal
from datetime import datetime
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.play import Person, Play
from tests.support.promises import Frame, Json

THUMB = "👍🏽"
LARGEST = 32_768


def reaction_path(message: str, key: str) -> str:
    return f"/api/messages/{message}/reactions/{quote(key, safe='')}"


class TestWriting:
    async def test_everybody_hears_it_once_on_every_device(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.connects()
        await bob.connects()
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Hello")
        for device in (*alice.devices, *bob.devices):
            await device.hears("message.new", id=message)
            await device.is_up_to_date()
            assert len(device.heard("message.new")) == 1

    async def test_only_the_sending_device_is_answered(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        other = await alice.connects()
        room = await alice.creates_group()
        await alice.says(room, "Hello")
        await other.hears("message.new")
        await other.is_up_to_date()
        assert other.heard("message.sent") == []

    async def test_without_ref_the_answer_has_none(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.device.sends("message.send", room_id=room, content="Hello")
        assert (await alice.hears("message.sent"))["ref"] is None

    async def test_somebody_who_is_not_a_member_cannot(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        room = await alice.creates_group()
        refused = await eve.asks("message.send", room_id=room, content="Hello")
        assert (refused["type"], refused["code"]) == ("error", "INVALID_ROOM")
        await alice.device.is_up_to_date()
        assert alice.heard("message.new") == []

    @pytest.mark.parametrize("text", ["", " \n\t", "nul \0 inside"])
    async def test_what_is_no_text(self, play: Play, text: str) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        refused = await alice.asks("message.send", room_id=room, content=text)
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "content")
        answer = await alice.post(f"/api/rooms/{room}/messages", {"content": text})
        assert answer.error == (400, "INVALID_INPUT")
        assert await alice.messages(room) == []

    @pytest.mark.parametrize("letter", ["a", "é", "👍"])
    async def test_the_largest_message_comes_as_it_was_sent(self, play: Play, letter: str) -> None:
        """Whatever its bytes become in JSON."""
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        text = letter * (LARGEST // len(letter.encode()))
        await alice.says(room, text)
        await bob.hears("message.new", content=text)
        assert await bob.texts(room) == [text]

    async def test_one_byte_more_is_too_much(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        refused = await alice.asks("message.send", room_id=room, content="a" * (LARGEST + 1))
        assert refused["code"] == "TOO_LARGE"
        answer = await alice.post(
            f"/api/rooms/{room}/messages", {"content": "é" * (LARGEST // 2 + 1)}
        )
        assert answer.error == (413, "TOO_LARGE")

    async def test_a_misspelt_reply_to_is_not_lost_silently(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        refused = await alice.asks("message.send", room_id=room, content="Me", repy_to=None)
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "repy_to")

    async def test_markup_is_text(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        text = '<script>alert(\'1\')</script> & \\u0041 \u202e {"type": "pong"}'
        await alice.says(room, text)
        assert await alice.texts(room) == [text]


class TestOrder:
    async def test_pipelined_messages_come_in_the_order_they_were_sent(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        texts = [f"Message {number}" for number in range(200)]
        for number, text in enumerate(texts):
            await alice.device.sends("message.send", room_id=room, content=text, ref=f"n{number}")
        for number in range(200):
            answer = await alice.hears("message.sent")
            assert answer["ref"] == f"n{number}"
        await bob.hears("message.new", content=texts[-1])
        for person in (alice, bob):
            heard = [frame["message"]["content"] for frame in person.heard("message.new")]
            assert heard == texts
        assert await bob.texts(room, limit=200) == texts

    async def test_everybody_hears_one_order_when_several_write_at_once(self, play: Play) -> None:
        people = list(await play.cast("alice", "bob", "carol"))
        room = await people[0].creates_group(*people[1:])
        for number in range(30):
            for person in people:
                text = f"{person.name}: {number}"
                await person.device.sends("message.send", room_id=room, content=text)
        for person in people:
            for _ in range(90):
                await person.hears("message.new")
        orders = [[each["message"]["id"] for each in one.heard("message.new")] for one in people]
        assert orders[0] == orders[1] == orders[2]
        stored = [message["id"] for message in await people[0].messages(room, limit=200)]
        assert stored == orders[0]

    async def test_times_never_run_backwards(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        for number in range(20):
            await alice.device.sends("message.send", room_id=room, content=str(number))
        for _ in range(20):
            await alice.hears("message.sent")
        times = [message["created_at"] for message in await alice.messages(room)]
        assert times == sorted(times, key=datetime.fromisoformat)


class TestRef:
    """A frame that writes is carried out once for each `ref` of a session."""

    async def test_a_repeated_frame_gets_the_first_answer(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        frame = {"room_id": room, "content": "Once", "ref": "a"}
        first = await alice.asks("message.send", **frame)
        again = await alice.asks("message.send", **frame)
        assert again["message_id"] == first["message_id"]
        assert again["created_at"] == first["created_at"]
        assert await bob.texts(room) == ["Once"]

    async def test_repeats_that_come_at_once(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        devices = [alice.device, *[await alice.connects() for _ in range(3)]]
        for device in devices:
            for _ in range(5):
                await device.sends("message.send", room_id=room, content="Once", ref="a")
        answers = [await device.hears("message.sent") for device in devices for _ in range(5)]
        assert len({answer["message_id"] for answer in answers}) == 1
        assert await alice.texts(room) == ["Once"]

    async def test_over_rest_and_websocket_alike(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        path, body = f"/api/rooms/{room}/messages", {"content": "Once", "ref": "a"}
        answers = [await alice.post(path, body) for _ in range(2)]
        assert [answer.status for answer in answers] == [201, 201]
        assert answers[0].json == answers[1].json
        frame = await alice.asks("message.send", room_id=room, **body)
        assert frame["message_id"] == answers[0].json["id"]
        assert await alice.texts(room) == ["Once"]

    async def test_after_reconnecting(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        first = await alice.asks("message.send", room_id=room, content="Once", ref="a")
        await alice.leaves_the_stage()
        await alice.connects()
        again = await alice.asks("message.send", room_id=room, content="Once", ref="a")
        assert again["message_id"] == first["message_id"]
        assert await alice.texts(room) == ["Once"]

    async def test_a_session_knows_nothing_of_the_refs_of_another(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        body = {"content": "Twice", "ref": "a"}
        first = await alice.post(f"/api/rooms/{room}/messages", body)
        await alice.logs_in()
        second = await alice.post(f"/api/rooms/{room}/messages", body)
        assert first.json["id"] != second.json["id"]
        assert await alice.texts(room) == ["Twice", "Twice"]

    async def test_it_stays_with_the_session_when_its_token_is_renewed(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        body = {"content": "Once", "ref": "a"}
        first = await alice.post(f"/api/rooms/{room}/messages", body)
        renewed = await alice.post("/api/auth/refresh", {"refresh_token": alice.refresh_token})
        alice.is_logged_in(renewed.json)
        again = await alice.post(f"/api/rooms/{room}/messages", body)
        assert again.json == first.json

    async def test_a_refused_frame_may_be_mended_and_sent_again(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        refused = await alice.asks("message.send", room_id=str(uuid4()), content="Hello", ref="a")
        assert refused["code"] == "INVALID_ROOM"
        sent = await alice.asks("message.send", room_id=room, content="Hello", ref="a")
        assert sent["type"] == "message.sent"

    async def test_all_that_writes_is_repeated_as_one(self, play: Play) -> None:
        """Also where the first request made the second impossible: what is deleted is gone."""
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Hello")
        for frame_type, fields, told in (
            ("message.edit", {"content": "Hello!"}, "message.updated"),
            ("reaction.add", {"key": THUMB}, "reaction.added"),
            ("reaction.remove", {"key": THUMB}, "reaction.removed"),
            ("message.delete", {}, "message.deleted"),
        ):
            frame = {"message_id": message, "ref": told, **fields}
            answers = [await alice.asks(frame_type, **frame) for _ in range(2)]
            assert [answer["type"] for answer in answers] == ["message.sent"] * 2, answers
            assert answers[0]["message_id"] == answers[1]["message_id"] == message
            await bob.hears(told)
            await bob.device.is_up_to_date()
            assert len(bob.heard(told)) == 1, told

    async def test_after_a_restart_of_the_server(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        doomed = await alice.says(room, "Away with this")
        repeated: list[tuple[str, Json]] = [
            ("message.send", {"room_id": room, "content": "Once", "ref": "a"}),
            ("message.delete", {"message_id": doomed, "ref": "b"}),
        ]
        first = [await alice.asks(frame_type, **frame) for frame_type, frame in repeated]
        await alice.leaves_the_stage()
        await asyncio.to_thread(play.server.restart, signal.SIGKILL)
        await alice.connects()
        again = [await alice.asks(frame_type, **frame) for frame_type, frame in repeated]
        for before, after in zip(first, again, strict=True):
            assert after | {"cursor": ""} == before | {"cursor": ""}
        assert await alice.texts(room) == ["Once"]


class TestReplies:
    async def test_to_a_message_of_another_room_there_is_none(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room, other = await alice.creates_group(bob), await alice.creates_group()
        elsewhere = await alice.says(other, "Secret")
        refused = await alice.asks(
            "message.send", room_id=room, content="See there", reply_to=elsewhere
        )
        assert refused["code"] in ("INVALID_INPUT", "INVALID_MESSAGE")
        unknown = await alice.asks(
            "message.send", room_id=room, content="What?", reply_to=str(uuid4())
        )
        assert unknown["code"] == "INVALID_MESSAGE"
        assert await bob.messages(room) == []

    async def test_a_reply_outlives_what_it_answers(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        question = await alice.says(room, "Question")
        await bob.says(room, "Answer", reply_to=question)
        await alice.delete(f"/api/messages/{question}")
        (left,) = await bob.messages(room)
        assert (left["content"], left["reply_to"]) == ("Answer", question)


class TestEditing:
    async def test_everybody_sees_the_new_text(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Helo")
        edited = await alice.asks("message.edit", message_id=message, content="Hello")
        assert (edited["type"], edited["message_id"]) == ("message.sent", message)
        frame = await bob.hears("message.updated", id=message)
        assert frame["message"]["content"] == "Hello"
        assert frame["message"]["edited_at"] >= frame["message"]["created_at"]
        assert await bob.messages(room) == [frame["message"]]
        assert (await bob.sees_in_list(room))["last_message"]["content"] == "Hello"

    async def test_over_rest(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Helo")
        answer = await alice.patch(f"/api/messages/{message}", {"content": "Hello"})
        assert (answer.status, answer.json["content"]) == (200, "Hello")
        frame = await bob.hears("message.updated", id=message)
        assert answer.json == frame["message"]

    async def test_the_last_edit_counts_and_the_place_stays(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "0")
        await alice.says(room, "after it")
        for number in range(1, 4):
            await alice.asks("message.edit", message_id=message, content=str(number))
        assert await alice.texts(room) == ["3", "after it"]

    async def test_edits_are_neither_messages_nor_unread(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Helo")
        await bob.reads(room, message)
        await alice.asks("message.edit", message_id=message, content="Hello")
        await bob.hears("message.updated")
        assert await bob.unread(room) == 0
        assert len(bob.heard("message.new")) == 1

    async def test_an_edit_keeps_what_the_message_answers(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        question = await alice.says(room, "Question")
        reply = await alice.says(room, "Anser", reply_to=question)
        await alice.asks("message.edit", message_id=reply, content="Answer")
        assert (await alice.gets(f"/api/messages/{reply}"))["reply_to"] == question

    async def test_only_the_author_may(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        room = await alice.creates_group(bob)
        message = await bob.says(room, "Mine")
        refused = await alice.asks("message.edit", message_id=message, content="Yours")
        assert refused["code"] == "FORBIDDEN"
        for answer in (
            await eve.asks("message.edit", message_id=message, content="Yours"),
            await eve.asks("message.edit", message_id=str(uuid4()), content="Yours"),
        ):
            assert answer["code"] == "INVALID_MESSAGE"
        assert await bob.texts(room) == ["Mine"]

    async def test_what_is_deleted_cannot_be_edited(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "Hello")
        await alice.asks("message.delete", message_id=message)
        refused = await alice.asks("message.edit", message_id=message, content="Back")
        assert refused["code"] == "INVALID_MESSAGE"
        assert await alice.messages(room) == []


class TestDeleting:
    async def test_it_is_gone_for_everybody(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        kept = await alice.says(room, "Stay")
        message = await alice.says(room, "Go")
        await alice.asks("message.delete", message_id=message)
        frame = await bob.hears("message.deleted")
        assert (frame["message_id"], frame["room_id"]) == (message, room)
        assert frame["user_id"] == alice.id
        assert [each["id"] for each in await bob.messages(room)] == [kept]
        assert (await bob.sees_in_list(room))["last_message"]["id"] == kept

    async def test_a_deleted_message_says_nothing_but_that(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Go")
        await alice.asks("message.edit", message_id=message, content="Go away")
        await alice.delete(f"/api/messages/{message}")
        left = await bob.gets(f"/api/messages/{message}")
        assert left["content"] == ""
        assert left["deleted_at"]

    async def test_an_admin_of_the_room_may_delete_what_others_wrote(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        message = await bob.says(room, "Rude")
        refused = await carol.asks("message.delete", message_id=message)
        assert refused["code"] == "FORBIDDEN"
        assert (await carol.delete(f"/api/messages/{message}")).error == (403, "FORBIDDEN")
        await alice.asks("message.delete", message_id=message)
        frame = await bob.hears("message.deleted", message_id=message)
        assert frame["user_id"] == alice.id

    async def test_strangers_learn_nothing_by_trying(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        room = await alice.creates_group()
        message = await alice.says(room, "Private")
        for frame_type, fields in (
            ("message.delete", {}),
            ("message.edit", {"content": "x"}),
            ("reaction.add", {"key": "x"}),
            ("reaction.remove", {"key": "x"}),
        ):
            there = await eve.asks(frame_type, message_id=message, ref="r", **fields)
            not_there = await eve.asks(frame_type, message_id=str(uuid4()), ref="r", **fields)
            assert there == not_there
        assert (await eve.get(f"/api/messages/{message}")).error == (404, "INVALID_MESSAGE")
        for path in ("thread", "receipts"):
            answer = await eve.get(f"/api/messages/{message}/{path}")
            assert answer.error == (404, "INVALID_MESSAGE")

    async def test_it_counts_as_unread_no_more(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.says(room, "One")
        message = await alice.says(room, "Two")
        assert await bob.unread(room) == 2
        await alice.asks("message.delete", message_id=message)
        assert await bob.unread(room) == 1

    async def test_a_page_may_end_at_a_deleted_message(self, play: Play) -> None:
        """It may have been deleted after a client loaded the page that begins with it."""
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        ids = [await alice.says(room, str(number)) for number in range(4)]
        await alice.asks("message.delete", message_id=ids[2])
        assert await alice.texts(room, before=ids[2]) == ["0", "1"]
        assert await alice.texts(room, limit=2) == ["1", "3"]


class TestReactions:
    async def test_added_and_removed(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        await bob.asks("reaction.add", message_id=message, key=THUMB)
        frame = await alice.hears("reaction.added")
        assert (frame["message_id"], frame["room_id"]) == (message, room)
        assert (frame["user_id"], frame["key"]) == (bob.id, THUMB)
        (seen,) = await bob.messages(room)
        assert seen["reactions"] == [{"key": THUMB, "count": 1, "users": [bob.id], "mine": True}]
        assert (await alice.messages(room))[0]["reactions"][0]["mine"] is False
        await bob.asks("reaction.remove", message_id=message, key=THUMB)
        removed = await alice.hears("reaction.removed", message_id=message)
        assert (removed["user_id"], removed["key"]) == (bob.id, THUMB)
        assert "reactions" not in (await bob.messages(room))[0]

    async def test_over_rest_with_any_key(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        for key in (THUMB, "+1", "a/b", "50 %", "é?#&"):
            path = reaction_path(message, key)
            answer = await bob.put(path)
            assert (answer.status, answer.json) == (200, {"message_id": message, "key": key})
            await alice.hears("reaction.added", key=key)
            assert (await bob.delete(path)).status == 204
            await alice.hears("reaction.removed", key=key)

    async def test_each_counts_once(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        for person in (alice, bob, bob, alice):
            await person.asks("reaction.add", message_id=message, key=THUMB)
        await bob.asks("reaction.add", message_id=message, key="🎉")
        first, second = (await alice.messages(room))[0]["reactions"]
        assert (first["key"], first["count"], first["users"]) == (THUMB, 2, [alice.id, bob.id])
        assert (second["key"], second["count"]) == ("🎉", 1)
        await alice.hears("reaction.added", key="🎉")
        assert len(alice.heard("reaction.added", key=THUMB)) == 2

    async def test_again_after_taking_it_back(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "Lunch?")
        for frame_type in ("reaction.add", "reaction.remove", "reaction.add"):
            await alice.asks(frame_type, message_id=message, key=THUMB)
        assert (await alice.messages(room))[0]["reactions"][0]["count"] == 1

    async def test_nobody_takes_back_what_another_gave(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        await bob.asks("reaction.add", message_id=message, key=THUMB)
        refused = await alice.asks("reaction.remove", message_id=message, key=THUMB)
        assert refused["code"] == "NOT_FOUND"
        assert (await alice.delete(reaction_path(message, THUMB))).error == (404, "NOT_FOUND")
        assert (await alice.messages(room))[0]["reactions"][0]["count"] == 1

    async def test_they_are_neither_messages_nor_unread(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        await bob.asks("reaction.add", message_id=message, key=THUMB)
        assert await alice.unread(room) == 0
        assert await alice.texts(room) == ["Lunch?"]

    async def test_a_deleted_message_takes_none(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Lunch?")
        await alice.asks("message.delete", message_id=message)
        refused = await bob.asks("reaction.add", message_id=message, key=THUMB)
        assert refused["code"] == "INVALID_MESSAGE"

    @pytest.mark.parametrize("key", ["", "  ", "x" * 101])
    async def test_what_is_no_reaction(self, play: Play, key: str) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "Lunch?")
        refused = await alice.asks("reaction.add", message_id=message, key=key)
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "key")


class TestThreads:
    async def test_a_thread_stands_beside_the_conversation(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        root = await alice.says(room, "Where do we eat?")
        answers = [await bob.says(room, f"Idea {number}", thread_id=root) for number in range(3)]
        frame = await alice.hears("message.new", content="Idea 0")
        assert frame["message"]["thread_id"] == root
        thread = await alice.gets(f"/api/messages/{root}/thread")
        assert [message["id"] for message in thread] == answers
        assert {message["thread_id"] for message in thread} == {root}
        assert (await alice.gets(f"/api/messages/{root}"))["thread_count"] == 3
        page = await alice.gets(f"/api/messages/{root}/thread", limit=1, before=answers[2])
        assert [message["id"] for message in page] == [answers[1]]

    async def test_over_rest(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        root = await alice.says(room, "Root")
        body = {"content": "Leaf", "thread_id": root}
        leaf = (await alice.post(f"/api/rooms/{room}/messages", body)).json["id"]
        assert (await alice.gets(f"/api/messages/{leaf}"))["thread_id"] == root

    async def test_a_deleted_answer_is_not_counted(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        root = await alice.says(room, "Root")
        leaf = await alice.says(room, "Leaf", thread_id=root)
        await alice.says(room, "Other leaf", thread_id=root)
        await alice.asks("message.delete", message_id=leaf)
        assert (await alice.gets(f"/api/messages/{root}"))["thread_count"] == 1
        (left,) = await alice.gets(f"/api/messages/{root}/thread")
        assert left["content"] == "Other leaf"


class TestPages:
    async def pages(self, reader: Person, room: str, limit: int) -> list[list[str]]:
        """All pages, the newest first, as a client loads them that scrolls up."""
        pages: list[list[str]] = []
        before: dict[str, str] = {}
        while page := await reader.messages(room, limit=limit, **before):
            assert len(page) <= limit
            pages.append([message["content"] for message in page])
            before = {"before": page[0]["id"]}
        return pages

    async def test_many_pages_join_without_gap_or_overlap(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        texts = [f"Message {number}" for number in range(113)]
        for text in texts:
            await alice.device.sends("message.send", room_id=room, content=text)
        await bob.hears("message.new", content=texts[-1])
        for limit in (10, 50, 113, 200):
            pages = await self.pages(bob, room, limit)
            assert [text for page in reversed(pages) for text in page] == texts
            assert all(len(page) == limit for page in pages[:-1])

    async def test_fifty_unless_the_client_says_otherwise(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        for number in range(55):
            await alice.device.sends("message.send", room_id=room, content=str(number))
        await alice.hears("message.new", content="54")
        assert await alice.texts(room) == [str(number) for number in range(5, 55)]

    @pytest.mark.parametrize("limit", ["0", "-1", "201", "many", ""])
    async def test_limits_that_make_no_sense(self, play: Play, limit: str) -> None:
        alice = await play.enters("alice")
        room = await alice.creates_group()
        answer = await alice.get(f"/api/rooms/{room}/messages", limit=limit)
        assert answer.error == (400, "INVALID_INPUT")
        assert answer.json["field"] == "limit"

    async def test_before_something_that_is_no_message_of_the_room(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room, other = await alice.creates_group(), await alice.creates_group()
        elsewhere = await alice.says(other, "Elsewhere")
        for before in (elsewhere, str(uuid4()), "nonsense"):
            answer = await alice.get(f"/api/rooms/{room}/messages", before=before)
            assert answer.error == (404, "INVALID_MESSAGE")

    async def test_what_is_written_meanwhile_does_not_move_pages(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        for number in range(6):
            await alice.says(room, str(number))
        newest = await alice.messages(room, limit=3)
        await alice.says(room, "meanwhile")
        assert await alice.texts(room, limit=3, before=newest[0]["id"]) == ["0", "1", "2"]


class TestFrames:
    """What is no frame is answered, and the connection goes on."""

    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            ("", "INVALID_FRAME"),
            ("hello", "INVALID_FRAME"),
            ("{", "INVALID_FRAME"),
            ("[]", "INVALID_FRAME"),
            ("null", "INVALID_FRAME"),
            ("{}", "INVALID_FRAME"),
            ('{"type": null}', "UNKNOWN_FRAME"),
            ('{"type": 1}', "UNKNOWN_FRAME"),
            ('{"type": "nope"}', "UNKNOWN_FRAME"),
            ('{"type": "message.new"}', "UNKNOWN_FRAME"),
            ('{"type": "message.send"}', "INVALID_INPUT"),
            ('{"type": "message.send", "room_id": 1, "content": "x"}', "INVALID_INPUT"),
            ('{"type": "presence.update", "status": "asleep"}', "INVALID_INPUT"),
            ("[" * 100_000, "INVALID_FRAME"),
            ('{"type":"ping","ref":"' + "x" * 65 + '"}', "INVALID_INPUT"),
        ],
    )
    async def test_refused_with_the_reason(self, play: Play, raw: str, code: str) -> None:
        (alice,) = await play.cast("alice")
        await alice.device.socket.send(raw)
        frame: Frame = await alice.hears("error")
        assert frame["code"] == code
        assert frame["message"]
        await alice.device.is_up_to_date()

    async def test_a_binary_frame(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await alice.device.socket.send(b'{"type": "ping"}')
        assert (await alice.hears("error"))["code"] == "INVALID_FRAME"
        await alice.device.is_up_to_date()

    async def test_the_error_names_the_frame(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await alice.device.sends("nope", ref="my-ref")
        assert (await alice.hears("error"))["ref"] == "my-ref"

    async def test_fields_that_a_newer_client_adds(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await alice.device.sends("ping", mood="good")
        await alice.hears("pong")

    async def test_one_in_several_pieces(self, play: Play) -> None:
        """RFC 6455, 5.4: a frame of this protocol is a message, however it travels."""
        (alice,) = await play.cast("alice")
        await alice.device.socket.send(['{"type": ', '"ping", ', '"ref": "pieces"}'])
        await alice.hears("pong", ref="pieces")

    async def test_a_ping_of_the_websocket_itself(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await (await alice.device.socket.ping(b"still there?"))
