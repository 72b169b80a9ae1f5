"""Finding events and people."""

import asyncio
from typing import Any

import pytest

from homeserver.config import SearchConfig
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixUser, matrix_server, q

_TRIES = 200


async def search(user: MatrixUser, term: str, *, batch: str | None = None, **more: Any) -> Any:
    """The answer's part about events."""
    body = {"search_categories": {"room_events": {"search_term": term} | more}}
    query = {} if batch is None else {"next_batch": batch}
    answer = await user.asks("POST", "v3/search", body, query=query)
    return answer["search_categories"]["room_events"]


async def found(user: MatrixUser, term: str, **more: Any) -> list[str]:
    results = (await search(user, term, **more))["results"]
    return [each["result"]["event_id"] for each in results]


async def indexed(user: MatrixUser, room: str) -> None:
    """Returns when all that was said until now can be found: the index follows at its own pace."""
    word = "zyzzyva"
    event_id = await user.says(room, word)
    for _ in range(_TRIES):
        if event_id in await found(user, word, order_by="recent"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the search index does not follow")


class TestSearch:
    async def test_messages_names_and_topics(self, alice) -> None:
        room = await alice.creates_room(preset="public_chat")
        message = await alice.says(room, "Martians and men")
        name = await alice.sets(room, "m.room.name", {"name": "The martian house"})
        topic = await alice.sets(room, "m.room.topic", {"topic": "martian topics"})
        await indexed(alice, room)
        assert await found(alice, "martian", order_by="recent") == [topic, name, message]
        for key, expected in (("body", message), ("name", name), ("topic", topic)):
            assert await found(alice, "martian", keys=[f"content.{key}"]) == [expected]
        two = await found(
            alice, "martian", keys=["content.body", "content.name"], order_by="recent"
        )
        assert two == [name, message]
        assert await found(alice, "martian", keys=[]) == []

    async def test_what_a_result_says(self, alice) -> None:
        room = await alice.creates_room(preset="public_chat")
        event_id = await alice.says(room, "martians and men")
        await indexed(alice, room)
        answer = await search(alice, "Martian men")
        assert answer["count"] == 1
        assert set(answer["highlights"]) == {"martian", "men"}
        (result,) = answer["results"]
        assert result["rank"] > 0
        assert result["result"]["event_id"] == event_id
        assert "next_batch" not in answer
        assert "context" not in result

    async def test_context_with_profiles(self, alice, bob) -> None:
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        before = await bob.says(room, "before")
        event_id = await alice.says(room, "martians")
        after = await bob.says(room, "after")
        await indexed(alice, room)
        wanted = {"before_limit": 1, "after_limit": 1, "include_profile": True}
        answer = await search(alice, "martians", event_context=wanted)
        context = answer["results"][0]["context"]
        assert answer["results"][0]["result"]["event_id"] == event_id
        assert [each["event_id"] for each in context["events_before"]] == [before]
        assert [each["event_id"] for each in context["events_after"]] == [after]
        assert set(context["profile_info"]) == {alice.user_id, bob.user_id}
        page = await alice.get(
            f"v3/rooms/{q(room)}/messages", dir="f", limit=1, **{"from": context["start"]}
        )
        assert page["chunk"][0]["event_id"] == before

    async def test_state_of_the_rooms(self, alice) -> None:
        room = await alice.creates_room(preset="public_chat")
        await alice.says(room, "martians")
        await indexed(alice, room)
        answer = await search(alice, "martians", include_state=True)
        assert set(answer["state"]) == {room}
        assert "m.room.create" in {each["type"] for each in answer["state"][room]}

    @pytest.mark.parametrize("order_by", ["recent", "rank"])
    async def test_pages_and_groups(self, alice, bob, order_by) -> None:
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(2)]
        sent = [await alice.says(rooms[n % 2], f"martian {n}") for n in range(6)]
        await indexed(alice, rooms[0])
        by_room = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
        wanted = {"filter": {"limit": 2}, "order_by": order_by, "groupings": by_room}
        collected, batch = [], None
        while True:
            answer = await search(alice, "martian", batch=batch, **wanted)
            collected += [each["result"]["event_id"] for each in answer["results"]]
            batch = answer.get("next_batch")
            if batch is None:
                break
            groups = answer["groups"]
            assert set(groups["sender"]) == {alice.user_id}
        assert sorted(collected) == sorted(sent)
        if order_by == "recent":
            assert collected == sent[::-1]
        first = await search(alice, "martian", **wanted)
        group = first["groups"]["room_id"][rooms[0]]
        more = await search(alice, "martian", batch=group["next_batch"], **wanted)
        assert {each["result"]["room_id"] for each in more["results"]} == {rooms[0]}
        told = {each["result"]["event_id"] for each in more["results"]} | set(group["results"])
        assert told == {sent[0], sent[2], sent[4]}

    async def test_a_filter_chooses(self, alice, bob) -> None:
        room = await alice.creates_room(preset="public_chat")
        other = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        mine = await alice.says(room, "martian")
        his = await bob.says(room, "martian")
        elsewhere = await alice.says(other, "martian")
        await indexed(alice, room)
        by_sender = {"senders": [bob.user_id]}
        assert await found(alice, "martian", filter=by_sender) == [his]
        assert await found(alice, "martian", filter={"rooms": [other]}) == [elsewhere]
        both = {"not_rooms": [other], "not_senders": [bob.user_id]}
        assert await found(alice, "martian", filter=both) == [mine]
        assert await found(alice, "martian", filter={"senders": ["@nobody:example.org"]}) == []

    async def test_only_what_the_reader_may_see(self, server, alice, bob) -> None:
        room = await alice.creates_room(preset="public_chat")
        await alice.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
        await alice.says(room, "martian before")
        await bob.joins(room)
        seen = await alice.says(room, "martian there")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await alice.says(room, "martian after")
        await indexed(alice, room)
        assert await found(bob, "martian") == [seen]
        carol = await server.registers("carol")
        assert await found(carol, "martian") == []
        await bob.post(f"v3/rooms/{q(room)}/forget")
        assert await found(bob, "martian") == []

    async def test_what_is_redacted_or_ignored_is_not_found(self, alice, bob) -> None:
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        event_id = await alice.says(room, "martian")
        await bob.says(room, "martian")
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(event_id)}/r1")
        path = f"v3/user/{q(alice.user_id)}/account_data/m.ignored_user_list"
        await alice.put(path, {"ignored_users": {bob.user_id: {}}})
        await indexed(alice, room)
        assert await found(alice, "martian") == []

    async def test_encrypted_rooms_are_left_out(self, alice) -> None:
        room = await alice.creates_room(preset="public_chat")
        other = await alice.creates_room(preset="public_chat")
        await alice.says(room, "martian")
        await alice.sets(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        await indexed(alice, other)
        assert await found(alice, "martian") == []

    @pytest.mark.parametrize("term", ["", "   ", "?!", "x" * 5_000])
    async def test_a_term_without_results(self, alice, term) -> None:
        await alice.creates_room(preset="public_chat")
        answer = await search(alice, term)
        assert (answer["results"], answer["count"]) == ([], 0)

    async def test_without_a_category_there_is_no_result(self, alice) -> None:
        assert await alice.post("v3/search", {"search_categories": {}}) == {"search_categories": {}}

    @pytest.mark.parametrize(
        "criteria",
        [
            {},
            {"search_term": 1},
            {"search_term": "x", "order_by": "x"},
            {"search_term": "x", "keys": ["x"]},
            {"search_term": "x", "event_context": {"before_limit": -1}},
            {"search_term": "x", "groupings": {"group_by": [{"key": "x"}]}},
        ],
    )
    async def test_a_wrong_body_is_refused(self, alice, criteria) -> None:
        body = {"search_categories": {"room_events": criteria}}
        assert await alice.is_refused("POST", "v3/search", body, status=400) == "M_BAD_JSON"

    @pytest.mark.parametrize("batch", ["x", "", "W10=", "WzEsMixudWxsXQ==x", "é"])
    async def test_a_wrong_token_is_refused(self, alice, batch) -> None:
        body = {"search_categories": {"room_events": {"search_term": "x"}}}
        code = await alice.is_refused("POST", "v3/search", body, status=400, next_batch=batch)
        assert code == "M_INVALID_PARAM"

    async def test_a_wrong_filter_is_refused(self, alice) -> None:
        criteria = {"search_term": "x", "filter": {"types": "x"}}
        body = {"search_categories": {"room_events": criteria}}
        assert await alice.is_refused("POST", "v3/search", body, status=400) == "M_INVALID_PARAM"

    async def test_it_takes_a_token(self, server) -> None:
        body = {"search_categories": {}}
        assert await server.nobody.is_refused("POST", "v3/search", body, status=401)


class TestSearchSwitchedOff:
    async def test_both_protocols_say_so(self, database) -> None:
        config = OPEN.model_copy(update={"search": SearchConfig(enabled=False)})
        async with matrix_server(database, config=config) as server:
            alice = await server.registers("alice")
            body = {"search_categories": {"room_events": {"search_term": "x"}}}
            assert await alice.is_refused("POST", "v3/search", body, status=403) == "M_FORBIDDEN"
            assert await alice.native.is_refused("GET", "/api/search", q="x") == "FORBIDDEN"


class TestSearchUserDirectory:
    async def names(self, user: MatrixUser, term: str, **more: Any) -> list[str]:
        answer = await user.post("v3/user_directory/search", {"search_term": term} | more)
        return [each["user_id"] for each in answer["results"]]

    async def test_by_the_beginning_of_a_name_or_a_user_id(self, alice, bob) -> None:
        await bob.native.patch("/api/users/me", {"name": "Robert Smith"})
        for term in ("rob", "SMI", "robert smith", "bob", "@bob", "@bob:example.org"):
            assert await self.names(alice, term) == [bob.user_id]
        assert await self.names(alice, "berta") == []

    async def test_profiles_come_along(self, alice, bob) -> None:
        await bob.native.patch("/api/users/me", {"name": "Robert"})
        answer = await alice.post("v3/user_directory/search", {"search_term": "bob"})
        assert answer["results"] == [{"user_id": bob.user_id, "display_name": "Robert"}]
        assert answer["limited"] is False

    async def test_more_than_the_limit(self, server, alice) -> None:
        for number in range(3):
            await server.registers(f"dora{number}")
        answer = await alice.post("v3/user_directory/search", {"search_term": "dora", "limit": 2})
        assert (len(answer["results"]), answer["limited"]) == (2, True)

    @pytest.mark.parametrize("term", ["", "@", "\u0000", "x" * 10_000])
    async def test_a_term_without_results(self, alice, term) -> None:
        assert await self.names(alice, term) == []

    @pytest.mark.parametrize(
        "body", [{}, {"search_term": 1}, {"search_term": "x", "limit": "1"}, []]
    )
    async def test_a_wrong_body_is_refused(self, alice, body) -> None:
        code = await alice.is_refused("POST", "v3/user_directory/search", body, status=400)
        assert code == "M_BAD_JSON"


class TestGetMutualRooms:
    async def test_rooms_that_both_are_in(self, alice, bob) -> None:
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(3)]
        for room in rooms[:2]:
            await bob.joins(room)
        answer = await alice.get("v1/mutual_rooms", user_id=bob.user_id)
        assert answer == {"joined": rooms[:2], "count": 2}
        await bob.post(f"v3/rooms/{q(rooms[0])}/leave")
        answer = await alice.get("v1/mutual_rooms", user_id=bob.user_id)
        assert answer == {"joined": rooms[1:2], "count": 1}

    async def test_pages(self, alice, bob, monkeypatch) -> None:
        monkeypatch.setattr("homeserver.views.user_directory.ROOMS_AT_ONCE", 2)
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(3)]
        for room in rooms:
            await bob.joins(room)
        first = await alice.get("v1/mutual_rooms", user_id=bob.user_id)
        assert (first["joined"], first["count"]) == (rooms[:2], 3)
        second = await alice.get(
            "v1/mutual_rooms", user_id=bob.user_id, **{"from": first["next_batch"]}
        )
        assert second == {"joined": rooms[2:], "count": 3}

    async def test_with_somebody_unknown_none(self, alice) -> None:
        answer = await alice.get("v1/mutual_rooms", user_id="@nobody:example.com")
        assert answer == {"joined": [], "count": 0}

    @pytest.mark.parametrize(
        "query", [{}, {"user_id": "x"}, {"user_id": "@alice:example.org"}, {"from": "x"}]
    )
    async def test_wrong_parameters_are_refused(self, alice, query) -> None:
        query = {"user_id": "@bob:example.org"} | query if "from" in query else query
        code = await alice.is_refused("GET", "v1/mutual_rooms", status=400, **query)
        assert code == ("M_INVALID_PARAM" if query else "M_MISSING_PARAM")
