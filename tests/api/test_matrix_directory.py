"""Names of rooms and the published directory over the Matrix API (directory.yaml,
list_public_rooms.yaml, appservice_room_directory.yaml)."""

import pytest

from tests.support.matrix_server import MatrixUser, q
from tests.support.queries import counted
from tests.support.stored_events import rows, state


def alias_path(alias: str) -> str:
    return f"v3/directory/room/{q(alias)}"


def visibility_path(room: str) -> str:
    return f"v3/directory/list/room/{q(room)}"


async def gives(person: MatrixUser, alias: str, room: str) -> None:
    await person.put(alias_path(alias), {"room_id": room})


class TestSetRoomAlias:
    """setRoomAlias."""

    async def test_a_room_gets_a_name(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await gives(alice, "#garden:example.org", room)
        answer = await server.nobody.get(alias_path("#garden:example.org"))
        assert answer == {"room_id": room, "servers": ["example.org"]}

    async def test_a_taken_name(self, server):
        alice = await server.registers("alice")
        room, other = await alice.creates_room(), await alice.creates_room()
        await gives(alice, "#garden:example.org", room)
        for where in (room, other):
            await alice.is_refused(
                "PUT", alias_path("#garden:example.org"), {"room_id": where}, status=409
            )

    @pytest.mark.parametrize(
        "alias",
        ["garden", "#garden", "#garden:elsewhere.example", "#" + "x" * 300 + ":example.org"],
    )
    async def test_what_is_no_alias_of_this_server(self, server, alias):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        refused = await alice.is_refused("PUT", alias_path(alias), {"room_id": room}, status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_a_room_has_so_many_names(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await rows(
            database,
            "INSERT INTO room_aliases (alias, room_nid, created_by)"
            " SELECT '#n' || n || ':example.org', room_nid, user_nid"
            " FROM rooms, users, generate_series(1, 200) n RETURNING 1",
        )
        body = {"room_id": room}
        path = alias_path("#garden:example.org")
        assert await alice.is_refused("PUT", path, body, status=413) == "M_TOO_LARGE"

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for where in (room, "!nowhere:example.org"):
            refused = await bob.is_refused(
                "PUT", alias_path("#garden:example.org"), {"room_id": where}, status=403
            )
            assert refused == "M_FORBIDDEN"

    async def test_wrong_types(self, server):
        alice = await server.registers("alice")
        path = alias_path("#garden:example.org")
        assert await alice.is_refused("PUT", path, {}, status=400) == "M_BAD_JSON"
        assert await alice.is_refused("PUT", path, {"room_id": 1}, status=400) == "M_BAD_JSON"
        body = {"room_id": "no room"}
        assert await alice.is_refused("PUT", path, body, status=400) == "M_INVALID_PARAM"


class TestGetRoomIdByAlias:
    """getRoomIdByAlias."""

    @pytest.mark.parametrize("alias", ["#nothing:example.org", "#nothing:elsewhere.example"])
    async def test_an_alias_that_no_room_has(self, server, alias):
        refused = await server.nobody.is_refused("GET", alias_path(alias), status=404)
        assert refused == "M_NOT_FOUND"

    async def test_what_is_no_alias(self, server):
        refused = await server.nobody.is_refused("GET", alias_path("nothing"), status=400)
        assert refused == "M_INVALID_PARAM"


class TestDeleteRoomAlias:
    """deleteRoomAlias."""

    async def test_its_creator_takes_it_away(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await gives(bob, "#garden:example.org", room)
        await bob.delete(alias_path("#garden:example.org"))
        refused = await bob.is_refused("GET", alias_path("#garden:example.org"), status=404)
        assert refused == "M_NOT_FOUND"

    async def test_others_need_the_level(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await gives(alice, "#garden:example.org", room)
        path = alias_path("#garden:example.org")
        assert await bob.is_refused("DELETE", path, status=403) == "M_FORBIDDEN"
        await gives(bob, "#bobs:example.org", room)
        await alice.delete(alias_path("#bobs:example.org"))

    async def test_one_that_is_not_there(self, server):
        alice = await server.registers("alice")
        for alias in ("#nothing:example.org", "#nothing:elsewhere.example"):
            refused = await alice.is_refused("DELETE", alias_path(alias), status=404)
            assert refused == "M_NOT_FOUND"

    async def test_the_room_shows_it_no_more(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_alias_name="garden")
        await gives(alice, "#yard:example.org", room)
        await alice.sets(
            room,
            "m.room.canonical_alias",
            {"alias": "#garden:example.org", "alt_aliases": ["#yard:example.org"]},
        )
        await alice.delete(alias_path("#garden:example.org"))
        await alice.delete(alias_path("#yard:example.org"))
        shown = (await state(database, room))["m.room.canonical_alias", ""]
        assert shown == {"alt_aliases": []}

    async def test_its_creator_need_not_be_able_to_change_the_room(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await gives(bob, "#garden:example.org", room)
        await alice.sets(room, "m.room.canonical_alias", {"alias": "#garden:example.org"})
        await bob.delete(alias_path("#garden:example.org"))
        await bob.is_refused("GET", alias_path("#garden:example.org"), status=404)


class TestGetLocalAliases:
    """getLocalAliases."""

    async def test_members_see_all(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = f"v3/rooms/{q(room)}/aliases"
        assert await alice.get(path) == {"aliases": []}
        for alias in ("#yard:example.org", "#garden:example.org"):
            await gives(alice, alias, room)
        assert await alice.get(path) == {"aliases": ["#garden:example.org", "#yard:example.org"]}

    async def test_strangers_only_where_everybody_may_read(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(room_alias_name="garden", preset="public_chat")
        path = f"v3/rooms/{q(room)}/aliases"
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        await alice.sets(
            room, "m.room.history_visibility", {"history_visibility": "world_readable"}
        )
        assert await bob.get(path) == {"aliases": ["#garden:example.org"]}

    async def test_an_unknown_room(self, server):
        alice = await server.registers("alice")
        path = f"v3/rooms/{q('!nowhere:example.org')}/aliases"
        assert await alice.is_refused("GET", path, status=403) == "M_FORBIDDEN"


class TestRoomVisibility:
    """getRoomVisibilityOnDirectory, setRoomVisibilityOnDirectory."""

    async def test_rooms_are_published_and_withdrawn(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        assert await server.nobody.get(visibility_path(room)) == {"visibility": "private"}
        await alice.put(visibility_path(room))
        assert await server.nobody.get(visibility_path(room)) == {"visibility": "public"}
        assert len((await alice.get("v3/publicRooms"))["chunk"]) == 1
        await alice.put(visibility_path(room), {"visibility": "private"})
        assert await server.nobody.get(visibility_path(room)) == {"visibility": "private"}
        assert (await alice.get("v3/publicRooms"))["chunk"] == []

    async def test_only_by_those_with_the_level(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        refused = await bob.is_refused("PUT", visibility_path(room), {}, status=403)
        assert refused == "M_FORBIDDEN"
        await carol.is_refused("PUT", visibility_path(room), {}, status=404)

    async def test_unknown_rooms(self, server):
        alice = await server.registers("alice")
        path = visibility_path("!nowhere:example.org")
        assert await server.nobody.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        assert await alice.is_refused("PUT", path, {}, status=404) == "M_NOT_FOUND"

    async def test_wrong_types(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"visibility": "secret"}
        refused = await alice.is_refused("PUT", visibility_path(room), body, status=400)
        assert refused == "M_BAD_JSON"


async def names(person: MatrixUser, **search: object) -> list[str | None]:
    answer = await person.post("v3/publicRooms", search)
    return [room.get("name") for room in answer["chunk"]]


class TestPublicRooms:
    """getPublicRooms, queryPublicRooms."""

    async def test_what_is_shown_of_a_room(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(
            visibility="public",
            name="Garden",
            topic="Flowers",
            room_alias_name="garden",
            creation_content={"type": "m.space"},
            initial_state=[
                {"type": "m.room.avatar", "content": {"url": "mxc://example.org/flower"}},
                {
                    "type": "m.room.history_visibility",
                    "content": {"history_visibility": "world_readable"},
                },
            ],
        )
        answer = await server.nobody.get("v3/publicRooms")
        assert answer == {
            "chunk": [
                {
                    "room_id": room,
                    "name": "Garden",
                    "topic": "Flowers",
                    "canonical_alias": "#garden:example.org",
                    "avatar_url": "mxc://example.org/flower",
                    "num_joined_members": 1,
                    "join_rule": "public",
                    "room_type": "m.space",
                    "world_readable": True,
                    "guest_can_join": False,
                }
            ],
            "total_room_count_estimate": 1,
        }

    async def test_a_room_that_shows_nothing(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(visibility="public", preset="private_chat")
        (shown,) = (await alice.get("v3/publicRooms"))["chunk"]
        assert shown == {
            "room_id": room,
            "num_joined_members": 1,
            "join_rule": "invite",
            "world_readable": False,
            "guest_can_join": True,
        }

    async def test_private_and_deleted_rooms_are_not_shown(self, server):
        alice = await server.registers("alice")
        await alice.creates_room(preset="public_chat")
        assert (await alice.get("v3/publicRooms"))["chunk"] == []

    async def test_the_biggest_come_first_page_by_page(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        made = [
            await alice.creates_room(visibility="public", name=f"room {number}")
            for number in range(5)
        ]
        await bob.joins(made[3])
        expected = ["room 3", "room 0", "room 1", "room 2", "room 4"]
        assert await names(alice) == expected
        first = await alice.get("v3/publicRooms", limit=2)
        assert "prev_batch" not in first
        assert first["total_room_count_estimate"] == 5
        second = await alice.get("v3/publicRooms", limit=2, since=first["next_batch"])
        third = await alice.post("v3/publicRooms", {"limit": 2, "since": second["next_batch"]})
        assert "next_batch" not in third
        pages = [first, second, third]
        assert [room["name"] for page in pages for room in page["chunk"]] == expected
        back = await alice.get("v3/publicRooms", limit=2, since=third["prev_batch"])
        assert back["chunk"] == second["chunk"]
        back = await alice.get("v3/publicRooms", limit=2, since=back["prev_batch"])
        assert back == first

    async def test_words_are_found_in_names_topics_and_aliases(self, server):
        alice = await server.registers("alice")
        for room in (
            {"name": "The Gärden"},
            {"name": "Yard", "topic": "like a garden"},
            {"name": "Plot", "room_alias_name": "gardeners"},
            {"name": "Kitchen"},
        ):
            await alice.creates_room(visibility="public", **room)
        found = await names(alice, filter={"generic_search_term": "GARDEN"})
        assert found == ["The Gärden", "Yard", "Plot"]
        assert await names(alice, filter={"generic_search_term": "nothing"}) == []
        assert len(await names(alice, filter={"generic_search_term": ""})) == 4

    async def test_a_search_sees_changes_and_redactions(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(visibility="public", name="Garden")
        wanted = {"generic_search_term": "garden"}
        assert await names(alice, filter=wanted) == ["Garden"]
        named = await alice.sets(room, "m.room.name", {"name": "Garden 2"})
        assert await names(alice, filter=wanted) == ["Garden 2"]
        await alice.put(f"v3/rooms/{q(room)}/redact/{q(named)}/1", {})
        assert await names(alice, filter=wanted) == []

    async def test_types_of_rooms(self, server):
        alice = await server.registers("alice")
        await alice.creates_room(visibility="public", name="plain")
        for room_type in ("m.space", "com.example.other"):
            content = {"type": room_type}
            await alice.creates_room(visibility="public", name=room_type, creation_content=content)
        assert await names(alice, filter={"room_types": ["m.space"]}) == ["m.space"]
        assert await names(alice, filter={"room_types": [None]}) == ["plain"]
        assert await names(alice, filter={"room_types": [None, "m.space"]}) == ["plain", "m.space"]
        assert await names(alice, filter={"room_types": []}) == []
        assert len(await names(alice)) == 3

    async def test_at_most_three_statements_however_many_rooms(self, server, database):
        alice = await server.registers("alice")
        for number in range(6):
            await alice.creates_room(visibility="public", name=f"room {number}")
        plain, filtered = [], []
        search = {"filter": {"generic_search_term": "room"}}
        # What follows from making rooms may run beside a request; it never runs beside all.
        for _ in range(8):
            async with counted(database) as statements:
                await alice.get("v3/publicRooms")
            plain.append(len(statements))
            async with counted(database) as statements:
                await alice.post("v3/publicRooms", search)
            filtered.append(len(statements))
        assert min(plain) <= 3
        assert min(filtered) <= 4

    @pytest.mark.parametrize(
        ("query", "status", "errcode"),
        [
            ({"limit": "many"}, 400, "M_INVALID_PARAM"),
            ({"limit": -1}, 400, "M_INVALID_PARAM"),
            ({"since": "nonsense"}, 400, "M_INVALID_PARAM"),
            ({"since": "n1_" + "9" * 40}, 400, "M_INVALID_PARAM"),
            ({"server": "elsewhere.example"}, 404, "M_NOT_FOUND"),
        ],
    )
    async def test_wrong_parameters(self, server, query, status, errcode):
        refused = await server.nobody.is_refused("GET", "v3/publicRooms", status=status, **query)
        assert refused == errcode

    @pytest.mark.parametrize(
        "body",
        [
            {"limit": "1"},
            {"filter": []},
            {"filter": {"room_types": "m.space"}},
            {"filter": {"room_types": [1]}},
            {"filter": {"generic_search_term": 1}},
        ],
        ids=str,
    )
    async def test_wrong_types(self, server, body):
        alice = await server.registers("alice")
        refused = await alice.is_refused("POST", "v3/publicRooms", body, status=400)
        assert refused == "M_BAD_JSON"

    async def test_a_search_needs_somebody(self, server):
        refused = await server.nobody.is_refused("POST", "v3/publicRooms", {}, status=401)
        assert refused == "M_MISSING_TOKEN"

    async def test_native_channels_are_in_it(self, server):
        alice = await server.registers("alice")
        await alice.native.post("/api/rooms", {"type": "channel", "name": "News", "public": True})
        assert await names(alice) == ["News"]


class TestAppserviceRoomDirectory:
    """updateAppserviceRoomDirectoryVisibility."""

    async def test_users_cannot(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = f"v3/directory/list/appservice/irc/{q(room)}"
        refused = await alice.is_refused("PUT", path, {"visibility": "public"}, status=403)
        assert refused == "M_FORBIDDEN"
        assert await rows(database, "SELECT * FROM appservice_rooms") == []
