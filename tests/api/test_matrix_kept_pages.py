"""Pages of history that are kept for the next who reads them. Source: message_pagination.yaml."""

from typing import Any

import pytest

from homeserver.message_json import Message
from homeserver.storage.database import Database
from homeserver.views.page_cache import CachedPage, Outline, PageCache
from tests.support.matrix_server import MatrixUser, q
from tests.support.queries import counted


class History:
    """A room with ten messages, and a page out of the middle of it."""

    def __init__(self, alice: MatrixUser, room: str, sent: list[str], start: str) -> None:
        self.alice = alice
        self.room = room
        self.sent = sent
        self._start = start

    async def page(self, by: MatrixUser, **query: Any) -> Any:
        wanted = {"dir": "b", "limit": 4, "from": self._start} | query
        return await by.get(f"v3/rooms/{q(self.room)}/messages", **wanted)

    async def event(self, by: MatrixUser, event_id: str) -> Any:
        chunk = (await self.page(by))["chunk"]
        return next(each for each in chunk if each["event_id"] == event_id)


@pytest.fixture
async def history(alice, bob) -> History:
    room = await alice.creates_room(preset="public_chat")
    await bob.joins(room)
    sent = [await alice.says(room, str(number)) for number in range(10)]
    newest = await alice.get(f"v3/rooms/{q(room)}/messages", dir="b", limit=2)
    return History(alice, room, sent, newest["end"])


def without_ages(page: Any) -> Any:
    for event in page["chunk"]:
        assert event["unsigned"].pop("age") >= 0
    return page


class TestWhoReadsAgain:
    async def test_gets_the_same_without_a_look_at_the_events(
        self, history: History, bob: MatrixUser, database: Database
    ) -> None:
        first = without_ages(await history.page(bob))
        assert [each["content"]["body"] for each in first["chunk"]] == ["7", "6", "5", "4"]
        async with counted(database) as statements:
            again = without_ages(await history.page(bob))
        assert again == first
        assert statements == []

    async def test_gets_the_members_too(self, history: History, bob: MatrixUser) -> None:
        lazy = '{"lazy_load_members": true}'
        first = await history.page(bob, filter=lazy)
        again = await history.page(bob, filter=lazy)
        assert [each["state_key"] for each in again["state"]] == [history.alice.user_id]
        assert without_ages(again)["chunk"] == without_ages(first)["chunk"]

    async def test_goes_on_where_it_ends(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        end = (await history.page(bob))["end"]
        following = await history.page(bob, **{"from": end})
        assert following["chunk"][0]["content"]["body"] == "3"


class TestWhoReadsPageByPage:
    """A page of two: 7 6, 5 4, 3 2."""

    async def _second(self, history: History, bob: MatrixUser) -> Any:
        first = await history.page(bob, limit=2)
        return await history.page(bob, limit=2, **{"from": first["end"]})

    async def test_finds_the_next_page_there(
        self, history: History, bob: MatrixUser, database: Database
    ) -> None:
        second = await self._second(history, bob)
        async with counted(database) as statements:
            third = await history.page(bob, limit=2, **{"from": second["end"]})
        assert [each["content"]["body"] for each in third["chunk"]] == ["3", "2"]
        assert [each for each in statements if "FROM events e" in each] == []

    async def test_finds_what_was_changed_meanwhile(
        self, history: History, bob: MatrixUser
    ) -> None:
        second = await self._second(history, bob)
        path = f"v3/rooms/{q(history.room)}/redact/{q(history.sent[3])}/r"
        await history.alice.put(path, {})
        third = await history.page(bob, limit=2, **{"from": second["end"]})
        assert [each["content"].get("body") for each in third["chunk"]] == [None, "2"]

    async def test_may_have_been_removed_meanwhile(self, history: History, bob: MatrixUser) -> None:
        second = await self._second(history, bob)
        await history.alice.sets(
            history.room, "m.room.history_visibility", {"history_visibility": "joined"}
        )
        await bob.post(f"v3/rooms/{q(history.room)}/leave")
        await bob.post(f"v3/rooms/{q(history.room)}/forget")
        path = f"v3/rooms/{q(history.room)}/messages"
        query = {"dir": "b", "limit": 2, "from": second["end"]}
        assert await bob.is_refused("GET", path, status=403, **query) == "M_FORBIDDEN"

    async def test_one_page_alone_is_all_that_is_read(
        self, history: History, bob: MatrixUser, database: Database
    ) -> None:
        await history.page(bob)
        async with counted(database) as statements:
            await history.page(bob)
            await history.page(history.alice)
        assert statements == []


class TestWhatDependsOnTheReader:
    async def test_transaction_ids(self, history: History, bob: MatrixUser) -> None:
        path = f"v3/rooms/{q(history.room)}/event/{q(history.sent[5])}"
        wanted = (await history.alice.get(path))["unsigned"]["transaction_id"]
        for _ in range(2):
            others = await history.event(bob, history.sent[5])
            assert "transaction_id" not in others["unsigned"]
            own = await history.event(history.alice, history.sent[5])
            assert own["unsigned"]["transaction_id"] == wanted

    async def test_memberships_of_who_came_later(
        self, server, history: History, bob: MatrixUser
    ) -> None:
        await history.page(bob)
        carol = await server.registers("carol")
        await carol.joins(history.room)
        assert (await history.event(carol, history.sent[5]))["unsigned"]["membership"] == "leave"
        assert (await history.event(bob, history.sent[5]))["unsigned"]["membership"] == "join"

    async def test_whether_he_may_read_at_all(
        self, server, history: History, bob: MatrixUser
    ) -> None:
        await history.page(bob)
        mallory = await server.registers("mallory")
        path = f"v3/rooms/{q(history.room)}/messages"
        assert await mallory.is_refused("GET", path, status=403, dir="b") == "M_FORBIDDEN"


class TestWhoMayReadNoMore:
    async def test_who_has_left_and_forgets(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        assert (await history.page(bob))["chunk"]
        for action in ("leave", "forget"):
            await bob.post(f"v3/rooms/{q(history.room)}/{action}")
        path = f"v3/rooms/{q(history.room)}/messages"
        assert await bob.is_refused("GET", path, status=403, dir="b") == "M_FORBIDDEN"

    async def test_who_was_removed_reads_nothing_later(
        self, history: History, bob: MatrixUser
    ) -> None:
        await history.page(bob)
        await history.alice.post(f"v3/rooms/{q(history.room)}/kick", {"user_id": bob.user_id})
        await history.alice.says(history.room, "he is gone")
        path = f"v3/rooms/{q(history.room)}/messages"
        newest = (await bob.get(path, dir="b", limit=100))["chunk"]
        assert "he is gone" not in [each["content"].get("body") for each in newest]
        assert newest[0]["content"]["membership"] == "leave"

    async def test_of_what_is_hidden_from_now_on(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        await bob.post(f"v3/rooms/{q(history.room)}/leave")
        hidden = {"history_visibility": "joined"}
        await history.alice.sets(history.room, "m.room.history_visibility", hidden)
        await history.alice.says(history.room, "secret")
        await bob.joins(history.room)
        path = f"v3/rooms/{q(history.room)}/messages"
        newest = (await bob.get(path, dir="b", limit=100))["chunk"]
        said = [each["content"].get("body") for each in newest]
        assert "secret" not in said
        assert "9" in said


class TestWhatChangesAPage:
    async def test_a_redaction(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        path = f"v3/rooms/{q(history.room)}/redact/{q(history.sent[5])}/r"
        await history.alice.put(path, {})
        for _ in range(2):
            assert (await history.event(bob, history.sent[5]))["content"] == {}

    async def test_an_edit(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        relation = {"rel_type": "m.replace", "event_id": history.sent[5]}
        new = {"msgtype": "m.text", "body": "new"}
        edit = {**new, "m.new_content": new, "m.relates_to": relation}
        await history.alice.sends(history.room, "m.room.message", edit)
        for _ in range(2):
            relations = (await history.event(bob, history.sent[5]))["unsigned"]["m.relations"]
            assert relations["m.replace"]["content"]["body"] == "new"

    async def test_a_thread(self, history: History, bob: MatrixUser) -> None:
        await history.page(bob)
        relation = {"rel_type": "m.thread", "event_id": history.sent[5]}
        answer = {"msgtype": "m.text", "body": "answer", "m.relates_to": relation}
        await history.alice.sends(history.room, "m.room.message", answer)
        for _ in range(2):
            relations = (await history.event(bob, history.sent[5]))["unsigned"]["m.relations"]
            assert relations["m.thread"]["count"] == 1


class _Tail:
    is_caught_up = True

    def subscribe(self, listener: Any) -> None:
        pass


def page_of(size: int) -> CachedPage:
    return CachedPage(
        outline=Outline(start=1, end=0, newest_version=1, senders=frozenset()),
        messages=[Message(b"x" * size, 0, None, None)],
        versions=frozenset(),
    )


class TestMemory:
    def test_the_pages_that_nobody_read_for_longest_leave(self) -> None:
        cache = PageCache(tail=_Tail(), max_bytes=3_000)  # type: ignore[arg-type]
        keys = [(1, 0, number, 10, False) for number in range(4)]
        for key in keys[:2]:
            cache.put(key, page_of(1_000), changes=0)
        assert cache.get(keys[0]) is not None
        for key in keys[2:]:
            cache.put(key, page_of(1_000), changes=0)
        kept = [key for key in keys if cache.get(key) is not None]
        assert kept == [keys[2], keys[3]]

    def test_what_was_read_before_something_changed_is_not_kept(self) -> None:
        cache = PageCache(tail=_Tail())  # type: ignore[arg-type]
        cache.changes += 1
        cache.put((1, 0, 1, 10, False), page_of(10), changes=0)
        assert cache.get((1, 0, 1, 10, False)) is None
