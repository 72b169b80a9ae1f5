"""Finding messages by their words."""

import asyncio
import signal
from secrets import token_hex
from typing import Any
from uuid import uuid4

import pytest

from tests.support.play import Person, Play, eventually


async def found(reader: Person, q: str, **more: Any) -> list[str]:
    """Texts of what is found now."""
    return [message["content"] for message in await reader.gets("/api/search", q=q, **more)]


async def finds(reader: Person, q: str, *expected: str, **more: Any) -> None:
    """Returns when exactly these are found, the newest first: what is written can be found soon."""

    async def look() -> bool:
        return await found(reader, q, **more) == list(expected)

    assert await eventually(look)


async def says_last(author: Person, room: str) -> None:
    """Returns when everything that was written before this can be found."""
    word = f"last{token_hex(6)}"
    await author.says(room, word)
    await finds(author, word, word)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "queries"),
        [
            ("The quarterly report is ready", ["report", "REPORT", "rep", "ready quarterly"]),
            ("Une réunion à l'école élémentaire", ["reunion", "Réunion", "école", "ecole elem"]),
            ("Die Straße ist gesperrt", ["strasse", "Straße", "STRASSE"]),
            ("Встреча завтра в десять", ["встреча", "ВСТРЕЧА завт"]),
            ("Η συνάντηση είναι αύριο", ["συναντηση", "ΑΎΡΙΟ"]),
            ("הפגישה מחר בבוקר", ["הפגישה", "מחר"]),
            ("الاجتماع غدا صباحا", ["الاجتماع", "غدا"]),
            ("明日は東京で会議です", ["東京", "会議", "明日"]),
            ("明天在北京开会", ["北京", "开会"]),
            ("내일 서울에서 회의가 있습니다", ["회의", "서울"]),
            ("พรุ่งนี้มีประชุมที่กรุงเทพ", ["ประชุม"]),
            ("कल बैठक है", ["बैठक"]),
            ("We deploy v2.3.1 to node-17 at 14:30", ["v2", "node 17", "14:30"]),
            ("Mail bob@example.org about PR #4711", ["bob@example.org", "4711"]),
            ("Party 🎉 tonight", ["party 🎉", "🎉"]),
        ],
    )
    async def test_of_any_language(self, play: Play, text: str, queries: list[str]) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.says(room, text)
        await alice.says(room, "Something else entirely")
        for query in queries:
            await finds(alice, query, text)

    async def test_all_of_them_must_be_there(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.says(room, "budget for spring")
        await alice.says(room, "budget for autumn")
        await finds(alice, "budget", "budget for autumn", "budget for spring")
        await finds(alice, "autumn budget", "budget for autumn")
        assert await found(alice, "budget winter") == []
        assert await found(alice, "udget") == []

    @pytest.mark.parametrize("q", ["", "  ", "!?.", None])
    async def test_a_search_for_nothing(self, play: Play, q: str | None) -> None:
        alice = await play.enters("alice")
        query = {} if q is None else {"q": q}
        answer = await alice.get("/api/search", **query)
        assert answer.error == (400, "INVALID_INPUT")
        assert answer.json["field"] == "q"

    @pytest.mark.parametrize("q", ["' OR 1=1 --", "a & b | !c:*", "\\", "<->", "(a", "%_", "x\0y"])
    async def test_nothing_in_a_query_is_an_operator(self, play: Play, q: str) -> None:
        alice = await play.enters("alice")
        assert (await alice.get("/api/search", q=q)).status in (200, 400)

    async def test_what_is_found_is_the_message(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        question = await alice.says(room, "Any news of the harvest?")
        await bob.says(room, "The harvest is in", reply_to=question)
        await finds(alice, "harvest", "The harvest is in", "Any news of the harvest?")
        assert await alice.gets("/api/search", q="harvest") == (await alice.messages(room))[::-1]


class TestFilters:
    async def test_by_room_and_author(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        here, there = await alice.creates_group(bob), await alice.creates_group(bob)
        for room, place in ((here, "here"), (there, "there")):
            for person, name in ((alice, "Alice"), (bob, "Bob")):
                await person.says(room, f"weather of {name} {place}")
        everything = [
            f"weather of {name} {place}" for place in ("there", "here") for name in ("Bob", "Alice")
        ]
        await finds(alice, "weather", *everything)
        assert await found(alice, "weather", room_id=here) == everything[2:]
        bobs = {"from": bob.id}
        assert await found(alice, "weather", **bobs) == everything[::2]
        assert await found(alice, "weather", room_id=here, **bobs) == [everything[2]]

    async def test_pages(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        texts = [f"apple number {number}" for number in range(25)]
        for text in texts:
            await alice.device.sends("message.send", room_id=room, content=text)
        await finds(alice, "apple", *reversed(texts))
        pages: list[str] = []
        before: dict[str, str] = {}
        while page := await alice.gets("/api/search", q="apple", limit=7, **before):
            assert len(page) <= 7
            pages += [message["content"] for message in page]
            before = {"before": page[-1]["id"]}
        assert pages == texts[::-1]

    async def test_what_does_not_exist(self, play: Play) -> None:
        alice, eve = await play.cast("alice", "eve")
        room = await eve.creates_group()
        for query, code in (
            ({"room_id": str(uuid4())}, "INVALID_ROOM"),
            ({"room_id": room}, "INVALID_ROOM"),
            ({"from": str(uuid4())}, "INVALID_USER"),
            ({"before": str(uuid4())}, "INVALID_MESSAGE"),
        ):
            answer = await alice.get("/api/search", q="anything", **query)
            assert answer.error == (404, code)


class TestWhoFindsWhat:
    async def test_only_members(self, play: Play) -> None:
        alice, bob, eve = await play.cast("alice", "bob", "eve")
        word = f"word{play.tag}"
        room = await alice.creates_group(bob)
        await alice.says(room, f"{word} for members")
        channel = (await alice.creates("channel", name=f"C {play.tag}", public=True))["id"]
        await alice.says(channel, f"{word} in public")
        await finds(alice, word, f"{word} in public", f"{word} for members")
        assert await found(bob, word) == [f"{word} for members"]
        assert await found(eve, word) == []

    async def test_who_left_or_was_removed_finds_nothing_more(self, play: Play) -> None:
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        await alice.says(room, "confidential figures")
        await finds(bob, "confidential", "confidential figures")
        await bob.post(f"/api/rooms/{room}/leave")
        await alice.delete(f"/api/rooms/{room}/members/{carol.id}")
        for person in (bob, carol):
            assert await found(person, "confidential") == []
            answer = await person.get("/api/search", q="confidential", room_id=room)
            assert answer.error == (404, "INVALID_ROOM")

    @pytest.mark.parametrize(("visibility", "seen"), [("shared", 2), ("joined", 1)])
    async def test_a_new_member_finds_what_the_history_shows(
        self, play: Play, visibility: str, seen: int
    ) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(history_visibility=visibility)
        await alice.says(room, "minutes before")
        await alice.post(f"/api/rooms/{room}/members", {"user_ids": [bob.id]})
        await alice.says(room, "minutes after")
        await finds(alice, "minutes", "minutes after", "minutes before")
        assert await found(bob, "minutes") == ["minutes after", "minutes before"][:seen]

    async def test_a_deleted_room_is_not_searched(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.says(room, "obsolete plans")
        await finds(alice, "obsolete", "obsolete plans")
        await alice.delete(f"/api/rooms/{room}")
        assert await found(alice, "obsolete") == []


class TestChanges:
    async def test_edits(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "lunch at noon")
        await finds(alice, "noon", "lunch at noon")
        await alice.asks("message.edit", message_id=message, content="lunch at one")
        await finds(alice, "one", "lunch at one")
        await finds(alice, "noon")

    async def test_deletions_count_at_once(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "embarrassing story")
        await finds(alice, "embarrassing", "embarrassing story")
        await alice.asks("message.delete", message_id=message)
        assert await found(alice, "embarrassing") == []
        await says_last(alice, room)
        assert await found(alice, "embarrassing") == []

    async def test_what_was_deleted_before_it_was_indexed(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "never mind")
        await alice.asks("message.delete", message_id=message)
        await says_last(alice, room)
        assert await found(alice, "never") == []

    async def test_nothing_is_forgotten_over_a_crash(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        texts = [f"{play.tag} entry {number}" for number in range(30)]
        for text in texts:
            await alice.says(room, text)
        await asyncio.to_thread(play.server.restart, signal.SIGKILL)
        await finds(alice, f"{play.tag} entry", *reversed(texts))
