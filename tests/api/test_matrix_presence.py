"""Presence. Source: C-S API v1.19 "Presence"; presence.yaml."""

import pytest

from homeserver.config import PresenceConfig
from tests.support.api_server import OPEN
from tests.support.matrix_server import matrix_server, q


@pytest.fixture
async def people(server):
    """Alice and Bob, who share a room."""
    alice, bob = await server.registers("alice"), await server.registers("bob")
    await bob.joins(await alice.creates_room(preset="public_chat"))
    return alice, bob


def status(user) -> str:
    return f"v3/presence/{q(user.user_id)}/status"


class TestSetPresence:
    """setPresence, getPresence."""

    @pytest.mark.parametrize("presence", ["online", "unavailable", "offline"])
    async def test_others_see_what_was_set(self, people, presence):
        alice, bob = people
        await alice.put(status(alice), {"presence": presence, "status_msg": "In the garden"})
        for reader in (alice, bob):
            state = await reader.get(status(alice))
            assert (state["presence"], state["status_msg"]) == (presence, "In the garden")
            assert state.get("currently_active", False) == (presence == "online")
            assert 0 <= state["last_active_ago"] < 60_000

    @pytest.mark.parametrize(
        ("presence", "native"), [("online", "online"), ("unavailable", "away"), ("busy", "busy")]
    )
    async def test_native_clients_see_it_too(self, people, presence, native):
        alice, bob = people
        await alice.put(status(alice), {"presence": presence})
        me = await alice.native.get("/api/users/me")
        assert (await bob.native.get(f"/api/presence/{me['id']}"))["status"] == native

    async def test_who_is_busy_says_so_in_words(self, people):
        alice, bob = people
        await alice.put(status(alice), {"presence": "org.matrix.msc3026.busy"})
        state = await bob.get(status(alice))
        assert (state["presence"], state["status_msg"]) == ("unavailable", "Busy")

    @pytest.mark.parametrize("gone", [{}, {"status_msg": None}, {"status_msg": ""}])
    async def test_a_message_goes_with_the_next_status(self, people, gone):
        alice, bob = people
        await alice.put(status(alice), {"presence": "online", "status_msg": "Hello"})
        await alice.put(status(alice), {"presence": "online", **gone})
        assert "status_msg" not in await bob.get(status(alice))

    async def test_who_never_was_here_is_offline(self, people):
        alice, bob = people
        assert await alice.get(status(bob)) == {"presence": "offline"}

    async def test_nobody_sets_it_for_somebody_else(self, people):
        alice, bob = people
        body = {"presence": "online"}
        assert await bob.is_refused("PUT", status(alice), body, status=403) == "M_FORBIDDEN"

    async def test_it_is_shown_to_those_who_share_a_room(self, people, server):
        alice, _ = people
        carol = await server.registers("carol")
        assert await carol.is_refused("GET", status(alice), status=403) == "M_FORBIDDEN"

    async def test_that_of_nobody_is_not_found(self, people):
        alice, _ = people
        path = f"v3/presence/{q('@nobody:example.org')}/status"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b"[]",
            b'{"presence": "dancing"}',
            b'{"presence": 1}',
            b'{"presence": "online", "status_msg": 1}',
        ],
    )
    async def test_a_body_of_another_form_is_refused(self, people, body):
        alice, _ = people
        assert await alice.is_refused("PUT", status(alice), body, status=400) == "M_BAD_JSON"

    async def test_a_message_that_is_too_long_is_refused(self, people):
        alice, _ = people
        body = {"presence": "online", "status_msg": "ü" * 513}
        assert await alice.is_refused("PUT", status(alice), body, status=400) == "M_INVALID_PARAM"

    async def test_a_message_that_cannot_be_stored_is_refused(self, people):
        alice, _ = people
        body = {"presence": "online", "status_msg": "a\0b"}
        assert await alice.is_refused("PUT", status(alice), body, status=400) == "M_INVALID_PARAM"


class TestSwitchedOff:
    async def test_nobody_is_here(self, database):
        config = OPEN.model_copy(update={"presence": PresenceConfig(enabled=False)})
        async with matrix_server(database, config=config) as server:
            alice = await server.registers("alice")
            await alice.put(status(alice), {"presence": "online", "status_msg": "Hello"})
            assert await alice.get(status(alice)) == {"presence": "offline"}
