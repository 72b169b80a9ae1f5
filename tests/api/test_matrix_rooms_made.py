"""Making rooms over the Matrix API (create_room.yaml)."""

import asyncio
from typing import Any

import pytest

from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.storage.database import Database
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixUser, matrix_server, q
from tests.support.stored_events import event_count, history, memberships, rows, state

PATH = "v3/createRoom"


async def is_refused(
    person: MatrixUser, database: Database, body: Any, *, status: int = 400
) -> str:
    """The errcode; nothing is stored."""
    before = await event_count(database)
    errcode = await person.is_refused("POST", PATH, body, status=status)
    assert await event_count(database) == before
    assert len(await rows(database, "SELECT * FROM rooms")) == 0
    return errcode


class TestCreateRoom:
    """createRoom."""

    async def test_with_nothing_said(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        now = await state(database, room)
        assert now["m.room.join_rules", ""] == {"join_rule": "invite"}
        assert now["m.room.history_visibility", ""] == {"history_visibility": "shared"}
        assert now["m.room.guest_access", ""] == {"guest_access": "can_join"}
        assert now["m.room.create", ""]["room_version"] == "12"
        assert await memberships(database, room) == {alice.user_id: "join"}

    async def test_also_without_a_body(self, server):
        alice = await server.registers("alice")
        await alice.asks("POST", PATH, b"")

    async def test_the_order_of_the_events(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            room_alias_name="garden",
            initial_state=[{"type": "com.example.first", "content": {}}],
            name="Garden",
            topic="Flowers",
            invite=[bob.user_id],
        )
        assert [event["type"] for event in await history(database, room)] == [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "com.example.first",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
        ]

    @pytest.mark.parametrize("version", ROOM_VERSIONS)
    async def test_all_room_versions(self, server, database, version):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_version=version, name="Garden")
        create = (await state(database, room))["m.room.create", ""]
        assert create["room_version"] == version
        assert create.get("creator") == (alice.user_id if int(version) < 11 else None)
        await alice.says(room, "hello")

    async def test_an_unknown_version(self, server, database):
        alice = await server.registers("alice")
        refused = await is_refused(alice, database, {"room_version": "99"})
        assert refused == "M_UNSUPPORTED_ROOM_VERSION"

    async def test_the_default_version_is_configured(self, database):
        config = OPEN.model_copy(
            update={"rooms": OPEN.rooms.model_copy(update={"default_version": "10"})}
        )
        async with matrix_server(database, config=config) as server:
            alice = await server.registers("alice")
            room = await alice.creates_room()
        assert (await state(database, room))["m.room.create", ""]["room_version"] == "10"

    async def test_names_and_topics(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(name="Garden", topic="Flowers")
        now = await state(database, room)
        assert now["m.room.name", ""] == {"name": "Garden"}
        assert now["m.room.topic", ""] == {
            "topic": "Flowers",
            "m.topic": {"m.text": [{"body": "Flowers"}]},
        }


class TestPresets:
    """createRoom: the table of presets."""

    @pytest.mark.parametrize(
        ("body", "join_rule", "guest_access", "listed"),
        [
            ({"preset": "private_chat"}, "invite", "can_join", False),
            ({"preset": "trusted_private_chat"}, "invite", "can_join", False),
            ({"preset": "public_chat"}, "public", "forbidden", False),
            ({"visibility": "public"}, "public", "forbidden", True),
            ({"visibility": "private"}, "invite", "can_join", False),
            ({"visibility": "public", "preset": "private_chat"}, "invite", "can_join", True),
        ],
        ids=str,
    )
    async def test_what_each_sets(self, server, database, body, join_rule, guest_access, listed):
        alice = await server.registers("alice")
        room = await alice.creates_room(**body)
        now = await state(database, room)
        assert now["m.room.join_rules", ""] == {"join_rule": join_rule}
        assert now["m.room.history_visibility", ""] == {"history_visibility": "shared"}
        assert now["m.room.guest_access", ""] == {"guest_access": guest_access}
        shown = await server.nobody.get(f"v3/directory/list/room/{q(room)}")
        assert shown == {"visibility": "public" if listed else "private"}

    async def test_initial_state_goes_before_a_preset(self, server, database):
        alice = await server.registers("alice")
        given = {"join_rule": "knock"}
        room = await alice.creates_room(
            preset="public_chat", initial_state=[{"type": "m.room.join_rules", "content": given}]
        )
        assert (await state(database, room))["m.room.join_rules", ""] == given
        types = [event["type"] for event in await history(database, room)]
        assert types.count("m.room.join_rules") == 1

    async def test_a_name_goes_before_initial_state(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(
            name="Garden",
            initial_state=[{"type": "m.room.name", "state_key": "", "content": {"name": "Yard"}}],
        )
        assert (await state(database, room))["m.room.name", ""] == {"name": "Garden"}

    @pytest.mark.parametrize("version", ["6", "11"])
    async def test_trusted_people_are_equals_of_the_creator(self, server, database, version):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            room_version=version, preset="trusted_private_chat", invite=[bob.user_id]
        )
        levels = (await state(database, room))["m.room.power_levels", ""]
        assert levels["users"] == {alice.user_id: 100, bob.user_id: 100}

    async def test_from_version_12_on_they_are_creators(self, server, database):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(
            preset="trusted_private_chat",
            invite=[bob.user_id, carol.user_id],
            creation_content={"additional_creators": [bob.user_id, "@other:elsewhere.example"]},
        )
        now = await state(database, room)
        assert now["m.room.create", ""]["additional_creators"] == [
            bob.user_id,
            "@other:elsewhere.example",
            carol.user_id,
        ]
        assert now["m.room.power_levels", ""]["users"] == {}


class TestCreationContent:
    """createRoom: creation_content."""

    async def test_further_keys_are_kept(self, server, database):
        alice = await server.registers("alice")
        content = {
            "m.federate": False,
            "type": "m.space",
            "com.example.key": [1],
            "predecessor": {"room_id": "!old:example.org"},
        }
        room = await alice.creates_room(creation_content=content)
        create = (await state(database, room))["m.room.create", ""]
        assert content.items() <= create.items()

    async def test_the_servers_keys_are_the_servers(self, server, database):
        alice = await server.registers("alice")
        content = {"creator": "@eve:example.org", "room_version": "1", "chat.foyer.kind": "x"}
        room = await alice.creates_room(creation_content=content, room_version="10")
        create = (await state(database, room))["m.room.create", ""]
        assert create["creator"] == alice.user_id
        assert create["room_version"] == "10"
        assert create["chat.foyer.kind"] == "group"

    @pytest.mark.parametrize("creators", ["@bob:example.org", [1], ["nobody"]], ids=str)
    async def test_creators_are_user_ids(self, server, database, creators):
        alice = await server.registers("alice")
        body = {"creation_content": {"additional_creators": creators}}
        for more in ({}, {"preset": "trusted_private_chat"}):
            refused = await is_refused(alice, database, {**body, **more})
            assert refused == "M_INVALID_ROOM_STATE"

    async def test_the_type_is_text(self, server, database):
        alice = await server.registers("alice")
        body = {"creation_content": {"type": 1}}
        assert await is_refused(alice, database, body) == "M_INVALID_PARAM"


class TestPowerLevels:
    """createRoom: power_level_content_override."""

    async def test_what_is_given_replaces_the_default(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(
            room_version="11", power_level_content_override={"events_default": 7, "invite": 99}
        )
        levels = (await state(database, room))["m.room.power_levels", ""]
        assert (levels["events_default"], levels["invite"]) == (7, 99)
        assert levels["users"] == {alice.user_id: 100}
        assert levels["state_default"] == 50

    async def test_tombstones_stay_above_other_state(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(power_level_content_override={"events": {"a": 5}})
        levels = (await state(database, room))["m.room.power_levels", ""]
        assert levels["events"] == {"a": 5, "m.room.tombstone": 150}

    async def test_creators_have_no_level(self, server, database):
        alice = await server.registers("alice")
        body = {"power_level_content_override": {"users": {alice.user_id: 100}}}
        assert await is_refused(alice, database, body) == "M_INVALID_ROOM_STATE"

    async def test_levels_that_do_not_let_the_creator_go_on(self, server, database):
        alice = await server.registers("alice")
        body = {
            "room_version": "11",
            "name": "Garden",
            "power_level_content_override": {"users": {alice.user_id: 10}},
        }
        assert await is_refused(alice, database, body) == "M_INVALID_ROOM_STATE"

    @pytest.mark.parametrize(
        "levels", [{"ban": "50"}, {"users": []}, {"users": {"nobody": 5}}, {"events": "x"}], ids=str
    )
    async def test_what_is_no_level(self, server, database, levels):
        alice = await server.registers("alice")
        body = {"power_level_content_override": levels}
        assert await is_refused(alice, database, body) == "M_INVALID_ROOM_STATE"


class TestInvitations:
    """createRoom: invite."""

    async def test_people_are_invited_and_not_added(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id, bob.user_id, alice.user_id])
        assert await memberships(database, room) == {alice.user_id: "join", bob.user_id: "invite"}
        await bob.joins(room)

    @pytest.mark.parametrize("is_direct", [True, False])
    async def test_a_conversation_is_marked(self, server, database, is_direct):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id], is_direct=is_direct)
        invitation = (await state(database, room))["m.room.member", bob.user_id]
        assert invitation.get("is_direct", False) == is_direct

    async def test_nobody_is_invited_if_one_is_not_there(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        body = {"invite": [bob.user_id, "@nobody:example.org"]}
        assert await is_refused(alice, database, body, status=404) == "M_NOT_FOUND"

    async def test_people_of_other_servers(self, server, database):
        alice = await server.registers("alice")
        body = {"invite": ["@bob:elsewhere.example"]}
        assert await is_refused(alice, database, body, status=403) == "M_FORBIDDEN"

    async def test_too_many(self, server, database):
        alice = await server.registers("alice")
        body = {"invite": [f"@user{number}:example.org" for number in range(10_000)]}
        assert await is_refused(alice, database, body) == "M_INVALID_PARAM"

    async def test_people_who_want_none_are_left_out(self, server, database):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        await blocks_invites(bob)
        body = {"invite": [bob.user_id]}
        assert await is_refused(alice, database, body, status=403) == "M_INVITE_BLOCKED"
        room = await alice.creates_room(invite=[bob.user_id, carol.user_id])
        assert bob.user_id not in await memberships(database, room)
        assert carol.user_id in await memberships(database, room)

    async def test_third_party_identifiers_need_an_identity_server(self, server, database):
        alice = await server.registers("alice")
        third_party = {
            "id_server": "id.example.org",
            "id_access_token": "x",
            "medium": "email",
            "address": "bob@example.org",
        }
        refused = await is_refused(alice, database, {"invite_3pid": [third_party]}, status=403)
        assert refused == "M_SERVER_NOT_TRUSTED"


async def blocks_invites(person: MatrixUser) -> None:
    path = f"v3/user/{q(person.user_id)}/account_data/m.invite_permission_config"
    await person.put(path, {"default_action": "block"})


class TestAlias:
    """createRoom: room_alias_name."""

    async def test_the_room_has_and_shows_it(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_alias_name="garden")
        answer = await server.nobody.get(f"v3/directory/room/{q('#garden:example.org')}")
        assert answer["room_id"] == room
        shown = (await state(database, room))["m.room.canonical_alias", ""]
        assert shown == {"alias": "#garden:example.org"}

    async def test_a_taken_one(self, server, database):
        alice = await server.registers("alice")
        await alice.creates_room(room_alias_name="garden")
        before = await event_count(database)
        body = {"room_alias_name": "garden"}
        assert await alice.is_refused("POST", PATH, body, status=400) == "M_ROOM_IN_USE"
        assert await event_count(database) == before
        assert len(await rows(database, "SELECT * FROM rooms")) == 1

    async def test_of_several_who_want_it_one_gets_it(self, server):
        alice = await server.registers("alice")
        answers = await asyncio.gather(
            *(alice.request("POST", PATH, {"room_alias_name": "garden"}) for _ in range(4))
        )
        assert sorted(status for status, _ in answers) == [200, 400, 400, 400]

    @pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 300, "nul\0", "#a:example.org"])
    async def test_what_is_no_name(self, server, database, name):
        alice = await server.registers("alice")
        body = {"room_alias_name": name}
        assert await is_refused(alice, database, body) == "M_INVALID_PARAM"


class TestBadInput:
    """createRoom: what no room can begin with."""

    @pytest.mark.parametrize(
        "body",
        [
            [],
            {"visibility": "secret"},
            {"preset": "chat"},
            {"name": 1},
            {"topic": ["x"]},
            {"invite": "@bob:example.org"},
            {"invite": [1]},
            {"is_direct": "yes"},
            {"creation_content": []},
            {"initial_state": {}},
            {"initial_state": [{"content": {}}]},
            {"initial_state": [{"type": "a"}]},
            {"initial_state": [{"type": "a", "state_key": 1, "content": {}}]},
            {"power_level_content_override": []},
            {"room_version": 12},
            {"creation_content": {"a": 1.5}},
            {"initial_state": [{"type": "a", "content": {"a": 2**53}}]},
            {"power_level_content_override": {"ban": 50.0}},
        ],
        ids=str,
    )
    async def test_wrong_types(self, server, database, body):
        alice = await server.registers("alice")
        assert await is_refused(alice, database, body) == "M_BAD_JSON"

    async def test_what_is_no_json(self, server, database):
        alice = await server.registers("alice")
        assert await is_refused(alice, database, b"{") == "M_NOT_JSON"

    async def test_what_is_no_user_id(self, server, database):
        alice = await server.registers("alice")
        assert await is_refused(alice, database, {"invite": ["bob"]}) == "M_INVALID_PARAM"

    @pytest.mark.parametrize(
        ("body", "status", "errcode"),
        [
            ({"name": "x" * 70_000}, 413, "M_TOO_LARGE"),
            ({"creation_content": {"a": "x" * 70_000}}, 413, "M_TOO_LARGE"),
            ({"initial_state": [{"type": "x" * 256, "content": {}}]}, 413, "M_TOO_LARGE"),
            ({"name": "x" * 2_000_000}, 413, "M_TOO_LARGE"),
            ({"initial_state": [{"type": "a", "content": {}}] * 500}, 400, "M_INVALID_PARAM"),
            ({"initial_state": [{"type": "nul\0", "content": {}}]}, 400, "M_INVALID_PARAM"),
        ],
        ids=range(6),
    )
    async def test_too_much(self, server, database, body, status, errcode):
        alice = await server.registers("alice")
        assert await is_refused(alice, database, body, status=status) == errcode

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "m.room.create", "content": {"room_version": "12"}},
            {
                "type": "m.room.member",
                "state_key": "@bob:example.org",
                "content": {"membership": "join"},
            },
            {"type": "com.example.mine", "state_key": "@bob:example.org", "content": {}},
        ],
        ids=range(3),
    )
    async def test_state_that_the_rules_forbid(self, server, database, event):
        alice = await server.registers("alice")
        body = {"initial_state": [event]}
        assert await is_refused(alice, database, body) == "M_INVALID_ROOM_STATE"

    async def test_state_that_only_the_server_sends(self, server, database):
        alice = await server.registers("alice")
        body = {"initial_state": [{"type": "chat.foyer.deleted", "content": {}}]}
        assert await is_refused(alice, database, body, status=403) == "M_FORBIDDEN"


class TestNativeTypes:
    """What native clients take a room for that a Matrix client made."""

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"preset": "private_chat"}, "group"),
            ({"preset": "public_chat"}, "channel"),
            ({"visibility": "public", "preset": "private_chat"}, "channel"),
            ({"is_direct": True, "invite": ["bob"]}, "direct"),
            ({"is_direct": True, "invite": ["bob", "carol"]}, "group"),
            ({"is_direct": False, "invite": ["bob"]}, "group"),
        ],
        ids=str,
    )
    async def test_the_type_of_a_room(self, server, body, kind):
        people = {name: await server.registers(name) for name in ("alice", "bob", "carol")}
        invite = [people[name].user_id for name in body.get("invite", ())]
        await people["alice"].creates_room(**{**body, "invite": invite})
        (room,) = await people["alice"].native.get("/api/rooms")
        assert room["type"] == kind

    async def test_a_conversation_is_the_one_that_native_clients_go_on_with(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await alice.creates_room(is_direct=True, invite=[bob.user_id])
        me = await bob.native.get("/api/users/me")
        made = await alice.native.post(
            "/api/rooms", {"type": "direct", "members": [me["id"]]}, status=200
        )
        (listed,) = await alice.native.get("/api/rooms")
        assert made["id"] == listed["id"]
