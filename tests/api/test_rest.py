"""Plays over REST, on a whole server."""

import pytest

from tests.support.api_server import PASSWORD, ApiServer, Someone, api_server

NOBODYS = "00000000-0000-5000-8000-000000000000"


@pytest.fixture
async def server(database):
    async with api_server(database) as running:
        yield running


@pytest.fixture
async def alice(server: ApiServer) -> Someone:
    return await server.registers("alice")


@pytest.fixture
async def bob(server: ApiServer) -> Someone:
    return await server.registers("bob")


@pytest.fixture
async def carol(server: ApiServer) -> Someone:
    return await server.registers("carol")


async def group(by: Someone, *others: Someone, **more) -> str:
    body = {"type": "group", "name": "Team", "members": [other.id for other in others]}
    return (await by.post("/api/rooms", body | more))["id"]


async def channel(by: Someone, **more) -> str:
    body = {"type": "channel", "name": "News", "public": True}
    return (await by.post("/api/rooms", body | more))["id"]


async def says(by: Someone, room: str, content: str, **more) -> str:
    return (await by.post(f"/api/rooms/{room}/messages", {"content": content} | more))["id"]


async def reads(by: Someone, room: str, **query) -> list[str]:
    page = await by.get(f"/api/rooms/{room}/messages", **query)
    return [message["content"] for message in page]


class TestMessages:
    async def test_a_message_is_what_the_seed_says(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "Hello world")
        (told,) = await bob.get(f"/api/rooms/{room}/messages")
        created_at = told.pop("created_at")
        assert created_at.endswith("Z")
        assert told == {
            "id": message,
            "room_id": room,
            "user_id": alice.id,
            "user_name": "Alice",
            "content": "Hello world",
            "reply_to": None,
            "attachments": [],
        }

    async def test_pages_go_back_in_time_and_begin_with_the_oldest(self, alice, bob):
        room = await group(alice, bob)
        messages = [await says(alice, room, text) for text in "abcde"]
        assert await reads(bob, room, limit="2") == ["d", "e"]
        assert await reads(bob, room, limit="2", before=messages[3]) == ["b", "c"]
        assert await reads(bob, room, limit="2", before=messages[1]) == ["a"]
        assert await reads(bob, room, before=messages[0]) == []

    async def test_a_repeated_ref_is_the_same_message(self, alice):
        room = await group(alice)
        first = await says(alice, room, "once", ref="r1")
        assert await says(alice, room, "once", ref="r1") == first
        assert await reads(alice, room) == ["once"]

    async def test_a_reply_names_its_message(self, alice, bob):
        room = await group(alice, bob)
        question = await says(alice, room, "tea?")
        answer = await says(bob, room, "yes", reply_to=question)
        assert (await alice.get(f"/api/messages/{answer}"))["reply_to"] == question

    async def test_a_thread_is_counted_where_it_begins(self, alice, bob):
        room = await group(alice, bob)
        root = await says(alice, room, "plans")
        await says(bob, room, "one", thread_id=root)
        await says(alice, room, "two", thread_id=root)
        thread = await bob.get(f"/api/messages/{root}/thread")
        assert [message["content"] for message in thread] == ["one", "two"]
        assert (await bob.get(f"/api/messages/{root}"))["thread_count"] == 2

    async def test_an_edit_shows_what_it_says_now(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "helo")
        edited = await alice.patch(f"/api/messages/{message}", {"content": "hello"})
        assert (edited["content"], "edited_at" in edited) == ("hello", True)
        assert await reads(bob, room) == ["hello"]

    async def test_only_the_author_edits(self, alice, bob):
        room = await group(alice, bob)
        path = f"/api/messages/{await says(alice, room, 'mine')}"
        assert await bob.is_refused("PATCH", path, {"content": "his"}) == "FORBIDDEN"

    async def test_a_deleted_message_is_gone_from_pages(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "oops")
        await alice.delete(f"/api/messages/{message}")
        assert await reads(bob, room) == []
        left = await bob.get(f"/api/messages/{message}")
        assert (left["content"], "deleted_at" in left) == ("", True)
        assert await alice.is_refused("DELETE", f"/api/messages/{message}") == "INVALID_MESSAGE"

    async def test_a_member_cannot_delete_what_others_wrote(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "mine")
        assert await bob.is_refused("DELETE", f"/api/messages/{message}") == "FORBIDDEN"

    async def test_a_reaction_comes_and_goes(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "cake")
        path = f"/api/messages/{message}/reactions/%F0%9F%91%8D"
        await bob.put(path)
        await bob.put(path)
        (reaction,) = (await bob.get(f"/api/messages/{message}"))["reactions"]
        assert reaction == {"key": "👍", "count": 1, "users": [bob.id], "mine": True}
        await bob.delete(path)
        assert "reactions" not in await bob.get(f"/api/messages/{message}")
        assert await bob.is_refused("DELETE", path) == "NOT_FOUND"

    @pytest.mark.parametrize(
        "content", ["👋🏽", "a\nb", " x ", "\u202e", "</script>", "a" * 32_768]
    )
    async def test_any_text_comes_back_as_it_was(self, alice, content):
        room = await group(alice)
        await says(alice, room, content)
        assert await reads(alice, room) == [content]

    async def test_a_message_over_the_limit_is_too_large(self, alice):
        path = f"/api/rooms/{await group(alice)}/messages"
        body = {"content": "é" * 16_385}
        assert await alice.is_refused("POST", path, body) == "TOO_LARGE"

    async def test_what_was_read_is_told(self, alice, bob):
        room = await group(alice, bob)
        message = await says(alice, room, "news")
        assert await self.unread(bob) == 1
        await bob.post(f"/api/rooms/{room}/read", {"message_id": message})
        assert await self.unread(bob) == 0
        (receipt,) = await alice.get(f"/api/messages/{message}/receipts")
        assert (receipt["user_id"], receipt["user_name"]) == (bob.id, "Bob")
        assert receipt["read_at"] is not None

    @staticmethod
    async def unread(by: Someone) -> int:
        (room,) = await by.get("/api/rooms")
        return room["unread_count"]


class TestStrangers:
    """Who is not in a room does not learn that it exists."""

    async def test_reading_and_writing_find_no_room(self, alice, carol):
        room = await group(alice)
        path = f"/api/rooms/{room}"
        message = await says(alice, room, "secret")
        codes = [
            await carol.is_refused("GET", path),
            await carol.is_refused("PATCH", path, {"name": "Mine"}),
            await carol.is_refused("DELETE", path),
            await carol.is_refused("GET", f"{path}/messages"),
            await carol.is_refused("POST", f"{path}/messages", {"content": "hi"}),
            await carol.is_refused("GET", f"{path}/members"),
            await carol.is_refused("POST", f"{path}/members", {"user_ids": [carol.id]}),
            await carol.is_refused("POST", f"{path}/join"),
            await carol.is_refused("POST", f"{path}/leave"),
            await carol.is_refused("POST", f"{path}/read", {"message_id": message}),
            await carol.is_refused("POST", f"{path}/typing", {"typing": True}),
            await carol.is_refused("POST", f"{path}/invites", {"user_id": carol.id}),
            await carol.is_refused("POST", f"{path}/upgrade", {"version": "12"}),
        ]
        assert set(codes) == {"INVALID_ROOM"}

    async def test_messages_are_not_found_either(self, alice, carol):
        message = await says(alice, await group(alice), "secret")
        path = f"/api/messages/{message}"
        codes = [
            await carol.is_refused("GET", path),
            await carol.is_refused("GET", f"{path}/thread"),
            await carol.is_refused("GET", f"{path}/receipts"),
        ]
        assert set(codes) == {"INVALID_MESSAGE"}

    async def test_what_never_was_is_answered_the_same(self, carol):
        assert await carol.is_refused("GET", f"/api/rooms/{NOBODYS}") == "INVALID_ROOM"
        assert await carol.is_refused("GET", f"/api/messages/{NOBODYS}") == "INVALID_MESSAGE"
        assert await carol.is_refused("GET", f"/api/users/{NOBODYS}") == "INVALID_USER"


class TestRooms:
    async def test_two_people_have_one_direct_room(self, alice, bob):
        body = {"type": "direct", "members": [bob.id]}
        first = await alice.post("/api/rooms", body)
        again = await alice.post("/api/rooms", body, status=200)
        body = {"type": "direct", "members": [alice.id]}
        from_the_other_side = await bob.post("/api/rooms", body, status=200)
        assert first["id"] == again["id"] == from_the_other_side["id"]
        assert (first["name"], from_the_other_side["name"]) == ("Bob", "Alice")

    async def test_members_are_in_at_once(self, alice, bob):
        room = await group(alice, bob)
        told = await bob.get(f"/api/rooms/{room}")
        assert told["members"] == [alice.id, bob.id]
        assert (told["type"], told["name"], told["role"]) == ("group", "Team", "member")

    async def test_the_list_begins_with_the_newest_conversation(self, alice, bob):
        quiet, lively = await group(alice, bob, name="Quiet"), await group(alice, bob)
        await says(bob, quiet, "first")
        await says(bob, lively, "second")
        rooms = await alice.get("/api/rooms")
        assert [room["id"] for room in rooms] == [lively, quiet]
        assert rooms[0]["last_message"]["content"] == "second"

    async def test_a_change_is_seen_by_others(self, alice, bob):
        room = await group(alice, bob)
        changed = await alice.patch(f"/api/rooms/{room}", {"name": "Crew", "topic": "Tea"})
        assert (changed["name"], changed["topic"]) == ("Crew", "Tea")
        assert (await bob.get(f"/api/rooms/{room}"))["name"] == "Crew"

    async def test_the_members_of_a_change_are_all_members(self, alice, bob, carol):
        room = await group(alice, bob)
        body = {"members": [alice.id, carol.id]}
        changed = await alice.patch(f"/api/rooms/{room}", body)
        assert changed["members"] == [alice.id, carol.id]
        assert await bob.is_refused("GET", f"/api/rooms/{room}") == "INVALID_ROOM"

    async def test_a_member_cannot_change_a_room(self, alice, bob):
        path = f"/api/rooms/{await group(alice, bob)}"
        assert await bob.is_refused("PATCH", path, {"name": "Mine"}) == "FORBIDDEN"
        assert await bob.is_refused("DELETE", path) == "FORBIDDEN"

    async def test_a_deleted_room_is_gone_for_everybody(self, alice, bob):
        room = await group(alice, bob)
        await alice.delete(f"/api/rooms/{room}")
        assert await bob.get("/api/rooms") == []
        assert await alice.is_refused("GET", f"/api/rooms/{room}") == "INVALID_ROOM"

    async def test_an_upgraded_room_has_a_successor(self, alice, bob):
        room = await group(alice, bob, version="11")
        successor = await alice.post(f"/api/rooms/{room}/upgrade", {"version": "12"})
        assert successor["id"] != room
        assert successor["members"] == [alice.id, bob.id]

    @pytest.mark.parametrize(
        "body",
        [
            {"type": "direct", "members": []},
            {"type": "group", "public": True},
            {"type": "channel"},
            {"type": "group", "version": "99"},
            {"type": "club"},
            {"name": "Team"},
        ],
    )
    async def test_a_room_that_cannot_be_is_refused(self, alice, body):
        assert await alice.is_refused("POST", "/api/rooms", body) == "INVALID_INPUT"

    async def test_a_room_with_somebody_unknown_is_refused(self, alice):
        body = {"type": "group", "members": [NOBODYS]}
        assert await alice.is_refused("POST", "/api/rooms", body) == "INVALID_USER"


class TestMembers:
    async def test_a_public_channel_is_found_and_joined(self, alice, bob):
        room = await channel(alice, topic="Everything new")
        (found,) = await bob.get("/api/channels", q="new")
        assert (found["id"], found["joined"]) == (room, False)
        joined = await bob.post(f"/api/rooms/{room}/join")
        assert bob.id in joined["members"]
        await bob.post(f"/api/rooms/{room}/leave")
        assert await bob.get("/api/rooms") == []

    async def test_an_invitation_is_told_and_accepted(self, alice, bob):
        room = await group(alice)
        await alice.post(f"/api/rooms/{room}/invites", {"user_id": bob.id})
        (invite,) = await bob.get("/api/invites")
        assert (invite["room"]["id"], invite["by"]["name"]) == (room, "Alice")
        await bob.post(f"/api/rooms/{room}/join")
        assert await bob.get("/api/invites") == []

    async def test_who_is_removed_reads_no_more(self, alice, bob):
        room = await group(alice, bob)
        await alice.delete(f"/api/rooms/{room}/members/{bob.id}", reason="spam")
        path = f"/api/rooms/{room}/messages"
        assert await bob.is_refused("GET", path) == "INVALID_ROOM"
        assert await bob.is_refused("POST", path, {"content": "hi"}) == "FORBIDDEN"

    async def test_who_is_banned_stays_out_until_the_ban_is_lifted(self, alice, bob):
        room = await channel(alice)
        await bob.post(f"/api/rooms/{room}/join")
        await alice.put(f"/api/rooms/{room}/bans/{bob.id}", {"reason": "spam"})
        assert await bob.is_refused("POST", f"/api/rooms/{room}/join") == "FORBIDDEN"
        await alice.delete(f"/api/rooms/{room}/bans/{bob.id}")
        await bob.post(f"/api/rooms/{room}/join")

    async def test_an_admin_makes_another_one(self, alice, bob):
        room = await group(alice, bob)
        await alice.put(f"/api/rooms/{room}/members/{bob.id}", {"role": "admin"})
        members = await bob.get(f"/api/rooms/{room}/members")
        assert {member["name"]: member["role"] for member in members} == {
            "Alice": "admin",
            "Bob": "admin",
        }

    async def test_members_come_in_pages(self, alice, bob, carol):
        room = await group(alice, bob, carol)
        first = await alice.get(f"/api/rooms/{room}/members", limit="2")
        rest = await alice.get(f"/api/rooms/{room}/members", after=first[-1]["id"])
        names = [member["name"] for member in (*first, *rest)]
        assert sorted(names) == ["Alice", "Bob", "Carol"]


class TestAccounts:
    async def test_the_token_of_a_login_works_until_the_logout(self, server, alice):
        again = await server.logs_in("alice")
        assert again.id == alice.id
        await again.post("/api/auth/logout")
        assert await again.is_refused("GET", "/api/users/me") == "UNAUTHENTICATED"
        assert (await alice.get("/api/users/me"))["username"] == "alice"

    async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(self, server, alice):
        answers = []
        for email in ("alice@example.org", "nobody@example.org"):
            body = {"email": email, "password": "wrong"}
            response = await server.client.post("/api/auth/login", json=body)
            answers.append((response.status, await response.json()))
        assert answers[0] == answers[1]
        assert answers[0][0] == 401

    async def test_sessions_are_listed_and_ended_one_by_one(self, server, alice):
        phone = await server.logs_in("alice")
        sessions = await alice.get("/api/sessions")
        (other,) = [session for session in sessions if not session["current"]]
        await alice.delete(f"/api/sessions/{other['id']}")
        assert await phone.is_refused("GET", "/api/rooms") == "UNAUTHENTICATED"
        path = f"/api/sessions/{other['id']}"
        assert await alice.is_refused("DELETE", path) == "NOT_FOUND"

    async def test_a_refresh_token_works_once_and_its_theft_ends_the_session(self, server):
        body = {"email": "dave@example.org", "password": PASSWORD, "name": "Dave"}
        first = await server.nobody.post("/api/auth/register", body)
        old = {"refresh_token": first["refresh_token"]}
        fresh = await server.nobody.post("/api/auth/refresh", old)
        dave = Someone(server.client, fresh["token"])
        assert (await dave.get("/api/users/me"))["name"] == "Dave"
        assert await server.nobody.is_refused("POST", "/api/auth/refresh", old) == "UNAUTHENTICATED"
        assert await dave.is_refused("GET", "/api/users/me") == "UNAUTHENTICATED"

    async def test_a_new_password_ends_the_other_sessions(self, server, alice):
        phone = await server.logs_in("alice")
        body = {"current_password": PASSWORD, "new_password": "another horse"}
        await alice.put("/api/auth/password", body)
        assert await phone.is_refused("GET", "/api/rooms") == "UNAUTHENTICATED"
        await alice.get("/api/rooms")

    async def test_a_new_name_is_seen_by_others(self, alice, bob):
        await group(alice, bob)
        changed = await alice.patch("/api/users/me", {"name": "Alice B."})
        assert changed["name"] == "Alice B."
        assert (await bob.get(f"/api/users/{alice.id}"))["name"] == "Alice B."

    async def test_only_administrators_invite_to_the_server(self, alice):
        assert await alice.is_refused("POST", "/api/invitations", {}) == "FORBIDDEN"

    async def test_presence_is_for_those_who_share_a_room(self, alice, bob, carol):
        await group(alice, bob)
        assert (await alice.get(f"/api/presence/{bob.id}"))["status"] == "offline"
        assert await carol.is_refused("GET", f"/api/presence/{bob.id}") == "FORBIDDEN"

    async def test_people_are_found_by_name(self, alice, bob):
        (hit,) = await alice.get("/api/users/search", q="bob")
        assert hit["id"] == bob.id


class TestTheServer:
    async def test_a_probe_needs_no_token(self, server):
        assert (await server.client.get("/health")).status == 200
