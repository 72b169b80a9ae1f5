"""What guests, suspended people and application services may do in rooms: C-S API v1.19 "Guest
Access" and "Account suspension", application-service API v1.19 "Timestamp massaging" and
"Published room directory"."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.api.test_matrix_appservices import AS_TOKEN, config_with, registration_file
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q
from tests.support.stored_events import memberships, rows, state, stored

TEXT = {"msgtype": "m.text", "body": "hello"}
WITH_GUESTS = OPEN.model_copy(update={"auth": OPEN.auth.model_copy(update={"guests": True})})


@pytest.fixture
async def hospitable(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database, config=WITH_GUESTS) as running:
        yield running


async def guest_of(server: MatrixServer) -> MatrixUser:
    made = await server.nobody.post("v3/register", {}, kind="guest")
    return MatrixUser(server.client, made["access_token"], made["user_id"])


async def open_room(person: MatrixUser, access: str = "can_join") -> str:
    guest_access = {"type": "m.room.guest_access", "content": {"guest_access": access}}
    return await person.creates_room(preset="public_chat", initial_state=[guest_access])


class TestGuests:
    """C-S API v1.19 "Guest Access"."""

    async def test_guests_join_where_they_may_and_take_part(self, hospitable):
        alice, guest = await hospitable.registers("alice"), await guest_of(hospitable)
        room = await open_room(alice)
        await guest.post(f"v3/rooms/{q(room)}/join")
        await guest.says(room, "hello")
        await guest.sends(room, "com.example.any", {})
        await guest.post(f"v3/rooms/{q(room)}/leave")
        await guest.joins(room)

    @pytest.mark.parametrize("access", ["forbidden", "nonsense", 1])
    async def test_they_stay_out_of_other_rooms(self, hospitable, access):
        alice, guest = await hospitable.registers("alice"), await guest_of(hospitable)
        room = await open_room(alice, access)
        for path in (f"v3/rooms/{q(room)}/join", f"v3/join/{q(room)}"):
            refused = await guest.is_refused("POST", path, {}, status=403)
            assert refused == "M_GUEST_ACCESS_FORBIDDEN"

    async def test_also_with_an_invitation(self, hospitable):
        alice, guest = await hospitable.registers("alice"), await guest_of(hospitable)
        room = await open_room(alice, "forbidden")
        await alice.post(f"v3/rooms/{q(room)}/invite", {"user_id": guest.user_id})
        path = f"v3/rooms/{q(room)}/join"
        refused = await guest.is_refused("POST", path, {}, status=403)
        assert refused == "M_GUEST_ACCESS_FORBIDDEN"

    async def test_they_leave_when_a_room_lets_them_in_no_more(self, hospitable, database):
        alice, guest = await hospitable.registers("alice"), await guest_of(hospitable)
        room, other = await open_room(alice), await open_room(alice)
        for each in (room, other):
            await guest.joins(each)
        since = (await guest.get("v3/sync"))["next_batch"]
        await alice.sets(room, "m.room.guest_access", {"guest_access": "forbidden"})
        left: dict[str, Any] = {}
        while room not in left:
            answer = await guest.get("v3/sync", since=since, timeout=10_000)
            since, left = answer["next_batch"], answer.get("rooms", {}).get("leave", {})
        assert await memberships(database, room) == {
            alice.user_id: "join",
            guest.user_id: "leave",
        }
        assert (await memberships(database, other))[guest.user_id] == "join"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "v3/createRoom"),
            ("POST", "v3/rooms/{room}/invite"),
            ("POST", "v3/rooms/{room}/kick"),
            ("POST", "v3/rooms/{room}/ban"),
            ("POST", "v3/rooms/{room}/unban"),
            ("POST", "v3/rooms/{room}/forget"),
            ("POST", "v3/rooms/{room}/upgrade"),
            ("POST", "v3/rooms/{room}/report"),
            ("POST", "v3/knock/{room}"),
            ("PUT", "v3/rooms/{room}/redact/$x/1"),
            ("PUT", "v3/directory/room/%23a:example.org"),
            ("DELETE", "v3/directory/room/%23a:example.org"),
            ("PUT", "v3/directory/list/room/{room}"),
            ("GET", "v3/rooms/{room}/aliases"),
            ("GET", "v3/joined_rooms"),
        ],
    )
    async def test_the_rest_is_for_accounts(self, hospitable, method, path):
        alice, guest = await hospitable.registers("alice"), await guest_of(hospitable)
        room = await open_room(alice)
        path = path.replace("{room}", q(room))
        refused = await guest.is_refused(method, path, {}, status=403)
        assert refused == "M_GUEST_ACCESS_FORBIDDEN"

    async def test_of_their_profile_they_change_the_name(self, hospitable):
        guest = await guest_of(hospitable)
        path = f"v3/profile/{q(guest.user_id)}"
        await guest.put(f"{path}/displayname", {"displayname": "Guest"})
        await guest.delete(f"{path}/displayname")
        body = {"avatar_url": "mxc://example.org/a"}
        refused = await guest.is_refused("PUT", f"{path}/avatar_url", body, status=403)
        assert refused == "M_GUEST_ACCESS_FORBIDDEN"
        refused = await guest.is_refused("DELETE", f"{path}/avatar_url", status=403)
        assert refused == "M_GUEST_ACCESS_FORBIDDEN"


class TestSuspension:
    """C-S API v1.19 "Account suspension"."""

    async def suspends(self, database: Database, server: MatrixServer, person: MatrixUser) -> None:
        root = await server.registers("root")
        await rows(
            database,
            "UPDATE accounts SET is_admin = true FROM users u"
            " WHERE u.user_nid = accounts.user_nid AND u.user_id = $1 RETURNING 1",
            root.user_id,
        )
        root = await logs_in(server, "root")
        await root.put(f"v1/admin/suspend/{q(person.user_id)}", {"suspended": True})

    async def test_what_suspended_people_cannot_do(self, database):
        async with matrix_server(database) as server:
            alice, bob = await server.registers("alice"), await server.registers("bob")
            room = await alice.creates_room(invite=[bob.user_id])
            public = await bob.creates_room(preset="public_chat")
            message = await bob.says(public, "hello")
            await alice.joins(public)
            await self.suspends(database, server, alice)
            him, me = {"user_id": bob.user_id}, q(alice.user_id)
            in_room = f"v3/rooms/{q(room)}"
            for method, path, body in (
                ("PUT", f"{in_room}/send/m.room.message/1", TEXT),
                ("PUT", f"{in_room}/state/m.room.name/", {"name": "x"}),
                ("PUT", f"{in_room}/state/m.room.member/{me}", {"membership": "join"}),
                ("PUT", f"v3/rooms/{q(public)}/redact/{q(message)}/1", {}),
                ("POST", "v3/createRoom", {}),
                ("POST", f"v3/join/{q(public)}", {}),
                ("POST", f"v3/knock/{q(public)}", {}),
                ("POST", f"{in_room}/invite", him),
                ("POST", f"{in_room}/kick", him),
                ("POST", f"{in_room}/ban", him),
                ("POST", f"{in_room}/upgrade", {"new_version": "12"}),
                ("PUT", "v3/directory/room/%23a:example.org", {"room_id": room}),
                ("PUT", f"v3/directory/list/room/{q(room)}", {}),
                ("PUT", f"v3/profile/{me}/displayname", {"displayname": "x"}),
                ("DELETE", f"v3/profile/{me}/displayname", None),
            ):
                refused = await alice.is_refused(method, path, body, status=403)
                assert refused == "M_USER_SUSPENDED", path

    async def test_what_suspended_people_can_do(self, database):
        async with matrix_server(database) as server:
            alice = await server.registers("alice")
            room = await alice.creates_room()
            message = await alice.says(room, "hello")
            await self.suspends(database, server, alice)
            await alice.put(f"v3/rooms/{q(room)}/redact/{q(message)}/1", {})
            assert await alice.get("v3/joined_rooms") == {"joined_rooms": [room]}
            await alice.post(f"v3/rooms/{q(room)}/leave")

    async def test_native_clients_cannot_either(self, database):
        async with matrix_server(database) as server:
            alice = await server.registers("alice")
            await alice.creates_room(name="Garden")
            (listed,) = await alice.native.get("/api/rooms")
            await self.suspends(database, server, alice)
            path = f"/api/rooms/{listed['id']}/messages"
            assert await alice.native.is_refused("POST", path, {"content": "x"}) == "FORBIDDEN"
            body = {"type": "group", "members": []}
            assert await alice.native.is_refused("POST", "/api/rooms", body) == "FORBIDDEN"


async def logs_in(server: MatrixServer, name: str) -> MatrixUser:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": "correct horse",
    }
    answer = await server.nobody.post("v3/login", body)
    return MatrixUser(server.client, answer["access_token"], answer["user_id"])


@pytest.fixture
async def bridged(database: Database, tmp_path: Path) -> AsyncIterator[MatrixServer]:
    config = config_with(registration_file(tmp_path))
    async with matrix_server(database, config=config) as running:
        yield running


class TestApplicationServices:
    """Application-service API v1.19 "Client-Server API Extensions"."""

    async def test_they_say_when_something_happened(self, bridged, database):
        service = MatrixUser(bridged.client, AS_TOKEN)
        room = await service.creates_room()
        path = f"v3/rooms/{q(room)}"
        message = await service.put(f"{path}/send/m.room.message/1", TEXT, ts=1_000)
        name = await service.put(f"{path}/state/m.room.name", {"name": "x"}, ts=2_000)
        assert (await stored(database, message["event_id"]))["pdu"]["origin_server_ts"] == 1_000
        assert (await stored(database, name["event_id"]))["pdu"]["origin_server_ts"] == 2_000

    async def test_they_have_lists_of_their_own(self, bridged):
        service, alice = MatrixUser(bridged.client, AS_TOKEN), await bridged.registers("alice")
        room = await service.creates_room(name="#irc")
        path = f"v3/directory/list/appservice/freenode/{q(room)}"
        await service.put(path, {"visibility": "public"})

        async def listed(**search: Any) -> list[str]:
            answer = await alice.post("v3/publicRooms", search)
            return [each["room_id"] for each in answer["chunk"]]

        assert await listed() == []
        assert await listed(third_party_instance_id="irc|freenode") == [room]
        assert await listed(third_party_instance_id="irc|other") == []
        assert await listed(include_all_networks=True) == [room]
        await service.put(path, {"visibility": "private"})
        assert await listed(include_all_networks=True) == []

    async def test_wrong_types(self, bridged):
        service = MatrixUser(bridged.client, AS_TOKEN)
        room = await service.creates_room()
        path = f"v3/directory/list/appservice/freenode/{q(room)}"
        assert await service.is_refused("PUT", path, {}, status=400) == "M_BAD_JSON"
        path = f"v3/directory/list/appservice/freenode/{q('!nowhere:example.org')}"
        body = {"visibility": "public"}
        assert await service.is_refused("PUT", path, body, status=404) == "M_NOT_FOUND"

    async def test_nobody_else_gets_their_aliases(self, bridged, database):
        service, alice = MatrixUser(bridged.client, AS_TOKEN), await bridged.registers("alice")
        body = {"room_alias_name": "_irc_cats"}
        refused = await alice.is_refused("POST", "v3/createRoom", body, status=400)
        assert refused == "M_EXCLUSIVE"
        room = await alice.creates_room()
        path = f"v3/directory/room/{q('#_irc_cats:example.org')}"
        refused = await alice.is_refused("PUT", path, {"room_id": room}, status=400)
        assert refused == "M_EXCLUSIVE"
        room = await service.creates_room(room_alias_name="_irc_cats")
        assert ("m.room.canonical_alias", "") in await state(database, room)
