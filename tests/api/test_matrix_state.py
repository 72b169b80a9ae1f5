"""Setting state over the Matrix API (room_state.yaml)."""

import pytest

from tests.support.matrix_server import q
from tests.support.stored_events import event_count, history, memberships, state


def state_path(room: str, event_type: str, *state_key: str) -> str:
    return "/".join([f"v3/rooms/{q(room)}/state/{q(event_type)}", *map(q, state_key)])


class TestSetRoomStateWithKey:
    """setRoomStateWithKey."""

    async def test_with_and_without_a_key_and_a_trailing_slash(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        for number, key in enumerate([(), ("",), ("a/b",), ("ü",)]):
            await alice.put(state_path(room, "com.example.x", *key), {"number": number})
        now = await state(database, room)
        assert now["com.example.x", ""] == {"number": 1}
        assert now["com.example.x", "a/b"] == {"number": 2}
        assert now["com.example.x", "ü"] == {"number": 3}

    async def test_the_same_again_is_the_same_event(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        first = await alice.sets(room, "m.room.name", {"name": "Garden"})
        before = await event_count(database)
        assert await alice.sets(room, "m.room.name", {"name": "Garden"}) == first
        assert await event_count(database) == before
        await alice.sets(room, "m.room.name", {"name": "Yard"})
        assert await alice.sets(room, "m.room.name", {"name": "Garden"}) != first

    async def test_the_same_by_somebody_else_is_another(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            preset="public_chat", power_level_content_override={"state_default": 0}
        )
        await bob.joins(room)
        first = await alice.sets(room, "m.room.topic", {"topic": "x"})
        assert await bob.sets(room, "m.room.topic", {"topic": "x"}) != first

    async def test_who_lost_the_level_cannot_say_it_again(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            preset="public_chat",
            room_version="11",
            power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 50}},
        )
        await bob.joins(room)
        await bob.sets(room, "m.room.topic", {"topic": "x"})
        await alice.sets(room, "m.room.power_levels", {"users": {alice.user_id: 100}})
        path = state_path(room, "m.room.topic", "")
        assert await bob.is_refused("PUT", path, {"topic": "x"}, status=403) == "M_FORBIDDEN"

    async def test_the_level_is_needed(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        path = state_path(room, "m.room.name", "")
        assert await bob.is_refused("PUT", path, {"name": "x"}, status=403) == "M_FORBIDDEN"

    async def test_a_key_that_is_another_users(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "com.example.x", "@bob:example.org")
        assert await alice.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for event_type in ("m.room.name", "m.room.canonical_alias", "com.example.x"):
            refusals = [
                await bob.asks("PUT", state_path(where, event_type), {}, status=403)
                for where in (room, "!nowhere:example.org")
            ]
            assert refusals[0] == refusals[1]

    @pytest.mark.parametrize(
        ("body", "status", "errcode"),
        [
            (b"{", 400, "M_NOT_JSON"),
            (b"[]", 400, "M_BAD_JSON"),
            ({"a": 1.5}, 400, "M_BAD_JSON"),
            ({"a": "x" * 66_000}, 413, "M_TOO_LARGE"),
        ],
        ids=range(4),
    )
    async def test_what_no_event_can_hold(self, server, database, body, status, errcode):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        before = await event_count(database)
        path = state_path(room, "com.example.x")
        assert await alice.is_refused("PUT", path, body, status=status) == errcode
        assert await event_count(database) == before

    async def test_types_and_keys_have_255_bytes(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.put(state_path(room, "x" * 255, "y" * 255), {})
        for path in (state_path(room, "x" * 256), state_path(room, "x", "y" * 256)):
            assert await alice.is_refused("PUT", path, {}, status=413) == "M_TOO_LARGE"
        path = state_path(room, "x", "nul\0")
        assert await alice.is_refused("PUT", path, {}, status=400) == "M_INVALID_PARAM"

    async def test_a_room_is_created_once(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "m.room.create", "")
        assert await alice.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    async def test_what_only_the_server_sends(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "chat.foyer.deleted", "")
        assert await alice.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    async def test_native_clients_see_it(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(name="Garden")
        await alice.sets(room, "m.room.name", {"name": "Yard"})
        (listed,) = await alice.native.get("/api/rooms")
        assert listed["name"] == "Yard"


class TestCanonicalAlias:
    """setRoomStateWithKey: m.room.canonical_alias."""

    async def test_names_of_the_room(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_alias_name="garden")
        await alice.put(f"v3/directory/room/{q('#yard:example.org')}", {"room_id": room})
        content = {"alias": "#garden:example.org", "alt_aliases": ["#yard:example.org"]}
        await alice.sets(room, "m.room.canonical_alias", content)

    @pytest.mark.parametrize(
        "alias", ["#nothing:example.org", "#others:example.org", "#a:elsewhere.example"]
    )
    async def test_names_that_do_not_lead_here(self, server, alias):
        alice = await server.registers("alice")
        await alice.creates_room(room_alias_name="others")
        room = await alice.creates_room()
        path = state_path(room, "m.room.canonical_alias", "")
        for content in ({"alias": alias}, {"alt_aliases": [alias]}):
            refused = await alice.is_refused("PUT", path, content, status=400)
            assert refused == "M_BAD_ALIAS"

    @pytest.mark.parametrize(
        "content",
        [{"alias": "garden"}, {"alias": 1}, {"alt_aliases": "#a:b"}, {"alt_aliases": [1]}],
        ids=str,
    )
    async def test_what_is_no_alias(self, server, content):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "m.room.canonical_alias", "")
        assert await alice.is_refused("PUT", path, content, status=400) == "M_INVALID_PARAM"

    async def test_what_is_shown_already_is_not_looked_at_again(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(
            initial_state=[
                {
                    "type": "m.room.canonical_alias",
                    "content": {"alias": "#gone:example.org"},
                }
            ]
        )
        content = {"alias": "#gone:example.org", "com.example.x": 1}
        await alice.sets(room, "m.room.canonical_alias", content)
        await alice.sets(room, "m.room.canonical_alias", {})


class TestMemberships:
    """setRoomStateWithKey: m.room.member follows the rules of the membership endpoints."""

    async def test_people_are_invited_kicked_banned_and_unbanned(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for membership in ("invite", "leave", "ban", "leave", "invite"):
            content = {"membership": membership, "reason": "because"}
            event_id = await alice.sets(room, "m.room.member", content, bob.user_id)
            assert await memberships(database, room) == {
                alice.user_id: "join",
                bob.user_id: membership,
            }
            assert await alice.sets(room, "m.room.member", content, bob.user_id) == event_id
        await bob.sets(room, "m.room.member", {"membership": "join"}, bob.user_id)
        await bob.sets(room, "m.room.member", {"membership": "leave"}, bob.user_id)

    async def test_one_may_be_called_otherwise_in_a_room(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        content = {"membership": "join", "displayname": "Rose", "com.example.x": 1}
        await alice.sets(room, "m.room.member", content, alice.user_id)
        assert (await state(database, room))["m.room.member", alice.user_id] == content

    async def test_a_join_is_one_own_matter(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        for membership in ("join", "knock"):
            refused = await alice.is_refused(
                "PUT",
                state_path(room, "m.room.member", bob.user_id),
                {"membership": membership},
                status=403,
            )
            assert refused == "M_FORBIDDEN"

    async def test_nobody_vouches_for_himself(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            initial_state=[
                {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": []}}
            ]
        )
        content = {"membership": "join", "join_authorised_via_users_server": alice.user_id}
        path = state_path(room, "m.room.member", bob.user_id)
        assert await bob.is_refused("PUT", path, content, status=403) == "M_FORBIDDEN"
        assert bob.user_id not in await memberships(database, room)

    @pytest.mark.parametrize("content", [{}, {"membership": 1}, {"membership": "fan"}], ids=str)
    async def test_what_is_no_membership(self, server, content):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "m.room.member", alice.user_id)
        assert await alice.is_refused("PUT", path, content, status=400) == "M_BAD_JSON"

    async def test_the_key_is_a_user_id(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = state_path(room, "m.room.member", "nobody")
        content = {"membership": "invite"}
        assert await alice.is_refused("PUT", path, content, status=400) == "M_INVALID_PARAM"

    async def test_strangers_learn_nothing(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for membership in ("invite", "leave", "ban"):
            refused = await bob.is_refused(
                "PUT",
                state_path(room, "m.room.member", alice.user_id),
                {"membership": membership},
                status=403,
            )
            assert refused == "M_FORBIDDEN"
        assert len(await history(database, room)) == 6
