"""Typing notifications. Source: C-S API v1.19 "Typing Notifications"; typing.yaml."""

import json

import pytest

from tests.support.matrix_server import q


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def room(alice):
    return await alice.creates_room()


def typing(room: str, user) -> str:
    return f"v3/rooms/{q(room)}/typing/{q(user.user_id)}"


class TestSetTyping:
    """setTyping."""

    @pytest.mark.parametrize(
        "body",
        [
            {"typing": True},
            {"typing": True, "timeout": 30_000},
            {"typing": True, "timeout": 2**60},
            {"typing": False},
            {"typing": False, "timeout": 1},
        ],
    )
    async def test_a_member_says_whether_he_types(self, alice, room, body):
        await alice.put(typing(room, alice), body)

    async def test_nobody_types_for_somebody_else(self, alice, room, server):
        bob = await server.registers("bob")
        refused = await bob.is_refused("PUT", typing(room, alice), {"typing": True}, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_only_members_type(self, alice, room, server):
        bob = await server.registers("bob")
        for body in ({"typing": True}, {"typing": False}):
            status, _ = await bob.request("PUT", typing(room, bob), body)
            assert status in (403, 404)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"typing": "yes"},
            {"typing": 1},
            {"typing": True, "timeout": "1"},
            {"typing": True, "timeout": -1},
            [],
        ],
    )
    async def test_a_body_of_other_types_is_refused(self, alice, room, body):
        raw = json.dumps(body).encode()
        refused = await alice.is_refused("PUT", typing(room, alice), raw, status=400)
        assert refused == "M_BAD_JSON"

    async def test_what_is_no_json_is_refused(self, alice, room):
        refused = await alice.is_refused("PUT", typing(room, alice), b"{", status=400)
        assert refused == "M_NOT_JSON"

    async def test_what_is_no_room_id_is_refused(self, alice):
        path = typing("#what:example.org", alice)
        refused = await alice.is_refused("PUT", path, {"typing": True}, status=400)
        assert refused == "M_INVALID_PARAM"
