"""Coming back with a cursor: what was missed comes in order, nothing is lost, nothing twice."""

import asyncio
import signal

import pytest

from tests.support.play import Person, Play
from tests.support.promises import Frame


def texts(frames: list[Frame]) -> list[str]:
    return [frame["message"]["content"] for frame in frames]


async def comes_back(person: Person, cursor: str | None) -> list[Frame]:
    """Connects; returns what the server sent before it said that this was all."""
    device = await person.connects(cursor=cursor)
    resumed = await device.hears("resumed")
    missed = device.frames[: device.frames.index(resumed)]
    assert resumed["replayed"] == len(missed)
    return missed


class TestComingBack:
    async def test_everything_that_lasts(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob)
        old = await alice.says(room, "old")
        await bob.hears("message.new", id=old)
        await bob.device.is_up_to_date()
        cursor = bob.device.cursor
        await bob.leaves_the_stage()

        new = await alice.says(room, "new", reply_to=old)
        await alice.asks("message.edit", message_id=new, content="newer", ref="e")
        await alice.asks("reaction.add", message_id=new, key="👍")
        await alice.asks("reaction.remove", message_id=new, key="👍")
        await alice.post(f"/api/rooms/{room}/members", {"user_ids": [carol.id]})
        await alice.patch(f"/api/rooms/{room}", {"name": "Renamed"})
        await alice.asks("message.delete", message_id=old)
        await carol.reads(room, new)
        await alice.hears("message.read")

        missed = await comes_back(bob, cursor)
        lasting = [frame["type"] for frame in missed if frame["type"] != "room.updated"]
        assert lasting == [
            "message.new",
            "message.updated",
            "reaction.added",
            "reaction.removed",
            "member.joined",
            "message.deleted",
            "unread",
            "message.read",
        ]
        assert missed[1]["message"] == (await bob.messages(room))[0]
        (*_, updated) = [frame for frame in missed if frame["type"] == "room.updated"]
        assert updated["room"]["name"] == "Renamed"
        assert sorted(updated["room"]["members"]) == sorted([alice.id, bob.id, carol.id])
        await alice.says(room, "live")
        await bob.hears("message.new", content="live")

    async def test_nothing_missed(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.says(room, "heard")
        await bob.hears("message.new")
        await bob.device.vanishes()
        assert await comes_back(bob, bob.devices[0].cursor) == []
        await alice.says(room, "live")
        await bob.hears("message.new", content="live")
        assert texts(bob.heard("message.new")) == ["live"]

    async def test_what_is_of_the_moment_is_not_repeated(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        await alice.asks("typing.start", room_id=room)
        await alice.asks("presence.update", status="busy")
        assert await comes_back(bob, cursor) == []

    async def test_a_message_that_is_deleted_by_now_says_nothing(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        message = await alice.says(room, "a slip of the tongue")
        await alice.asks("message.delete", message_id=message)
        missed = await comes_back(bob, cursor)
        assert [frame["type"] for frame in missed] == ["message.new", "message.deleted", "unread"]
        assert texts(missed[:1]) == [""]

    async def test_without_a_cursor_nothing_is_repeated(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.leaves_the_stage()
        await alice.says(room, "missed")
        device = await bob.connects()
        await device.is_up_to_date()
        assert device.heard("message.new") == []

    async def test_now_is_a_cursor_to_begin_with(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.leaves_the_stage()
        await alice.says(room, "before")
        assert await comes_back(bob, "now") == []
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        await alice.says(room, "after")
        assert texts(await comes_back(bob, cursor)) == ["after"]

    async def test_the_cursor_of_an_answer_works_as_well(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        sent = await alice.asks("message.send", room_id=room, content="one")
        await alice.device.vanishes()
        seen = texts(alice.devices[0].heard("message.new"))
        await bob.says(room, "two")
        await bob.hears("message.new", content="two")
        missed = texts(await comes_back(alice, sent["cursor"]))
        assert list(dict.fromkeys(seen + missed)) == ["one", "two"]


class TestComingAndGoingMeanwhile:
    async def test_added_to_a_room(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await bob.leaves_the_stage()
        await bob.connects(cursor="now")
        cursor = (await bob.hears("resumed"))["cursor"]
        await bob.leaves_the_stage()
        room = await alice.creates_group()
        await alice.says(room, "before him")
        await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]})
        await alice.says(room, "with him")
        missed = await comes_back(bob, cursor)
        joined = [frame for frame in missed if frame["type"] == "room.joined"]
        assert [frame["room"]["id"] for frame in joined] == [room]
        assert texts([frame for frame in missed if frame["type"] == "message.new"]) == ["with him"]

    async def test_removed_from_a_room(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        await alice.says(room, "with him")
        await alice.delete(f"/api/rooms/{room}/members/{bob.id}")
        await alice.says(room, "without him")
        missed = await comes_back(bob, cursor)
        assert [frame["type"] for frame in missed] == ["message.new", "room.left"]
        assert texts(missed[:1]) == ["with him"]
        assert missed[1]["reason"] == "removed"

    async def test_removed_and_added_again(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        for text in ("first", "second"):
            await alice.says(room, f"{text} time with him")
            await alice.delete(f"/api/rooms/{room}/members/{bob.id}")
            await alice.says(room, f"{text} time without him")
            await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]})
        missed = await comes_back(bob, cursor)
        heard = texts([frame for frame in missed if frame["type"] == "message.new"])
        assert heard == ["first time with him", "second time with him"]

    async def test_the_room_was_deleted(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        await alice.says(room, "last words")
        await alice.delete(f"/api/rooms/{room}")
        missed = await comes_back(bob, cursor)
        ends = [frame for frame in missed if frame["type"] in ("room.deleted", "room.left")]
        assert ends
        assert {frame["room_id"] for frame in ends} == {room}

    async def test_a_cursor_opens_no_door(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        room = await alice.creates_group()
        cursor = alice.device.cursor
        await alice.says(room, "private")
        assert await comes_back(eve, cursor) == []


class TestAFlakyNetwork:
    """Cut off again and again while a lot happens, a client misses nothing and hears nothing twice.

    It takes the cursor of the last frame that it saw, whatever kind of frame that was.
    """

    async def hears_all(self, person: Person, count: int, *, cut_after: int) -> list[str]:
        heard: list[str] = []
        device, cursor = person.device, person.device.cursor
        while len(heard) < count:
            for _ in range(min(cut_after, count - len(heard))):
                await device.hears("message.new")
            await device.vanishes()
            heard += texts(device.heard("message.new"))
            cursor = device.cursor or cursor
            device = await person.connects(cursor=cursor)
        return heard

    async def test_many_messages(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        expected = [f"Message {number}" for number in range(300)]

        async def talks() -> None:
            for text in expected:
                await alice.says(room, text)

        talking = asyncio.create_task(talks())
        heard = await self.hears_all(bob, len(expected), cut_after=17)
        await talking
        assert heard == expected
        assert len(bob.devices) > 3

    async def test_many_rooms_and_authors(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        rooms = [await alice.creates_group(bob, carol) for _ in range(4)]

        async def talks(person: Person) -> None:
            for number in range(25):
                for room in rooms:
                    await person.says(room, f"{person.name} {rooms.index(room)} {number}")

        talking = [asyncio.create_task(talks(person)) for person in (alice, carol)]
        heard = await self.hears_all(bob, 200, cut_after=11)
        await asyncio.gather(*talking)
        assert len(set(heard)) == len(heard) == 200
        for person in (alice, carol):
            for number in range(4):
                said = f"{person.name} {number} "
                assert [text for text in heard if text.startswith(said)] == [
                    f"{said}{count}" for count in range(25)
                ]


class TestARestart:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    async def test_nothing_that_was_acknowledged_is_lost(
        self, play: Play, how: signal.Signals
    ) -> None:
        """Messages are under way when the server ends. Their author sends those again that were
        not acknowledged, by the same refs.
        """
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        wanted = {f"ref {number}": f"Message {number}" for number in range(400)}
        for ref, text in wanted.items():
            await alice.device.sends("message.send", room_id=room, content=text, ref=ref)
        await alice.hears("message.sent")
        await asyncio.to_thread(play.server.restart, how)
        for person in (alice, bob):
            code, _ = await person.devices[0].is_closed()
            assert code == (1012 if how is signal.SIGTERM else 1006)
        acknowledged = {frame["ref"] for frame in alice.devices[0].heard("message.sent")}
        assert acknowledged

        cursor = bob.devices[0].cursor
        heard = texts(bob.devices[0].heard("message.new"))
        stored = await bob.texts(room, limit=200)
        assert {wanted[ref] for ref in acknowledged} <= set(await all_texts(bob, room))
        heard += texts([frame for frame in await comes_back(bob, cursor) if "message" in frame])
        assert heard == await all_texts(bob, room)
        assert heard[-len(stored) :] == stored

        await alice.connects()
        for ref, text in wanted.items():
            if ref not in acknowledged:
                await alice.asks("message.send", room_id=room, content=text, ref=ref)
        assert sorted(await all_texts(bob, room)) == sorted(wanted.values())

    async def test_read_marks_survive(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        first, _ = await alice.says(room, "one"), await alice.says(room, "two")
        await alice.hears("message.new", content="two")
        cursor = alice.device.cursor
        await bob.asks("message.read", room_id=room, message_id=first)
        await asyncio.to_thread(play.server.restart, signal.SIGKILL)
        assert await bob.unread(room) == 1
        missed = await comes_back(alice, cursor)
        assert [frame["message_id"] for frame in missed if frame["type"] == "message.read"] == [
            first
        ]


async def all_texts(reader: Person, room: str) -> list[str]:
    """What the room says, from its beginning."""
    found: list[str] = []
    before: dict[str, str] = {}
    while page := await reader.messages(room, limit=200, **before):
        found = [message["content"] for message in page] + found
        before = {"before": page[0]["id"]}
    return found


class TestCursorsThatDoNotHelp:
    @pytest.mark.parametrize(
        "cursor",
        ["", "nonsense", "e1", "e-1_r0", "e1_r1_x1", "e99999999999999999_r0", "e1_r9" * 50],
    )
    async def test_none_that_this_server_gave(self, play: Play, cursor: str) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        device = await bob.connects(cursor=cursor)
        resumed = await device.hears("resumed")
        assert resumed["replayed"] == 0
        assert (await device.hears("error", code="CURSOR_TOO_OLD"))["message"]
        # Presence is of the moment, and may come at any.
        heard = [frame for frame in device.frames if frame["type"] != "presence"]
        assert heard[-1] == resumed
        await alice.says(room, "live")
        await device.hears("message.new", content="live")
        await device.vanishes()
        await alice.says(room, "missed")
        assert texts(await comes_back(bob, device.cursor)) == ["missed"]
