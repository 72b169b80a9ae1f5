"""Looking into a room: all of it at once, and what happens in it from then on."""

import asyncio
from typing import Any

import pytest

from homeserver.sync import waiting_room
from tests.support.matrix_server import MatrixServer, MatrixUser, q

WAIT_MS = 60_000
NOBODYS_ROOM = "!nowhere:example.org"
WORLD = "world_readable"


async def room_of(alice: MatrixUser, visibility: str = WORLD) -> str:
    state = {"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}
    return await alice.creates_room(preset="public_chat", initial_state=[state])


async def at_once(user: MatrixUser, room: str, **query: object) -> dict[str, Any]:
    found: dict[str, Any] = await user.get(f"v3/rooms/{q(room)}/initialSync", **query)
    return found


async def news(user: MatrixUser, room: str, **query: object) -> dict[str, Any]:
    found: dict[str, Any] = await user.get("v3/events", room_id=room, **query)
    return found


def texts(chunk: list[dict[str, Any]]) -> list[str]:
    return [each["content"]["body"] for each in chunk if each["type"] == "m.room.message"]


async def stand(server: MatrixServer, count: int) -> None:
    """Until so many requests wait."""
    assert server.facades is not None
    while server.facades.syncing.waiting_room.size != count:  # noqa: ASYNC110
        await asyncio.sleep(0)


class TestRoomInitialSync:
    async def test_who_is_not_in_it_looks_into_a_room_that_the_world_may_read(self, alice, bob):
        room = await room_of(alice)
        await alice.says(room, "one")
        await alice.says(room, "two")
        seen = await at_once(bob, room)
        assert seen["room_id"] == room
        assert texts(seen["messages"]["chunk"]) == ["one", "two"]
        assert {each["room_id"] for each in seen["messages"]["chunk"]} == {room}
        assert "m.room.create" in {each["type"] for each in seen["state"]}

    @pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
    async def test_others_are_closed(self, alice, bob, visibility):
        room = await room_of(alice, visibility)
        path = f"v3/rooms/{q(room)}/initialSync"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        assert (
            await bob.is_refused("GET", f"v3/rooms/{q(NOBODYS_ROOM)}/initialSync", status=403)
            == "M_FORBIDDEN"
        )

    async def test_a_member_reads_his_room(self, alice):
        room = await room_of(alice, "joined")
        await alice.says(room, "one")
        assert texts((await at_once(alice, room))["messages"]["chunk"]) == ["one"]

    async def test_its_tokens_lead_to_earlier_events_and_to_later_ones(self, alice, bob):
        room = await room_of(alice)
        for text in ("one", "two", "three"):
            await alice.says(room, text)
        messages = (await at_once(bob, room, limit=1))["messages"]
        assert texts(messages["chunk"]) == ["three"]
        path, earlier = f"v3/rooms/{q(room)}/messages", messages["start"]
        page = await bob.get(path, **{"from": earlier, "dir": "b", "limit": 2})
        assert texts(page["chunk"]) == ["two", "one"]
        await alice.says(room, "four")
        page = await bob.get(path, **{"from": messages["end"], "dir": "f"})
        assert texts(page["chunk"]) == ["four"]

    async def test_where_nothing_is_earlier_there_is_no_start(self, alice, bob):
        room = await room_of(alice)
        assert "start" not in (await at_once(bob, room, limit=100))["messages"]

    async def test_it_says_whether_the_directory_lists_the_room(self, alice):
        room = await room_of(alice)
        assert (await at_once(alice, room))["visibility"] == "private"
        await alice.put(f"v3/directory/list/room/{q(room)}", {"visibility": "public"})
        assert (await at_once(alice, room))["visibility"] == "public"


class TestPeekEvents:
    async def test_it_tells_what_came_after_a_token(self, alice, bob):
        room = await room_of(alice)
        since = (await at_once(bob, room))["messages"]["end"]
        await alice.says(room, "one")
        told = await news(bob, room, **{"from": since}, timeout=WAIT_MS)
        assert told["start"] == since
        assert texts(told["chunk"]) == ["one"]
        assert (await news(bob, room, **{"from": told["end"]}))["chunk"] == []

    async def test_it_waits_for_the_next_event_of_the_room(self, alice, bob):
        room, other = await room_of(alice), await room_of(alice)
        since = (await at_once(bob, room))["messages"]["end"]
        waiting = asyncio.create_task(news(bob, room, **{"from": since}, timeout=WAIT_MS))
        await alice.says(other, "elsewhere")
        await alice.says(room, "here")
        assert texts((await waiting)["chunk"]) == ["here"]

    async def test_without_a_token_only_what_happens_from_now_on(self, alice, bob):
        room = await room_of(alice)
        await alice.says(room, "before")
        told = await news(bob, room)
        assert told["chunk"] == []
        await alice.says(room, "after")
        assert texts((await news(bob, room, **{"from": told["end"]}))["chunk"]) == ["after"]

    async def test_rooms_that_the_world_may_not_read_are_closed(self, alice, bob):
        room = await room_of(alice, "shared")
        assert await bob.is_refused("GET", "v3/events", room_id=room, status=403) == "M_FORBIDDEN"
        assert (
            await bob.is_refused("GET", "v3/events", room_id=NOBODYS_ROOM, status=403)
            == "M_FORBIDDEN"
        )

    async def test_a_room_that_closes_meanwhile_says_no_more(self, alice, bob):
        room = await room_of(alice)
        since = (await at_once(bob, room))["messages"]["end"]
        await alice.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
        await alice.says(room, "among us")
        query = {"room_id": room, "from": since}
        assert await bob.is_refused("GET", "v3/events", **query, status=403) == "M_FORBIDDEN"

    async def test_what_the_parameters_have_to_be(self, alice):
        room = await room_of(alice)
        assert await alice.is_refused("GET", "v3/events", status=400) == "M_MISSING_PARAM"
        assert (
            await alice.is_refused("GET", "v3/events", room_id="lunch", status=400)
            == "M_INVALID_PARAM"
        )
        query = {"room_id": room, "from": "yesterday"}
        assert await alice.is_refused("GET", "v3/events", **query, status=400) == "M_INVALID_PARAM"

    async def test_who_logs_out_is_told_nothing_more(self, server, alice, bob):
        room = await room_of(alice)
        path = f"v3/events?room_id={q(room)}&timeout={WAIT_MS}"
        waiting = asyncio.create_task(bob.request("GET", path))
        await stand(server, 1)
        await bob.post("v3/logout")
        status, answer = await waiting
        assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN")

    async def test_one_request_too_many_ends_the_oldest(self, server, alice, bob, monkeypatch):
        monkeypatch.setattr(waiting_room, "MAX_WAITING_PER_USER", 2)
        room = await room_of(alice)
        since = (await at_once(bob, room))["messages"]["end"]
        waiting = []
        for count in (1, 2, 2):
            wanted = news(bob, room, **{"from": since}, timeout=WAIT_MS)
            waiting.append(asyncio.create_task(wanted))
            await stand(server, count)
        assert (await waiting[0])["chunk"] == []
        await alice.says(room, "now")
        assert [texts((await each)["chunk"]) for each in waiting[1:]] == [["now"], ["now"]]
