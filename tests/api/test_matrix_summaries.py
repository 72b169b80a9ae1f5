"""Rooms as somebody sees them who may join them: summaries, and the rooms of spaces."""

import itertools
from typing import Any

import pytest

from tests.support.matrix_server import MatrixUser, q


def state(event_type: str, **content: Any) -> dict[str, Any]:
    return {"type": event_type, "content": content}


async def restricted_room(alice: MatrixUser, gate: str, **more: Any) -> str:
    allow = [{"type": "m.room_membership", "room_id": gate}]
    rules = state("m.room.join_rules", join_rule="restricted", allow=allow)
    return await alice.creates_room(preset="private_chat", initial_state=[rules], **more)


async def space(alice: MatrixUser, **more: Any) -> str:
    return await alice.creates_room(
        preset="public_chat", creation_content={"type": "m.space"}, **more
    )


async def adds(alice: MatrixUser, parent: str, child: str, **content: Any) -> None:
    await alice.sets(parent, "m.space.child", {"via": ["example.org"]} | content, child)


class TestGetRoomSummary:
    async def test_what_the_room_says_about_itself(self, alice) -> None:
        room = await alice.creates_room(
            preset="public_chat",
            name="Cheese",
            topic="Tasty",
            room_alias_name="cheese",
            room_version="11",
            initial_state=[
                state("m.room.avatar", url="mxc://example.org/a"),
                state("m.room.encryption", algorithm="m.megolm.v1.aes-sha2"),
                state("m.room.history_visibility", history_visibility="world_readable"),
                state("m.room.guest_access", guest_access="can_join"),
            ],
            creation_content={"type": "org.example.type"},
        )
        expected = {
            "room_id": room,
            "name": "Cheese",
            "topic": "Tasty",
            "avatar_url": "mxc://example.org/a",
            "canonical_alias": "#cheese:example.org",
            "num_joined_members": 1,
            "world_readable": True,
            "guest_can_join": True,
            "join_rule": "public",
            "room_type": "org.example.type",
            "room_version": "11",
            "encryption": "m.megolm.v1.aes-sha2",
            "membership": "join",
        }
        assert await alice.get(f"v1/room_summary/{q(room)}") == expected
        assert await alice.get(f"v1/room_summary/{q('#cheese:example.org')}") == expected

    async def test_anybody_may_see_an_open_room(self, server, alice, bob) -> None:
        room = await alice.creates_room(preset="public_chat")
        seen = await bob.get(f"v1/room_summary/{q(room)}")
        assert seen["membership"] == "leave"
        assert "membership" not in await server.nobody.get(f"v1/room_summary/{q(room)}")
        old = await server.nobody.get(
            f"/_matrix/client/unstable/im.nheko.summary/summary/{q(room)}"
        )
        assert old["room_id"] == room

    @pytest.mark.parametrize(("rule", "expected"), [("knock", 200), ("invite", 404)])
    async def test_who_may_knock_may_see_it(self, server, alice, bob, rule, expected) -> None:
        room = await alice.creates_room(
            preset="private_chat", initial_state=[state("m.room.join_rules", join_rule=rule)]
        )
        for user in (bob, server.nobody):
            status, _ = await user.request("GET", f"v1/room_summary/{q(room)}")
            assert status == expected

    async def test_the_invited_may_see_it_and_the_banned_may_not(self, alice, bob) -> None:
        room = await alice.creates_room(preset="private_chat")
        await alice.post(f"v3/rooms/{q(room)}/invite", {"user_id": bob.user_id})
        assert (await bob.get(f"v1/room_summary/{q(room)}"))["membership"] == "invite"
        public = await alice.creates_room(preset="public_chat")
        await alice.post(f"v3/rooms/{q(public)}/ban", {"user_id": bob.user_id})
        await bob.is_refused("GET", f"v1/room_summary/{q(public)}", status=404)

    async def test_members_of_a_room_that_opens_it_may_see_it(self, server, alice, bob) -> None:
        gate = await alice.creates_room(preset="public_chat")
        room = await restricted_room(alice, gate)
        path = f"v1/room_summary/{q(room)}"
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        await server.nobody.is_refused("GET", path, status=404)
        await bob.joins(gate)
        assert (await bob.get(path))["allowed_room_ids"] == [gate]

    @pytest.mark.parametrize("room", ["!nowhere:example.org", "#nowhere:example.org"])
    async def test_an_unknown_room_is_not_found(self, alice, room) -> None:
        code = await alice.is_refused("GET", f"v1/room_summary/{q(room)}", status=404)
        assert code == "M_NOT_FOUND"

    async def test_what_is_neither_room_nor_alias_is_refused(self, alice) -> None:
        code = await alice.is_refused("GET", "v1/room_summary/nowhere", status=400)
        assert code == "M_INVALID_PARAM"

    async def test_the_plain_text_of_a_topic(self, alice) -> None:
        texts = [{"mimetype": "text/html", "body": "<b>x</b>"}, {"body": "plain"}]
        topic = {"topic": "old", "m.topic": {"m.text": texts}}
        room = await alice.creates_room(
            preset="public_chat", initial_state=[state("m.room.topic", **topic)]
        )
        assert (await alice.get(f"v1/room_summary/{q(room)}"))["topic"] == "plain"


class TestGetSpaceHierarchy:
    async def rooms(self, user: MatrixUser, root: str, **query: Any) -> list[str]:
        page = await user.get(f"v1/rooms/{q(root)}/hierarchy", **query)
        return [each["room_id"] for each in page["rooms"]]

    async def test_each_space_before_its_own_rooms(self, alice) -> None:
        root, inner = await space(alice, name="root"), await space(alice)
        deep = await alice.creates_room(preset="public_chat")
        plain = await alice.creates_room(preset="public_chat")
        await adds(alice, root, inner, order="a")
        await adds(alice, root, plain, order="b")
        await adds(alice, inner, deep)
        page = await alice.get(f"v1/rooms/{q(root)}/hierarchy")
        assert [each["room_id"] for each in page["rooms"]] == [root, inner, deep, plain]
        first = page["rooms"][0]
        assert (first["name"], first["room_type"]) == ("root", "m.space")
        assert [each["state_key"] for each in first["children_state"]] == [inner, plain]
        assert set(first["children_state"][0]) == {
            "type", "state_key", "content", "sender", "origin_server_ts",
        }  # fmt: skip
        assert page["rooms"][-1]["children_state"] == []

    async def test_order_then_time_then_id(self, alice) -> None:
        root = await space(alice)
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(4)]
        await adds(alice, root, rooms[0])
        await adds(alice, root, rooms[1], order="b")
        await adds(alice, root, rooms[2], order="ü")
        await adds(alice, root, rooms[3], order="a")
        expected = [root, rooms[3], rooms[1], rooms[0], rooms[2]]
        assert await self.rooms(alice, root) == expected

    async def test_a_child_without_via_is_none(self, alice) -> None:
        root, room = await space(alice), await alice.creates_room(preset="public_chat")
        await adds(alice, root, room)
        await alice.sets(root, "m.space.child", {}, room)
        assert await self.rooms(alice, root) == [root]

    async def test_only_suggested_rooms(self, alice) -> None:
        root = await space(alice)
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(2)]
        await adds(alice, root, rooms[0])
        await adds(alice, root, rooms[1], suggested=True)
        assert await self.rooms(alice, root, suggested_only="true") == [root, rooms[1]]

    async def test_no_deeper_than_asked_for(self, alice) -> None:
        spaces = [await space(alice) for _ in range(4)]
        for parent, child in itertools.pairwise(spaces):
            await adds(alice, parent, child)
        for depth in range(4):
            assert await self.rooms(alice, spaces[0], max_depth=depth) == spaces[: depth + 1]

    async def test_spaces_that_stand_in_each_other(self, alice) -> None:
        one, two = await space(alice), await space(alice)
        await adds(alice, one, two)
        await adds(alice, two, one)
        await adds(alice, one, one)
        assert await self.rooms(alice, one) == [one, two]

    async def test_only_rooms_that_the_reader_may_know(self, alice, bob) -> None:
        root = await space(alice)
        secret = await alice.creates_room(preset="private_chat")
        gated = await restricted_room(alice, root)
        for child in (secret, gated, "!elsewhere:example.com"):
            await adds(alice, root, child)
        assert await self.rooms(bob, root) == [root]
        await bob.joins(root)
        assert await self.rooms(bob, root) == [root, gated]
        await alice.post(f"v3/rooms/{q(secret)}/invite", {"user_id": bob.user_id})
        assert await self.rooms(bob, root) == [root, secret, gated]

    async def test_pages(self, alice) -> None:
        root = await space(alice)
        rooms = [await alice.creates_room(preset="public_chat") for _ in range(4)]
        for number, room in enumerate(rooms):
            await adds(alice, root, room, order=str(number))
        path = f"v1/rooms/{q(root)}/hierarchy"
        found, query = [], {"limit": 2}
        while True:
            page = await alice.get(path, **query)
            found += [each["room_id"] for each in page["rooms"]]
            if "next_batch" not in page:
                break
            query["from"] = page["next_batch"]
        assert found == [root, *rooms]
        for changed in ({"suggested_only": "true"}, {"max_depth": 1}):
            code = await alice.is_refused("GET", path, status=400, **query | changed)
            assert code == "M_INVALID_PARAM"

    @pytest.mark.parametrize(
        "query", [{"limit": 0}, {"limit": "x"}, {"max_depth": -1}, {"from": "x"}, {"from": "h1_"}]
    )
    async def test_wrong_parameters_are_refused(self, alice, query) -> None:
        path = f"v1/rooms/{q(await space(alice))}/hierarchy"
        assert await alice.is_refused("GET", path, status=400, **query) == "M_INVALID_PARAM"

    async def test_a_space_that_the_reader_may_not_know_is_refused(self, alice, bob) -> None:
        secret = await alice.creates_room(
            preset="private_chat", creation_content={"type": "m.space"}
        )
        public = await space(alice)
        await alice.post(f"v3/rooms/{q(public)}/ban", {"user_id": bob.user_id})
        for root in (secret, public, "!nowhere:example.org"):
            path = f"v1/rooms/{q(root)}/hierarchy"
            assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
