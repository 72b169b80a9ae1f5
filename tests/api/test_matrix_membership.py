"""Coming into rooms and leaving them over the Matrix API (joining.yaml, knocking.yaml,
inviting.yaml, leaving.yaml, kicking.yaml, banning.yaml, list_joined_rooms.yaml,
third_party_membership.yaml)."""

import asyncio
from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixUser, q
from tests.support.queries import counted
from tests.support.stored_events import history, memberships, rows, state

NOWHERE = "!nowhere:example.org"


def path(room: str, what: str) -> str:
    return f"v3/rooms/{q(room)}/{what}"


async def room_with(
    creator: MatrixUser, join_rule: str, *allowed: str, version: str = "12", **more: Any
) -> str:
    """A room with a join rule, that lets members of other rooms in."""
    content: dict[str, Any] = {"join_rule": join_rule}
    if allowed:
        content["allow"] = [{"type": "m.room_membership", "room_id": room} for room in allowed]
    rules = {"type": "m.room.join_rules", "content": content}
    return await creator.creates_room(room_version=version, initial_state=[rules], **more)


async def membership(database: Database, room: str, person: MatrixUser) -> str | None:
    return (await memberships(database, room)).get(person.user_id)


class TestJoinRoom:
    """joinRoom, joinRoomById."""

    @pytest.mark.parametrize("by_id", [True, False])
    async def test_a_public_room(self, server, database, by_id):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        where = path(room, "join") if by_id else f"v3/join/{q(room)}"
        assert await bob.post(where, {"reason": "curious"}) == {"room_id": room}
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert member["membership"] == "join"
        assert member["reason"] == "curious"

    async def test_by_an_alias_and_with_servers(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat", room_alias_name="garden")
        answer = await bob.post(
            f"v3/join/{q('#garden:example.org')}",
            via=["elsewhere.example", "example.org"],
            server_name=["elsewhere.example"],
        )
        assert answer == {"room_id": room}
        assert await membership(database, room, bob) == "join"

    async def test_without_a_body(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.asks("POST", f"v3/join/{q(room)}", b"")

    async def test_twice_is_once(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await asyncio.gather(*(bob.joins(room) for _ in range(4)))
        before = await history(database, room)
        await bob.joins(room)
        assert await history(database, room) == before
        assert [event["sender"] for event in before].count(bob.user_id) == 1

    async def test_an_invitation_is_accepted(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        await bob.joins(room)
        assert await membership(database, room, bob) == "join"

    async def test_a_private_room(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for where in (path(room, "join"), f"v3/join/{q(room)}"):
            assert await bob.is_refused("POST", where, {}, status=403) == "M_FORBIDDEN"

    async def test_who_is_banned(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await alice.post(path(room, "ban"), {"user_id": bob.user_id})
        assert await bob.is_refused("POST", path(room, "join"), {}, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        "where", [NOWHERE, "#nothing:example.org", "#nothing:elsewhere.example"]
    )
    async def test_a_room_that_is_not_there(self, server, where):
        alice = await server.registers("alice")
        refused = await alice.is_refused("POST", f"v3/join/{q(where)}", {}, status=404)
        assert refused == "M_NOT_FOUND"

    async def test_what_is_no_room(self, server):
        alice = await server.registers("alice")
        refused = await alice.is_refused("POST", "v3/join/garden", {}, status=400)
        assert refused == "M_INVALID_PARAM"

    async def test_wrong_types(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        for body in ([], {"reason": 1}, {"third_party_signed": "x"}):
            refused = await alice.is_refused("POST", path(room, "join"), body, status=400)
            assert refused == "M_BAD_JSON"

    async def test_invitations_of_third_party_identifiers_need_an_identity_server(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(preset="public_chat")
        signed = {"sender": "@a:b", "mxid": "@c:d", "token": "t", "signatures": {}}
        body = {"third_party_signed": signed}
        refused = await alice.is_refused("POST", path(room, "join"), body, status=403)
        assert refused == "M_SERVER_NOT_TRUSTED"

    async def test_a_warm_join_takes_few_statements(self, server, database):
        """One look at the membership so far, then what every state event writes."""
        alice = await server.registers("alice")
        people = [await server.registers(f"user{number}") for number in range(8)]
        room = await alice.creates_room(preset="public_chat")
        await people[0].joins(room)
        counts = []
        for person in people[1:]:
            async with counted(database) as statements:
                await person.joins(room)
            counts.append(len([each for each in statements if "sessions" not in each]))
        # What follows from other joins may run beside one; it never runs beside all.
        assert min(counts) <= 10


class TestRestrictedJoins:
    """Room version 8 "Restricted rooms", room version 10 "Restricted rooms with knocking"."""

    @pytest.mark.parametrize(
        ("join_rule", "version"),
        [
            ("restricted", "8"),
            ("restricted", "9"),
            ("restricted", "11"),
            ("restricted", "12"),
            ("knock_restricted", "10"),
            ("knock_restricted", "12"),
        ],
    )
    async def test_members_of_an_allowed_room_come_in(self, server, database, join_rule, version):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        club = await alice.creates_room(preset="public_chat")
        room = await room_with(alice, join_rule, NOWHERE, club, version=version)
        refused = await bob.is_refused("POST", path(room, "join"), {}, status=403)
        assert refused == "M_FORBIDDEN"
        await bob.joins(club)
        await bob.joins(room)
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert member["join_authorised_via_users_server"] == alice.user_id

    async def test_invited_people_need_nobody(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_with(alice, "restricted", NOWHERE, invite=[bob.user_id])
        await bob.joins(room)
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert "join_authorised_via_users_server" not in member

    async def test_anybody_who_may_invite_vouches(self, server, database):
        """The creator has left, and everybody may invite."""
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        club = await alice.creates_room(preset="public_chat")
        room = await room_with(alice, "restricted", club)
        for person in (bob, carol):
            await person.joins(club)
        await bob.joins(room)
        await alice.post(path(room, "leave"))
        await carol.joins(room)
        member = (await state(database, room))["m.room.member", carol.user_id]
        assert member["join_authorised_via_users_server"] == bob.user_id

    async def test_nobody_may_vouch(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        club = await alice.creates_room(preset="public_chat")
        room = await room_with(
            alice, "restricted", club, power_level_content_override={"invite": 50}
        )
        for person in (bob, carol):
            await person.joins(club)
        await bob.joins(room)
        await alice.post(path(room, "leave"))
        refused = await carol.is_refused("POST", path(room, "join"), {}, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_who_is_banned_stays_out(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        club = await alice.creates_room(preset="public_chat")
        await bob.joins(club)
        room = await room_with(alice, "restricted", club)
        await alice.post(path(room, "ban"), {"user_id": bob.user_id})
        assert await bob.is_refused("POST", path(room, "join"), {}, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        "allow",
        [None, "x", [1], [{"type": "other", "room_id": "club"}], [{"type": "m.room_membership"}]],
        ids=str,
    )
    async def test_conditions_that_let_nobody_in(self, server, allow):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        content = {"join_rule": "restricted", "allow": allow}
        rules = {"type": "m.room.join_rules", "content": content}
        room = await alice.creates_room(initial_state=[rules])
        assert await bob.is_refused("POST", path(room, "join"), {}, status=403) == "M_FORBIDDEN"

    async def test_native_clients_come_in_too(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        club = await alice.creates_room(preset="public_chat")
        room = await room_with(alice, "restricted", club, name="Inner circle")
        listed = await alice.native.get("/api/rooms")
        (native_id,) = [each["id"] for each in listed if each["name"] == "Inner circle"]
        refused = await bob.native.is_refused("POST", f"/api/rooms/{native_id}/join")
        assert refused == "INVALID_ROOM"
        await bob.joins(club)
        await bob.native.post(f"/api/rooms/{native_id}/join")
        assert await membership(database, room, bob) == "join"


class TestKnockRoom:
    """knockRoom."""

    @pytest.mark.parametrize(
        ("join_rule", "version"), [("knock", "7"), ("knock", "12"), ("knock_restricted", "12")]
    )
    async def test_somebody_asks_to_be_let_in(self, server, database, join_rule, version):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_with(alice, join_rule, version=version)
        answer = await bob.post(f"v3/knock/{q(room)}", {"reason": "please"}, via="example.org")
        assert answer == {"room_id": room}
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert (member["membership"], member["reason"]) == ("knock", "please")
        await alice.post(path(room, "invite"), {"user_id": bob.user_id})
        await bob.joins(room)

    async def test_by_an_alias(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_with(alice, "knock", room_alias_name="garden")
        await bob.post(f"v3/knock/{q('#garden:example.org')}")
        assert await membership(database, room, bob) == "knock"

    async def test_a_knock_is_taken_back_or_refused(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_with(alice, "knock")
        await bob.post(f"v3/knock/{q(room)}")
        await bob.post(path(room, "leave"))
        assert await membership(database, room, bob) == "leave"
        await bob.post(f"v3/knock/{q(room)}")
        await alice.post(path(room, "kick"), {"user_id": bob.user_id})
        assert await membership(database, room, bob) == "leave"

    async def test_rooms_without_a_door(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        for join_rule in ("invite", "public", "private"):
            room = await room_with(alice, join_rule)
            refused = await bob.is_refused("POST", f"v3/knock/{q(room)}", {}, status=403)
            assert refused == "M_FORBIDDEN"

    async def test_who_is_banned_or_in_already(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await room_with(alice, "knock")
        await alice.post(path(room, "ban"), {"user_id": bob.user_id})
        for person in (alice, bob):
            refused = await person.is_refused("POST", f"v3/knock/{q(room)}", {}, status=403)
            assert refused == "M_FORBIDDEN"

    @pytest.mark.parametrize("where", [NOWHERE, "#nothing:example.org"])
    async def test_a_room_that_is_not_there(self, server, where):
        alice = await server.registers("alice")
        refused = await alice.is_refused("POST", f"v3/knock/{q(where)}", {}, status=404)
        assert refused == "M_NOT_FOUND"


class TestInviteUser:
    """inviteUser."""

    async def test_a_member_invites(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await bob.put(f"v3/profile/{q(bob.user_id)}/displayname", {"displayname": "Bob"})
        room = await alice.creates_room()
        body = {"user_id": bob.user_id, "reason": "come"}
        for _ in range(2):
            assert await alice.post(path(room, "invite"), body) == {}
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert member == {"membership": "invite", "displayname": "Bob", "reason": "come"}
        assert len(await history(database, room)) == 7

    async def test_who_is_in_or_banned(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        await alice.post(path(room, "ban"), {"user_id": bob.user_id})
        for person in (alice, bob):
            body = {"user_id": person.user_id}
            refused = await alice.is_refused("POST", path(room, "invite"), body, status=403)
            assert refused == "M_FORBIDDEN"

    async def test_the_level_is_needed(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(
            preset="public_chat", power_level_content_override={"invite": 50}
        )
        await bob.joins(room)
        body = {"user_id": carol.user_id}
        refused = await bob.is_refused("POST", path(room, "invite"), body, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for where in (room, NOWHERE):
            body = {"user_id": alice.user_id}
            answer = await bob.asks("POST", path(where, "invite"), body, status=403)
            assert answer == {"errcode": "M_FORBIDDEN", "error": "You are not in this room."}

    async def test_people_who_are_not_there(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"user_id": "@nobody:example.org"}
        assert await alice.is_refused("POST", path(room, "invite"), body, status=404)
        body = {"user_id": "@bob:elsewhere.example"}
        refused = await alice.is_refused("POST", path(room, "invite"), body, status=403)
        assert refused == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        ("body", "errcode"),
        [
            ({}, "M_BAD_JSON"),
            ({"user_id": 1}, "M_BAD_JSON"),
            ({"user_id": "bob"}, "M_INVALID_PARAM"),
            ({"user_id": "@b:example.org", "reason": []}, "M_BAD_JSON"),
        ],
        ids=str,
    )
    async def test_wrong_types(self, server, body, errcode):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        refused = await alice.is_refused("POST", path(room, "invite"), body, status=400)
        assert refused == errcode

    async def test_third_party_identifiers_need_an_identity_server(self, server):
        """inviteBy3PID."""
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {
            "id_server": "id.example.org",
            "id_access_token": "x",
            "medium": "email",
            "address": "bob@example.org",
        }
        refused = await alice.is_refused("POST", path(room, "invite"), body, status=403)
        assert refused == "M_SERVER_NOT_TRUSTED"


class TestInvitePermission:
    """C-S API v1.19 "Invite permission"."""

    async def blocks(self, person: MatrixUser, action: str | None) -> None:
        where = f"v3/user/{q(person.user_id)}/account_data/m.invite_permission_config"
        await person.put(where, {} if action is None else {"default_action": action})

    async def test_who_wants_no_invitations_gets_none(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await self.blocks(bob, "block")
        room = await alice.creates_room()
        body = {"user_id": bob.user_id}
        refused = await alice.is_refused("POST", path(room, "invite"), body, status=403)
        assert refused == "M_INVITE_BLOCKED"
        where = path(room, f"state/m.room.member/{q(bob.user_id)}")
        refused = await alice.is_refused("PUT", where, {"membership": "invite"}, status=403)
        assert refused == "M_INVITE_BLOCKED"
        await self.blocks(bob, None)
        await alice.post(path(room, "invite"), body)
        assert await membership(database, room, bob) == "invite"

    async def test_also_none_of_native_clients(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        await self.blocks(bob, "block")
        me = (await bob.native.get("/api/users/me"))["id"]
        body = {"type": "group", "members": [me]}
        assert await alice.native.is_refused("POST", "/api/rooms", body) == "FORBIDDEN"
        made = await alice.native.post("/api/rooms", {"type": "group", "members": []})
        where = f"/api/rooms/{made['id']}/members"
        refused = await alice.native.is_refused("POST", where, {"user_ids": [me]})
        assert refused == "FORBIDDEN"


class TestLeaveRoom:
    """leaveRoom."""

    async def test_a_member_leaves(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        assert await bob.post(path(room, "leave"), {"reason": "bye"}) == {}
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert (member["membership"], member["reason"]) == ("leave", "bye")

    async def test_an_invitation_is_declined(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        await bob.asks("POST", path(room, "leave"), b"")
        assert await membership(database, room, bob) == "leave"

    async def test_twice_is_once(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.post(path(room, "leave"))
        before = await history(database, room)
        await alice.post(path(room, "leave"))
        assert await history(database, room) == before

    async def test_strangers_and_the_banned(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room()
        await alice.post(path(room, "ban"), {"user_id": bob.user_id})
        for person, where in ((bob, room), (carol, room), (carol, NOWHERE)):
            refused = await person.is_refused("POST", path(where, "leave"), {}, status=403)
            assert refused == "M_FORBIDDEN"


class TestForgetRoom:
    """forgetRoom."""

    async def forgotten(self, database: Database) -> int:
        return len(await rows(database, "SELECT * FROM forgotten_rooms"))

    async def test_who_has_left(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.post(path(room, "leave"))
        for _ in range(2):
            assert await alice.post(path(room, "forget")) == {}
        assert await self.forgotten(database) == 1

    async def test_who_has_not_left(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        for person in (alice, bob):
            refused = await person.is_refused("POST", path(room, "forget"), {}, status=400)
            assert refused == "M_UNKNOWN"
        assert await self.forgotten(database) == 0

    @pytest.mark.parametrize("how", ["invite", "join"])
    async def test_who_comes_back_remembers(self, server, database, how):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await bob.post(path(room, "leave"))
        await bob.post(path(room, "forget"))
        if how == "invite":
            await alice.post(path(room, "invite"), {"user_id": bob.user_id})
        else:
            await bob.joins(room)
        assert await self.forgotten(database) == 0

    async def test_strangers_have_nothing_to_forget(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        assert await bob.post(path(room, "forget")) == {}
        assert await self.forgotten(database) == 0
        refused = await bob.is_refused("POST", path(NOWHERE, "forget"), {}, status=403)
        assert refused == "M_FORBIDDEN"


class TestKick:
    """kick."""

    async def test_members_and_invitations_go(self, server, database):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(preset="public_chat", invite=[carol.user_id])
        await bob.joins(room)
        for person in (bob, carol):
            body = {"user_id": person.user_id, "reason": "enough"}
            assert await alice.post(path(room, "kick"), body) == {}
            member = (await state(database, room))["m.room.member", person.user_id]
            assert (member["membership"], member["reason"]) == ("leave", "enough")
        await bob.joins(room)

    async def test_who_is_not_there(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room()
        await alice.post(path(room, "ban"), {"user_id": carol.user_id})
        for user_id in (bob.user_id, carol.user_id, "@nobody:example.org", "@a:elsewhere.example"):
            body = {"user_id": user_id}
            refused = await alice.is_refused("POST", path(room, "kick"), body, status=403)
            assert refused == "M_FORBIDDEN"

    async def test_the_level_is_needed(self, server):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(preset="public_chat")
        for person in (bob, carol):
            await person.joins(room)
        for target in (alice, carol):
            body = {"user_id": target.user_id}
            refused = await bob.is_refused("POST", path(room, "kick"), body, status=403)
            assert refused == "M_FORBIDDEN"


class TestBan:
    """ban, unban."""

    async def test_a_member_goes_for_good(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        body = {"user_id": bob.user_id, "reason": "spam"}
        for _ in range(2):
            assert await alice.post(path(room, "ban"), body) == {}
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert (member["membership"], member["reason"]) == ("ban", "spam")
        await alice.post(path(room, "unban"), {"user_id": bob.user_id, "reason": "sorry"})
        member = (await state(database, room))["m.room.member", bob.user_id]
        assert (member["membership"], member["reason"]) == ("leave", "sorry")
        await bob.joins(room)

    async def test_people_who_have_never_been_here(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        for user_id in ("@nobody:example.org", "@a:elsewhere.example"):
            await alice.post(path(room, "ban"), {"user_id": user_id})
            assert (await state(database, room))["m.room.member", user_id] == {"membership": "ban"}

    async def test_the_level_is_needed(self, server, database):
        alice, bob, carol = [await server.registers(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_room(preset="public_chat")
        for person in (bob, carol):
            await person.joins(room)
        await alice.post(path(room, "ban"), {"user_id": carol.user_id})
        for what, target in (("ban", alice), ("ban", carol), ("unban", carol), ("ban", bob)):
            body = {"user_id": target.user_id}
            refused = await bob.is_refused("POST", path(room, what), body, status=403)
            assert refused == "M_FORBIDDEN"
        assert await membership(database, room, carol) == "ban"

    async def test_who_is_not_banned(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(invite=[bob.user_id])
        body = {"user_id": bob.user_id}
        refused = await alice.is_refused("POST", path(room, "unban"), body, status=403)
        assert refused == "M_BAD_STATE"

    @pytest.mark.parametrize("what", ["kick", "ban", "unban"])
    async def test_strangers_learn_nothing(self, server, what):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        for where in (room, NOWHERE):
            body = {"user_id": alice.user_id}
            answer = await bob.asks("POST", path(where, what), body, status=403)
            assert answer == {"errcode": "M_FORBIDDEN", "error": "You are not in this room."}

    @pytest.mark.parametrize("what", ["kick", "ban", "unban"])
    @pytest.mark.parametrize(
        ("body", "errcode"),
        [
            ({}, "M_BAD_JSON"),
            ({"user_id": 1}, "M_BAD_JSON"),
            ({"user_id": "bob"}, "M_INVALID_PARAM"),
            ({"user_id": "@" + "x" * 300 + ":example.org"}, "M_INVALID_PARAM"),
            ({"user_id": "@b:example.org", "reason": 1}, "M_BAD_JSON"),
        ],
        ids=range(5),
    )
    async def test_wrong_types(self, server, what, body, errcode):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        assert await alice.is_refused("POST", path(room, what), body, status=400) == errcode

    async def test_a_reason_that_no_event_can_hold(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"user_id": "@b:example.org", "reason": "x" * 66_000}
        assert await alice.is_refused("POST", path(room, "ban"), body, status=413) == "M_TOO_LARGE"


class TestGetJoinedRooms:
    """getJoinedRooms."""

    async def test_only_those_that_one_is_in(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        assert await bob.get("v3/joined_rooms") == {"joined_rooms": []}
        made = [await alice.creates_room(preset="public_chat") for _ in range(3)]
        for room in made:
            await bob.joins(room)
        await alice.creates_room(invite=[bob.user_id])
        await bob.post(path(made[0], "leave"))
        assert await bob.get("v3/joined_rooms") == {"joined_rooms": made[1:]}
