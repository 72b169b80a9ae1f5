"""Profiles over the Matrix API (profile.yaml; C-S API v1.19 "Profiles")."""

import pytest

from tests.support.matrix_server import MatrixUser, matrix_server, q
from tests.support.stored_events import history, rows, state


def path(person: MatrixUser, key: str = "") -> str:
    return f"v3/profile/{q(person.user_id)}" + (f"/{q(key)}" if key else "")


async def says(person: MatrixUser, key: str, value: object) -> None:
    await person.put(path(person, key), {key: value})


async def sees_member(watcher: MatrixUser, room: str, user_id: str, **content: object) -> None:
    """Waits until a membership event in the room says this."""
    since = ""
    for _ in range(20):
        query = {"timeout": 10_000, "since": since} if since else {}
        answer = await watcher.get("v3/sync", **query)
        since = answer["next_batch"]
        joined = answer.get("rooms", {}).get("join", {}).get(room, {})
        for section in ("timeline", "state"):
            for event in joined.get(section, {}).get("events", ()):
                shown = event["content"]
                if event.get("state_key") == user_id and all(
                    shown.get(key) == value for key, value in content.items()
                ):
                    return
    raise AssertionError(f"nothing in {room} says {content}")


class TestSetProfileField:
    """setProfileField."""

    async def test_a_name_a_picture_and_more(self, server):
        alice = await server.registers("alice")
        await says(alice, "displayname", "Alice")
        await says(alice, "avatar_url", "mxc://example.org/alice")
        await says(alice, "m.tz", "Europe/London")
        await says(alice, "com.example.pet", {"name": "Rex", "age": 1.5, "none": None})
        await says(alice, "com.example.nothing", None)
        assert await server.nobody.get(path(alice)) == {
            "displayname": "Alice",
            "avatar_url": "mxc://example.org/alice",
            "m.tz": "Europe/London",
            "com.example.pet": {"name": "Rex", "age": 1.5, "none": None},
            "com.example.nothing": None,
        }

    async def test_only_ones_own(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        body = {"displayname": "Eve"}
        refused = await bob.is_refused("PUT", path(alice, "displayname"), body, status=403)
        assert refused == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        ("key", "body", "errcode"),
        [
            ("displayname", b"{", "M_NOT_JSON"),
            ("displayname", [], "M_BAD_JSON"),
            ("displayname", {"avatar_url": "mxc://a/b"}, "M_MISSING_PARAM"),
            ("displayname", {"displayname": 1}, "M_BAD_JSON"),
            ("displayname", {"displayname": None}, "M_BAD_JSON"),
            ("displayname", {"displayname": "x" * 300}, "M_INVALID_PARAM"),
            ("displayname", {"displayname": "nul\0"}, "M_INVALID_PARAM"),
            ("avatar_url", {"avatar_url": ["mxc://a/b"]}, "M_BAD_JSON"),
            ("avatar_url", {"avatar_url": "https://example.org/a"}, "M_INVALID_PARAM"),
            ("avatar_url", {"avatar_url": "picture"}, "M_INVALID_PARAM"),
            ("m.tz", {"m.tz": 1}, "M_BAD_JSON"),
            ("Upper", {"Upper": 1}, "M_INVALID_PARAM"),
            ("a b", {"a b": 1}, "M_INVALID_PARAM"),
            ("x" * 256, {"x" * 256: 1}, "M_KEY_TOO_LARGE"),
            ("com.example.a", {"com.example.a": "x" * 65_536}, "M_PROFILE_TOO_LARGE"),
        ],
        ids=range(15),
    )
    async def test_what_cannot_be(self, server, key, body, errcode):
        alice = await server.registers("alice")
        before = await alice.get(path(alice))
        assert await alice.is_refused("PUT", path(alice, key), body, status=400) == errcode
        assert await alice.get(path(alice)) == before

    async def test_a_profile_as_a_whole_is_limited(self, server):
        alice = await server.registers("alice")
        for number in range(2):
            await says(alice, f"com.example.n{number}", "x" * 30_000)
        body = {"com.example.n2": "x" * 10_000}
        refused = await alice.is_refused("PUT", path(alice, "com.example.n2"), body, status=400)
        assert refused == "M_PROFILE_TOO_LARGE"
        await says(alice, "com.example.n1", "x")
        await says(alice, "com.example.n2", "x" * 10_000)

    async def test_a_nameless_one_is_called_by_his_localpart(self, server):
        alice = await server.registers("alice")
        await says(alice, "displayname", "")
        assert "displayname" not in await alice.get(path(alice))
        await alice.creates_room(name="Garden")
        me = await alice.native.get("/api/users/me")
        assert me["name"] == "alice"

    async def test_native_clients_see_it(self, server):
        alice = await server.registers("alice")
        await says(alice, "displayname", "Alice")
        assert (await alice.native.get("/api/users/me"))["name"] == "Alice"


class TestGetProfileField:
    """getProfileField, getUserProfile."""

    async def test_one_field(self, server):
        alice = await server.registers("alice")
        await says(alice, "displayname", "Alice")
        answer = await server.nobody.get(path(alice, "displayname"))
        assert answer == {"displayname": "Alice"}

    async def test_a_field_that_is_not_there(self, server):
        alice = await server.registers("alice")
        for key in ("avatar_url", "com.example.nothing", "No Key"):
            refused = await server.nobody.is_refused("GET", path(alice, key), status=404)
            assert refused == "M_NOT_FOUND"

    @pytest.mark.parametrize("user_id", ["@nobody:example.org", "@bob:elsewhere.example"])
    async def test_an_unknown_user(self, server, user_id):
        for where in (f"v3/profile/{q(user_id)}", f"v3/profile/{q(user_id)}/displayname"):
            refused = await server.nobody.is_refused("GET", where, status=404)
            assert refused == "M_NOT_FOUND"

    async def test_somebody_who_is_only_known_by_name(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.post(f"v3/rooms/{q(room)}/ban", {"user_id": "@ghost:example.org"})
        await alice.is_refused("GET", f"v3/profile/{q('@ghost:example.org')}", status=404)

    async def test_what_is_no_user_id(self, server):
        refused = await server.nobody.is_refused("GET", "v3/profile/alice", status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_pictures_of_native_clients_stay_with_them(self, server):
        alice = await server.registers("alice")
        await alice.native.patch("/api/users/me", {"avatar_url": "https://example.org/a.png"})
        assert "avatar_url" not in await alice.get(path(alice))


class TestDeleteProfileField:
    """deleteProfileField."""

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("displayname", "Alice"),
            ("avatar_url", "mxc://example.org/alice"),
            ("m.tz", "Europe/London"),
            ("com.example.pet", {"name": "Rex"}),
        ],
    )
    async def test_a_field_goes(self, server, key, value):
        alice = await server.registers("alice")
        await says(alice, key, value)
        for _ in range(2):
            await alice.delete(path(alice, key))
            assert key not in await alice.get(path(alice))

    async def test_only_ones_own(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        refused = await bob.is_refused("DELETE", path(alice, "displayname"), status=403)
        assert refused == "M_FORBIDDEN"

    async def test_what_is_no_field(self, server):
        alice = await server.registers("alice")
        refused = await alice.is_refused("DELETE", path(alice, "No Key"), status=400)
        assert refused == "M_INVALID_PARAM"
        refused = await alice.is_refused("DELETE", path(alice, "x" * 256), status=400)
        assert refused == "M_KEY_TOO_LARGE"


class TestEventsOnChangeOfProfileInformation:
    """C-S API v1.19 "Events on Change of Profile Information"."""

    async def test_all_rooms_show_the_new_name(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        made = [await bob.creates_room(preset="public_chat") for _ in range(3)]
        for room in made:
            await alice.joins(room)
        await says(alice, "displayname", "Alice B.")
        for room in made:
            await sees_member(bob, room, alice.user_id, displayname="Alice B.", membership="join")

    async def test_also_if_a_native_client_changes_it(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await bob.creates_room(preset="public_chat")
        await alice.joins(room)
        await alice.native.patch("/api/users/me", {"name": "Alice B."})
        await sees_member(bob, room, alice.user_id, displayname="Alice B.")

    async def test_pictures_of_native_clients_stay_out_of_rooms(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.native.patch(
            "/api/users/me", {"avatar_url": "https://example.org/a.png", "name": "Alice B."}
        )
        await sees_member(alice, room, alice.user_id, displayname="Alice B.")
        assert "avatar_url" not in (await state(database, room))["m.room.member", alice.user_id]

    async def test_what_a_room_shows_already_is_not_said_again(self, server, database):
        alice = await server.registers("alice")
        room, other = await alice.creates_room(), await alice.creates_room()
        content = {"membership": "join", "displayname": "Alice B."}
        await alice.sets(room, "m.room.member", content, alice.user_id)
        before = await history(database, room)
        await says(alice, "displayname", "Alice B.")
        await sees_member(alice, other, alice.user_id, displayname="Alice B.")
        assert await history(database, room) == before

    async def test_rooms_that_one_is_not_in_hear_nothing(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        left = await bob.creates_room(preset="public_chat")
        room = await bob.creates_room(preset="public_chat")
        for each in (left, room):
            await alice.joins(each)
        await alice.post(f"v3/rooms/{q(left)}/leave")
        await says(alice, "displayname", "Alice B.")
        await sees_member(bob, room, alice.user_id, displayname="Alice B.")
        member = (await state(database, left))["m.room.member", alice.user_id]
        assert member["membership"] == "leave"

    async def test_what_a_crash_cut_off_is_done_after_the_start(self, database):
        async with matrix_server(database) as server:
            alice = await server.registers("alice")
            room = await alice.creates_room()
        async with database.transaction() as db:
            await db.execute("UPDATE users SET display_name = 'Alice B.'")
            await db.execute("INSERT INTO profile_changes (user_nid) SELECT user_nid FROM users")
        async with matrix_server(database) as server:
            again = MatrixUser(server.client, alice.token, alice.user_id)
            await sees_member(again, room, alice.user_id, displayname="Alice B.")

    async def test_a_change_is_forgotten_when_it_is_shown(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await says(alice, "displayname", "Alice B.")
        await sees_member(alice, room, alice.user_id, displayname="Alice B.")
        await says(alice, "displayname", "Alice C.")
        await sees_member(alice, room, alice.user_id, displayname="Alice C.")
        assert len(await rows(database, "SELECT * FROM profile_changes")) <= 1
