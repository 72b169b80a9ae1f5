"""Upgrades of rooms over the Matrix API (room_upgrades.yaml; C-S API v1.19 "Room Upgrades")."""

import pytest

from tests.support.matrix_server import MatrixUser, q
from tests.support.stored_events import memberships, state


async def upgraded(person: MatrixUser, room: str, version: str, **more: object) -> str:
    path = f"v3/rooms/{q(room)}/upgrade"
    answer = await person.post(path, {"new_version": version, **more})
    return str(answer["replacement_room"])


class TestUpgradeRoom:
    """upgradeRoom."""

    @pytest.mark.parametrize(("old", "new"), [("10", "11"), ("11", "12"), ("12", "12")])
    async def test_a_replacement_room_with_the_settings(self, server, database, old, new):
        alice = await server.registers("alice")
        room = await alice.creates_room(
            room_version=old,
            name="Garden",
            topic="Flowers",
            creation_content={"type": "m.space"},
            room_alias_name="garden",
            visibility="public",
        )
        replacement = await upgraded(alice, room, new)
        state_then, state_now = await state(database, room), await state(database, replacement)
        create = state_now["m.room.create", ""]
        assert create["room_version"] == new
        assert create["type"] == "m.space"
        assert create["predecessor"]["room_id"] == room
        assert state_then["m.room.tombstone", ""]["replacement_room"] == replacement
        assert state_then["m.room.power_levels", ""]["events_default"] == 50
        assert state_now["m.room.power_levels", ""]["events_default"] == 0
        for kind in ("m.room.name", "m.room.topic", "m.room.join_rules", "m.room.guest_access"):
            assert state_now[kind, ""] == state_then[kind, ""]
        answer = await alice.get(f"v3/directory/room/{q('#garden:example.org')}")
        assert answer["room_id"] == replacement
        (listed,) = (await alice.get("v3/publicRooms"))["chunk"]
        assert listed["room_id"] == replacement

    async def test_nobody_else_is_moved(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        replacement = await upgraded(alice, room, "12")
        assert await memberships(database, replacement) == {alice.user_id: "join"}
        await bob.joins(replacement)

    async def test_native_upgrades_move_everybody(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat", name="Garden")
        await bob.joins(room)
        (listed,) = await alice.native.get("/api/rooms")
        await alice.native.post(f"/api/rooms/{listed['id']}/upgrade", {"version": "12"})
        room_id = (await state(database, room))["m.room.tombstone", ""]["replacement_room"]
        assert await memberships(database, room_id) == {
            alice.user_id: "join",
            bob.user_id: "join",
        }

    async def test_creators_are_those_that_are_named(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            preset="public_chat", creation_content={"additional_creators": [bob.user_id]}
        )
        first = await upgraded(alice, room, "12")
        assert "additional_creators" not in (await state(database, first))["m.room.create", ""]
        second = await upgraded(alice, first, "12", additional_creators=[bob.user_id])
        create = (await state(database, second))["m.room.create", ""]
        assert create["additional_creators"] == [bob.user_id]

    async def test_a_version_that_has_no_further_creators_ignores_them(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(room_version="10")
        replacement = await upgraded(alice, room, "11", additional_creators=[bob.user_id])
        assert (
            "additional_creators" not in (await state(database, replacement))["m.room.create", ""]
        )

    async def test_an_unknown_version(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = f"v3/rooms/{q(room)}/upgrade"
        refused = await alice.is_refused("POST", path, {"new_version": "99"}, status=400)
        assert refused == "M_UNSUPPORTED_ROOM_VERSION"

    async def test_the_level_of_tombstones_is_needed(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        path = f"v3/rooms/{q(room)}/upgrade"
        refused = await bob.is_refused("POST", path, {"new_version": "12"}, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for where in (room, "!nowhere:example.org"):
            path = f"v3/rooms/{q(where)}/upgrade"
            refused = await bob.is_refused("POST", path, {"new_version": "12"}, status=403)
            assert refused == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        "body",
        [{}, {"new_version": 12}, {"new_version": "12", "additional_creators": "@a:b"}],
        ids=str,
    )
    async def test_wrong_types(self, server, body):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = f"v3/rooms/{q(room)}/upgrade"
        assert await alice.is_refused("POST", path, body, status=400) == "M_BAD_JSON"

    async def test_creators_are_user_ids(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"new_version": "12", "additional_creators": ["nobody"]}
        path = f"v3/rooms/{q(room)}/upgrade"
        assert await alice.is_refused("POST", path, body, status=400) == "M_INVALID_PARAM"


class TestPersonalSettings:
    """Server behaviour: settings are there when a user joins the new room."""

    async def settings(self, person: MatrixUser, room: str, other: MatrixUser) -> None:
        await person.put(f"v3/user/{q(person.user_id)}/rooms/{q(room)}/tags/m.favourite", {})
        await person.put(
            f"v3/user/{q(person.user_id)}/account_data/m.direct", {other.user_id: [room]}
        )
        await person.put(f"v3/pushrules/global/room/{q(room)}", {"actions": ["notify"]})
        mute = {
            "conditions": [{"kind": "event_match", "key": "room_id", "pattern": room}],
            "actions": [],
        }
        await person.put(f"v3/pushrules/global/override/{q('mute ' + room)}", mute)

    async def has_settings(self, person: MatrixUser, room: str, other: MatrixUser) -> bool:
        tags = await person.get(f"v3/user/{q(person.user_id)}/rooms/{q(room)}/tags")
        direct = await person.get(f"v3/user/{q(person.user_id)}/account_data/m.direct")
        rules = (await person.get("v3/pushrules/"))["global"]
        about = [rule["rule_id"] for rule in rules["room"]]
        muted = [
            condition.get("pattern")
            for rule in rules["override"]
            for condition in rule.get("conditions", ())
        ]
        found = [
            "m.favourite" in tags["tags"],
            room in direct[other.user_id],
            room in about,
            room in muted,
        ]
        assert len(set(found)) == 1, found
        return found[0]

    async def test_of_who_upgrades_and_of_who_follows(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        for person, other in ((alice, bob), (bob, alice)):
            await self.settings(person, room, other)
        replacement = await upgraded(alice, room, "12")
        assert await self.has_settings(alice, replacement, bob)
        assert await self.has_settings(alice, room, bob)
        assert not await self.has_settings(bob, replacement, alice)
        await bob.joins(replacement)
        assert await self.has_settings(bob, replacement, alice)

    async def test_of_everybody_that_a_native_upgrade_moves(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat", name="Garden")
        await bob.joins(room)
        await self.settings(bob, room, alice)
        (listed,) = await alice.native.get("/api/rooms")
        await alice.native.post(f"/api/rooms/{listed['id']}/upgrade", {"version": "12"})
        replacement = (await state(database, room))["m.room.tombstone", ""]["replacement_room"]
        assert await self.has_settings(bob, replacement, alice)

    async def test_not_of_a_room_that_names_no_successor(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await self.settings(bob, room, alice)
        impostor = await alice.creates_room(
            preset="public_chat", creation_content={"predecessor": {"room_id": room}}
        )
        await bob.joins(impostor)
        assert not await self.has_settings(bob, impostor, alice)

    async def test_tags_that_are_there_already_stay(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await self.settings(bob, room, alice)
        replacement = await upgraded(alice, room, "12")
        await bob.joins(replacement)
        tags = f"v3/user/{q(bob.user_id)}/rooms/{q(replacement)}/tags"
        await bob.delete(f"{tags}/m.favourite")
        await bob.post(f"v3/rooms/{q(replacement)}/leave")
        await bob.joins(replacement)
        assert (await bob.get(tags))["tags"] == {}
