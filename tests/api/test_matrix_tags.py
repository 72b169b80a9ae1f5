"""Tags on rooms. Source: C-S API v1.19 "Room Tagging"; tags.yaml."""

import asyncio

import pytest

from homeserver.actions import tags
from tests.support.matrix_server import q


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def room(alice):
    return await alice.creates_room()


def of(user, room, tag=None) -> str:
    path = f"v3/user/{q(user.user_id)}/rooms/{q(room)}/tags"
    return path if tag is None else f"{path}/{q(tag)}"


def as_account_data(user, room) -> str:
    return f"v3/user/{q(user.user_id)}/rooms/{q(room)}/account_data/m.tag"


class TestTags:
    """getRoomTags, setRoomTag, deleteRoomTag."""

    async def test_at_first_there_are_none(self, alice, room):
        assert await alice.get(of(alice, room)) == {"tags": {}}

    async def test_they_are_added_and_removed(self, alice, room):
        await alice.put(of(alice, room, "m.favourite"), {"order": 0.25})
        await alice.put(of(alice, room, "u.Wörk/1"), {"org.example": [1]})
        assert await alice.get(of(alice, room)) == {
            "tags": {"m.favourite": {"order": 0.25}, "u.Wörk/1": {"org.example": [1]}}
        }
        await alice.delete(of(alice, room, "m.favourite"))
        assert list((await alice.get(of(alice, room)))["tags"]) == ["u.Wörk/1"]

    async def test_to_add_one_again_changes_it(self, alice, room):
        await alice.put(of(alice, room, "m.favourite"), {"order": 0})
        await alice.put(of(alice, room, "m.favourite"), {"order": 1})
        assert (await alice.get(of(alice, room)))["tags"] == {"m.favourite": {"order": 1}}

    async def test_to_remove_what_is_not_there_does_nothing(self, alice, room):
        await alice.delete(of(alice, room, "m.favourite"))
        assert await alice.is_refused("GET", as_account_data(alice, room), status=404)

    async def test_they_are_account_data(self, alice, room):
        await alice.put(of(alice, room, "u.a"), {})
        assert await alice.get(as_account_data(alice, room)) == {"tags": {"u.a": {}}}
        await alice.put(as_account_data(alice, room), {"tags": {"u.b": {"order": 0.5}, "u.c": 7}})
        assert (await alice.get(of(alice, room)))["tags"] == {"u.b": {"order": 0.5}}

    async def test_none_of_those_added_at_once_is_lost(self, alice, room):
        names = {f"u.{number}" for number in range(20)}
        await asyncio.gather(*(alice.put(of(alice, room, name), {}) for name in names))
        assert (await alice.get(of(alice, room)))["tags"].keys() == names

    @pytest.mark.parametrize("order", [1.5, -0.1, "0.5", None, True, [0]])
    async def test_an_order_is_a_number_between_0_and_1(self, alice, room, order):
        path = of(alice, room, "u.a")
        refused = await alice.is_refused("PUT", path, {"order": order}, status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_a_name_that_is_too_long_is_refused(self, alice, room):
        path = of(alice, room, "ü" * 128)
        assert await alice.is_refused("PUT", path, {}, status=400) == "M_INVALID_PARAM"

    async def test_a_room_has_only_so_many(self, alice, room, monkeypatch):
        monkeypatch.setattr(tags, "MAX_TAGS", 1)
        await alice.put(of(alice, room, "u.a"), {})
        refused = await alice.is_refused("PUT", of(alice, room, "u.b"), {}, status=413)
        assert refused == "M_TOO_LARGE"

    @pytest.mark.parametrize(("method", "tag"), [("GET", None), ("PUT", "u.a"), ("DELETE", "u.a")])
    async def test_those_of_others_are_theirs(self, alice, room, server, method, tag):
        bob = await server.registers("bob")
        body = {} if method == "PUT" else None
        refused = await bob.is_refused(method, of(alice, room, tag), body, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_a_room_that_one_never_was_in_cannot_be_tagged(self, room, server):
        bob = await server.registers("bob")
        refused = await bob.is_refused("PUT", of(bob, room, "u.a"), {}, status=404)
        assert refused == "M_NOT_FOUND"

    async def test_a_body_that_is_no_object_is_refused(self, alice, room):
        path = of(alice, room, "u.a")
        assert await alice.is_refused("PUT", path, b"[]", status=400) == "M_BAD_JSON"
        assert await alice.is_refused("PUT", path, b"{", status=400) == "M_NOT_JSON"
