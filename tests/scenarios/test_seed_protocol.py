"""The protocol of the seed, frame by frame and endpoint by endpoint, as its page writes it.

What the schema says is checked for every answer and frame of every play. Here stand the seed's own
words: fields and values that a client which was written from that page alone relies on.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.play import Play

MESSAGE = {
    "id",
    "room_id",
    "user_id",
    "user_name",
    "content",
    "created_at",
    "reply_to",
    "attachments",
}


def moment(text: str) -> datetime:
    """A time as the seed writes it: UTC, with a Z."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def is_now(text: str) -> bool:
    """Whether a time is of this run, whatever the machine is busy with."""
    return abs(datetime.now(UTC) - moment(text)) < timedelta(hours=1)


class TestConnection:
    """Section 1: `WS /ws` with `Authorization: Bearer <jwt_token>`."""

    async def test_a_token_opens_it_and_nothing_comes_unasked(self, play: Play) -> None:
        alice = await play.enters("alice")
        device = await alice.connects()
        await device.sends("ping")
        await device.hears("pong")
        assert device.frames == [{"type": "pong"}]

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
    async def test_nobody_else_may_open_it(self, play: Play, headers: dict[str, str]) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await play.opens(headers=headers)
        assert refused.value.response.status_code == 401
        assert b'"UNAUTHENTICATED"' in (refused.value.response.body or b"")

    async def test_the_token_is_a_jwt(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert [bool(part) for part in alice.token.split(".")] == [True, True, True]


class TestFramesOfClients:
    """Section 1, "Client → Server Events", with the frames that answer them."""

    async def test_message_send(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.device.sends("message.send", room_id=room, content="Hello world")
        for person in (alice, bob):
            frame = await person.hears("message.new")
            assert frame.keys() == {"type", "message", "cursor"}
            message = frame["message"]
            assert message.keys() == MESSAGE
            assert UUID(message["id"])
            assert is_now(message["created_at"])
            assert message | {"id": "", "created_at": ""} == {
                "id": "",
                "room_id": room,
                "user_id": alice.id,
                "user_name": alice.name,
                "content": "Hello world",
                "created_at": "",
                "reply_to": None,
                "attachments": [],
            }

    async def test_message_send_with_reply_to(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        question = await alice.says(room, "Anybody here?")
        await bob.device.sends("message.send", room_id=room, content="Me", reply_to=question)
        frame = await alice.hears("message.new", content="Me")
        assert frame["message"].keys() == MESSAGE
        assert frame["message"]["reply_to"] == question

    async def test_reply_to_may_be_null(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        await alice.device.sends("message.send", room_id=room, content="Me", reply_to=None)
        await alice.hears("message.new", content="Me", reply_to=None)

    async def test_typing(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.device.sends("typing.start", room_id=room)
        frame = await alice.hears("typing")
        assert frame == {
            "type": "typing",
            "room_id": room,
            "user_id": bob.id,
            "user_name": bob.name,
        }
        await bob.device.sends("typing.stop", room_id=room)
        await alice.hears("typing.stopped", room_id=room, user_id=bob.id)

    async def test_message_read(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Hello")
        await bob.device.sends("message.read", room_id=room, message_id=message)
        frame = await alice.hears("message.read")
        assert frame.keys() == {"type", "message_id", "user_id", "read_at", "room_id", "cursor"}
        assert (frame["message_id"], frame["user_id"]) == (message, bob.id)
        assert is_now(frame["read_at"])

    @pytest.mark.parametrize("status", ["away", "busy", "offline"])
    async def test_presence_update(self, play: Play, status: str) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        await bob.device.sends("presence.update", status=status)
        frame = await alice.hears("presence", user_id=bob.id, status=status)
        assert frame.keys() == {"type", "user_id", "status", "last_seen"}
        assert is_now(frame["last_seen"])
        await bob.device.sends("presence.update", status="online")
        await alice.hears("presence", user_id=bob.id, status="online")

    async def test_ping(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        await alice.device.sends("ping")
        assert await alice.hears("pong") == {"type": "pong"}


class TestFramesOfTheServer:
    """Section 1, "Server → Client Events": those that follow from what others do."""

    async def test_message_delivered(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message = await alice.says(room, "Hello")
        frame = await alice.hears("message.delivered")
        assert frame.keys() == {"type", "message_id", "delivered_at"}
        assert frame["message_id"] == message
        assert is_now(frame["delivered_at"])

    async def test_room_updated(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await alice.patch(f"/api/rooms/{room}", {"name": "Team Chat"})
        frame = await bob.hears("room.updated", name="Team Chat")
        assert frame.keys() == {"type", "room", "cursor"}
        assert frame["room"].keys() >= {"id", "name", "members"}
        assert frame["room"]["id"] == room
        assert sorted(frame["room"]["members"]) == sorted([alice.id, bob.id])

    async def test_error(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        for room in (str(uuid4()), "uuid"):
            await alice.device.sends("message.send", room_id=room, content="Hello?")
            assert await alice.hears("error") == {
                "type": "error",
                "code": "INVALID_ROOM",
                "message": "Room not found",
            }


class TestLogin:
    """Section 2, "Authentication"."""

    async def test_login(self, play: Play) -> None:
        alice = await play.enters("alice")
        answer = await alice.post(
            "/api/auth/login", {"email": alice.email, "password": alice.password}, token=""
        )
        assert answer.status == 200
        assert answer.json.keys() >= {"token", "user"}
        user = answer.json["user"]
        assert user.keys() == {"id", "name", "email", "avatar_url", "status"}
        assert (user["id"], user["name"], user["email"]) == (alice.id, alice.name, alice.email)
        me = await alice.get(f"/api/users/{alice.id}", token=answer.json["token"])
        assert me.status == 200

    async def test_a_wrong_password(self, play: Play) -> None:
        alice = await play.enters("alice")
        for email, password in ((alice.email, "wrong"), ("nobody@example.org", alice.password)):
            answer = await alice.post(
                "/api/auth/login", {"email": email, "password": password}, token=""
            )
            assert answer.error == (401, "UNAUTHENTICATED")

    async def test_everything_else_needs_a_token(self, play: Play) -> None:
        alice = await play.enters("alice")
        for method, path in (
            ("GET", "/api/rooms"),
            ("POST", "/api/rooms"),
            ("GET", f"/api/rooms/{uuid4()}"),
            ("PATCH", f"/api/rooms/{uuid4()}"),
            ("DELETE", f"/api/rooms/{uuid4()}"),
            ("GET", f"/api/rooms/{uuid4()}/messages"),
            ("POST", f"/api/rooms/{uuid4()}/messages"),
            ("DELETE", f"/api/messages/{uuid4()}"),
            ("GET", f"/api/users/{alice.id}"),
            ("GET", "/api/users/search"),
            ("GET", f"/api/presence/{alice.id}"),
        ):
            for token in ("", "nonsense"):
                answer = await alice.requests(method, path, token=token)
                assert answer.error == (401, "UNAUTHENTICATED"), (method, path)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


class TestRooms:
    """Section 2, "Rooms"."""

    async def test_make_a_group(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        body = {"name": "Team", "type": "group", "members": [bob.id]}
        answer = await alice.post("/api/rooms", body)
        assert answer.status == 201
        room = answer.json
        assert room.keys() >= {"id", "name", "type", "members"}
        assert (room["name"], room["type"]) == ("Team", "group")
        assert sorted(room["members"]) == sorted([alice.id, bob.id])

    async def test_the_name_may_be_left_out(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        room = (await alice.post("/api/rooms", {"type": "group", "members": [bob.id]})).json
        assert room["name"] is None
        assert (await alice.gets(f"/api/rooms/{room['id']}"))["name"] is None

    async def test_make_a_direct_room(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        room = (await alice.post("/api/rooms", {"type": "direct", "members": [bob.id]})).json
        assert room["type"] == "direct"
        assert sorted(room["members"]) == sorted([alice.id, bob.id])

    async def test_list_them(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob, name="Team")
        message = await alice.says(room, "Hello")
        (listed,) = await bob.gets("/api/rooms")
        assert listed.keys() >= {"id", "name", "type", "last_message", "unread_count"}
        assert (listed["id"], listed["name"], listed["type"]) == (room, "Team", "group")
        assert listed["last_message"]["id"] == message
        assert listed["last_message"]["content"] == "Hello"
        assert listed["unread_count"] == 1

    async def test_an_empty_room_has_no_last_message(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert await alice.gets("/api/rooms") == []
        await alice.creates_group()
        (listed,) = await alice.gets("/api/rooms")
        assert (listed["last_message"], listed["unread_count"]) == (None, 0)

    async def test_get_one(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        room_id = await alice.creates_group(bob, name="Team")
        room = await bob.gets(f"/api/rooms/{room_id}")
        assert room.keys() >= {"id", "name", "type", "members", "created_at"}
        assert (room["id"], room["name"], room["type"]) == (room_id, "Team", "group")
        assert sorted(room["members"]) == sorted([alice.id, bob.id])
        assert is_now(room["created_at"])

    async def test_change_its_name_and_members(self, play: Play) -> None:
        alice, bob, carol = [await play.enters(name) for name in ("alice", "bob", "carol")]
        room = await alice.creates_group(bob)
        answer = await alice.patch(f"/api/rooms/{room}", {"name": "New"})
        assert (answer.status, answer.json["name"]) == (200, "New")
        answer = await alice.patch(f"/api/rooms/{room}", {"members": [alice.id, carol.id]})
        assert sorted(answer.json["members"]) == sorted([alice.id, carol.id])
        assert answer.json["name"] == "New"
        assert (await bob.get(f"/api/rooms/{room}")).error == (404, "INVALID_ROOM")
        assert (await carol.gets(f"/api/rooms/{room}"))["name"] == "New"

    async def test_delete_it(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        room = await alice.creates_group(bob)
        answer = await alice.delete(f"/api/rooms/{room}")
        assert (answer.status, answer.raw) == (204, b"")
        for person in (alice, bob):
            assert (await person.get(f"/api/rooms/{room}")).error == (404, "INVALID_ROOM")
            assert await person.gets("/api/rooms") == []

    async def test_one_that_is_not_there(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        private = await bob.creates_group()
        for room in (str(uuid4()), "uuid", private):
            for method, path, body in (
                ("GET", "", None),
                ("PATCH", "", {"name": "Mine"}),
                ("DELETE", "", None),
                ("GET", "/messages", None),
                ("POST", "/messages", {"content": "Hello?"}),
            ):
                answer = await alice.requests(method, f"/api/rooms/{room}{path}", body)
                assert answer.status == 404, (room, method, path)
                assert answer.json == {"code": "INVALID_ROOM", "message": "Room not found"}


class TestMessages:
    """Section 2, "Messages"."""

    async def test_write_one(self, play: Play) -> None:
        alice = await play.enters("alice")
        room = await alice.creates_group()
        answer = await alice.post(f"/api/rooms/{room}/messages", {"content": "Hello"})
        assert answer.status == 201
        assert answer.json.keys() == {"id", "created_at"}
        body = {"content": "Again", "reply_to": answer.json["id"], "attachments": []}
        reply = await alice.post(f"/api/rooms/{room}/messages", body)
        assert reply.status == 201
        first, second = await alice.messages(room)
        assert first["id"] == answer.json["id"]
        assert first["created_at"] == answer.json["created_at"]
        assert second["reply_to"] == first["id"]

    async def test_read_a_page(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        ids = [await alice.says(room, f"Message {number}") for number in range(5)]
        page = await bob.messages(room, limit=2, before=ids[3])
        assert [message["id"] for message in page] == ids[1:3]
        for message in page:
            assert message.keys() == MESSAGE
            assert (message["user_id"], message["user_name"]) == (alice.id, alice.name)
            assert (message["reply_to"], message["attachments"]) == (None, [])

    async def test_what_rest_writes_the_websocket_tells(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), (await play.cast("bob"))[0]
        room = await alice.creates_group(bob)
        made = (await alice.post(f"/api/rooms/{room}/messages", {"content": "Hello"})).json
        frame = await bob.hears("message.new", content="Hello")
        assert frame["message"] == (await bob.messages(room))[0]
        assert frame["message"]["id"] == made["id"]

    async def test_delete_one(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        message = await alice.says(room, "Hello")
        answer = await alice.delete(f"/api/messages/{message}")
        assert (answer.status, answer.raw) == (204, b"")
        assert await alice.messages(room) == []

    async def test_one_that_is_not_there(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await bob.creates_group()
        private = await bob.says(room, "Nothing for Alice")
        for message in (str(uuid4()), "message_id", private):
            answer = await alice.delete(f"/api/messages/{message}")
            assert answer.status == 404
            assert answer.json == {"code": "INVALID_MESSAGE", "message": "Message not found"}


class TestAttachments:
    """Section 2, "Attachments"."""

    async def test_a_file_is_uploaded_sent_and_fetched(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        path, headers = "/api/attachments", {"Authorization": f"Bearer {alice.token}"}
        form = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
        )
        file = (await play.request("POST", path, body, headers=form)).json
        assert file.keys() == {"id", "url", "filename", "size", "mime_type"}
        assert (file["filename"], file["size"], file["mime_type"]) == ("a.txt", 5, "text/plain")
        await alice.asks("message.send", room_id=room, content="Look", attachments=[file["id"]])
        heard = await bob.hears("message.new")
        assert heard["message"]["content"] == "Look"
        assert heard["message"]["attachments"] == [file]
        (shown,) = await bob.messages(room)
        assert shown["attachments"] == [file]
        fetched = await play.request("GET", file["url"], headers=headers)
        assert fetched.raw == b"hello"

    async def test_a_message_with_one_that_is_not_there_is_not_half_sent(self, play: Play) -> None:
        alice = await play.enters("alice")
        room = await alice.creates_group()
        body = {"content": "Look", "attachments": [str(uuid4())]}
        answer = await alice.post(f"/api/rooms/{room}/messages", body)
        assert answer.error == (400, "INVALID_INPUT")
        assert answer.json["field"] == "attachments.0"
        assert await alice.messages(room) == []


class TestPeople:
    """Section 2, "Users" and "Presence"."""

    async def test_a_user(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        user = await alice.gets(f"/api/users/{bob.id}")
        assert user.keys() == {"id", "name", "email", "avatar_url", "status"}
        assert (user["id"], user["name"], user["avatar_url"]) == (bob.id, bob.name, None)
        assert user["status"] in ("online", "away", "busy", "offline")

    async def test_email_and_status_of_a_colleague(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        user = await alice.gets(f"/api/users/{bob.id}")
        assert (user["email"], user["status"]) == (bob.email, "online")

    async def test_a_user_who_does_not_exist(self, play: Play) -> None:
        alice = await play.enters("alice")
        for user in (str(uuid4()), "user_id"):
            for path in (f"/api/users/{user}", f"/api/presence/{user}"):
                assert (await alice.get(path)).error == (404, "INVALID_USER")

    async def test_search(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), await play.enters("bob")
        found = await bob.gets("/api/users/search", q=alice.name)
        (hit,) = [each for each in found if each["id"] == alice.id]
        assert hit.keys() >= {"id", "name", "email"}
        assert hit["name"] == alice.name

    async def test_presence(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        await alice.creates_group(bob)
        await bob.asks("presence.update", status="busy")
        presence = await alice.gets(f"/api/presence/{bob.id}")
        assert presence.keys() == {"user_id", "status", "last_seen"}
        assert (presence["user_id"], presence["status"]) == (bob.id, "busy")
        assert is_now(presence["last_seen"])


class TestBothProtocolsTellTheSame:
    """The WebSocket and REST show the same rooms and messages at the same moment."""

    async def test_a_message_is_the_same_everywhere(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        message_id = await alice.says(room, 'Bonjour, 東京 – שלום 👋🏽\n\ttab \\ "quoted"')
        told = (await bob.hears("message.new"))["message"]
        assert await bob.messages(room) == [told]
        assert await bob.gets(f"/api/messages/{message_id}") == told
        assert (await bob.sees_in_list(room))["last_message"] == told

    async def test_a_frame_that_answers_says_the_same_as_the_message(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        sent = await alice.asks("message.send", room_id=room, content="Hello")
        told = (await alice.hears("message.new"))["message"]
        assert (sent["message_id"], sent["room_id"]) == (told["id"], room)
        assert sent["created_at"] == told["created_at"]
