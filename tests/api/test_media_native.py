"""Attachments of the native protocol, and how Matrix clients see them. Source: the seed, decision
0006.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest

from homeserver.storage.database import Database
from schema.wire.objects import Attachment
from tests.support.matrix_server import MatrixUser
from tests.support.media import MediaServer, media_server
from tests.support.pictures import decoded, halves, png
from tests.support.play import eventually

PICTURE = png(halves(40, 30))
TEXT = "Grüße, 世界\n".encode()


@pytest.fixture
async def server(database: Database, tmp_path) -> AsyncIterator[MediaServer]:
    async with media_server(database, tmp_path) as running:
        yield running


class Person:
    """Somebody with both protocols."""

    def __init__(self, server: MediaServer, matrix: MatrixUser) -> None:
        self.client = server.matrix.client
        self.matrix = matrix
        self.native = matrix.native
        self.headers = {"Authorization": f"Bearer {matrix.token}"}

    async def attaches(self, data, content_type, filename, *, status=201):
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("note", "not the file")
        form.add_field("file", data, content_type=content_type, filename=filename)
        response = await self.client.post("/api/attachments", data=form, headers=self.headers)
        answer = await response.json()
        assert response.status == status, answer
        if status == 201:
            Attachment.model_validate(answer, strict=False, extra="forbid")
        return answer

    async def gets(self, url):
        response = await self.client.get(url, headers=self.headers)
        return response, await response.read()


@pytest.fixture
async def alice(server):
    return Person(server, await server.matrix.registers("alice"))


@pytest.fixture
async def bob(server):
    return Person(server, await server.matrix.registers("bob"))


@pytest.fixture
async def room(alice, bob):
    """The native ID of a room with both, and the Matrix one."""
    room_id = await alice.matrix.creates_room(preset="public_chat")
    await bob.matrix.joins(room_id)
    (room,) = await alice.native.get("/api/rooms")
    return room["id"], room_id


async def timeline(person, room_id):
    """Contents of messages, the oldest first."""
    page = await person.matrix.get(f"v3/rooms/{room_id}/messages", dir="b", limit=50)
    events = [each for each in page["chunk"] if each["type"] == "m.room.message"]
    return [each["content"] for each in reversed(events)]


class TestUpload:
    """POST /api/attachments."""

    async def test_a_form_with_a_file(self, alice):
        answer = await alice.attaches(TEXT, "text/plain", "Grüße 世界.txt")
        assert answer["filename"] == "Grüße 世界.txt"
        assert (answer["size"], answer["mime_type"]) == (len(TEXT), "text/plain")
        response, body = await alice.gets(answer["url"])
        assert (response.status, body) == (200, TEXT)
        assert response.headers["Content-Type"] == "text/plain"

    async def test_the_file_may_be_the_body_itself(self, alice):
        response = await alice.client.post(
            "/api/attachments",
            params={"filename": "a b.bin"},
            data=b"\0\1",
            headers={**alice.headers, "Content-Type": "application/x-thing"},
        )
        answer = await response.json()
        assert response.status == 201
        assert answer["filename"] == "a b.bin"
        assert (answer["size"], answer["mime_type"]) == (2, "application/x-thing")

    async def test_a_picture_is_looked_at(self, alice):
        answer = await alice.attaches(PICTURE, "image/png", "p.png")
        assert (answer["width"], answer["height"]) == (40, 30)
        assert len(answer["blurhash"]) >= 6

    async def test_what_is_no_picture_stays_a_file(self, alice):
        answer = await alice.attaches(b"not a picture", "image/png", "p.png")
        assert "width" not in answer
        assert answer["size"] == 13

    async def test_a_form_without_a_file_is_refused(self, alice):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("other", "x")
        response = await alice.client.post("/api/attachments", data=form, headers=alice.headers)
        assert response.status == 400
        assert (await response.json())["field"] == "file"

    @pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--x\r\n\r\nabc", b"nonsense"])
    async def test_a_broken_form_is_refused(self, alice, body, server):
        headers = {**alice.headers, "Content-Type": "multipart/form-data; boundary=x"}
        response = await alice.client.post("/api/attachments", data=body, headers=headers)
        assert response.status == 400, await response.read()
        assert server.files() == []

    async def test_nobody_uploads_or_downloads_without_a_token(self, server, alice):
        answer = await alice.attaches(TEXT, "text/plain", "a.txt")
        for response in (
            await alice.client.post("/api/attachments", data=b"x"),
            await alice.client.get(answer["url"]),
        ):
            assert response.status == 401
            assert (await response.json())["code"] == "UNAUTHENTICATED"

    async def test_what_is_not_there_is_not_found(self, alice):
        for place in ("example.org/nothing/x", "..%2f..%2fetc/passwd/x", "other.example/a/b"):
            response, body = await alice.gets(f"/api/attachments/{place}")
            assert response.status == 404, body


class TestMessages:
    """`attachments` of messages."""

    async def test_a_message_shows_its_file_in_both_protocols(self, alice, bob, room):
        native, room_id = room
        file = await alice.attaches(PICTURE, "image/png", "cat.png")
        body = {"content": "look", "attachments": [file["id"]]}
        sent = await alice.native.post(f"/api/rooms/{native}/messages", body)
        shown = await bob.native.get(f"/api/messages/{sent['id']}")
        assert shown["content"] == "look"
        assert shown["attachments"] == [file]
        (content,) = await timeline(bob, room_id)
        assert content["msgtype"] == "m.image"
        assert (content["body"], content["filename"]) == ("look", "cat.png")
        assert content["info"] == {
            "mimetype": "image/png",
            "size": file["size"],
            "w": 40,
            "h": 30,
            "xyz.amorgan.blurhash": file["blurhash"],
        }
        assert content["url"].startswith("mxc://example.org/")

    async def test_several_files_are_several_messages_the_last_with_the_text(self, alice, room):
        native, room_id = room
        files = [
            await alice.attaches(TEXT, kind, name)
            for kind, name in (("audio/ogg", "a"), ("video/mp4", "b"), ("image/svg+xml", "c"))
        ]
        sent = await alice.native.post(
            f"/api/rooms/{native}/messages", {"content": "three", "attachments": files}
        )
        shown = await alice.native.get(f"/api/rooms/{native}/messages")
        assert [each["attachments"] for each in shown] == [[each] for each in files]
        assert [each["content"] for each in shown] == ["", "", "three"]
        assert shown[-1]["id"] == sent["id"]
        kinds = [each["msgtype"] for each in await timeline(alice, room_id)]
        assert kinds == ["m.audio", "m.video", "m.file"]

    async def test_the_text_may_be_empty_and_the_file_may_not(self, alice, room):
        path = f"/api/rooms/{room[0]}/messages"
        file = await alice.attaches(TEXT, "text/plain", "a.txt")
        sent = await alice.native.post(path, {"content": "", "attachments": [file["id"]]})
        shown = await alice.native.get(f"/api/messages/{sent['id']}")
        assert (shown["content"], shown["attachments"]) == ("", [file])
        assert await alice.native.is_refused("POST", path, {"content": ""}) == "INVALID_INPUT"

    async def test_the_same_ref_sends_nothing_twice(self, alice, room):
        path = f"/api/rooms/{room[0]}/messages"
        files = [await alice.attaches(TEXT, "text/plain", name) for name in "ab"]
        body = {"content": "", "attachments": files, "ref": "once"}
        first, again = [await alice.native.post(path, body) for _ in range(2)]
        assert first == again
        assert len(await alice.native.get(path)) == 2

    async def test_an_edit_changes_the_text_and_keeps_the_file(self, alice, bob, room):
        native, _ = room
        file = await alice.attaches(TEXT, "text/plain", "a.txt")
        body = {"content": "befor", "attachments": [file["id"]]}
        sent = await alice.native.post(f"/api/rooms/{native}/messages", body)
        path = f"/api/messages/{sent['id']}"
        await alice.native.patch(path, {"content": "before"})
        shown = await bob.native.get(path)
        assert (shown["content"], shown["attachments"]) == ("before", [file])

    async def test_a_deleted_message_shows_no_file(self, alice, room):
        file = await alice.attaches(TEXT, "text/plain", "a.txt")
        sent = await alice.native.post(
            f"/api/rooms/{room[0]}/messages", {"content": "", "attachments": [file["id"]]}
        )
        await alice.native.delete(f"/api/messages/{sent['id']}")
        assert (await alice.native.get(f"/api/messages/{sent['id']}"))["attachments"] == []

    async def test_what_matrix_clients_send_has_attachments(self, alice, bob, room):
        native, room_id = room
        uri = "mxc://elsewhere.example/xyz"
        contents = [
            {"msgtype": "m.file", "body": "a.pdf", "url": uri, "info": {"size": 5}},
            {"msgtype": "m.file", "body": "said", "filename": "a/b.pdf", "url": uri, "info": []},
            {"msgtype": "m.file", "body": "secret", "file": {"url": uri}},
        ]
        for content in contents:
            await bob.matrix.sends(room_id, "m.room.message", content)
        shown = await alice.native.get(f"/api/rooms/{native}/messages")
        assert [each["content"] for each in shown] == ["", "said", "secret"]
        first, second, third = (each["attachments"] for each in shown)
        assert (first[0]["filename"], first[0]["size"]) == ("a.pdf", 5)
        assert first[0]["url"] == "/api/attachments/elsewhere.example/xyz/a.pdf"
        assert second[0]["url"] == "/api/attachments/elsewhere.example/xyz/a%2Fb.pdf"
        assert third == []

    async def test_files_of_others_are_theirs_until_they_show_them(self, server, alice, bob, room):
        path = f"/api/rooms/{room[0]}/messages"
        file = await alice.attaches(TEXT, "text/plain", "a.txt")
        body = {"content": "", "attachments": [file["id"]]}
        assert await bob.native.is_refused("POST", path, body) == "INVALID_INPUT"
        await alice.native.post(path, body)
        await server.counted()
        await bob.native.post(path, body)

    async def test_what_is_no_attachment_is_refused(self, alice, room):
        path = f"/api/rooms/{room[0]}/messages"
        for wrong in ([str(uuid4())], ["x"], [7], "x", [{}], [str(uuid4())] * 21):
            body = {"content": "x", "attachments": wrong}
            assert await alice.native.is_refused("POST", path, body) == "INVALID_INPUT"
        assert await alice.native.get(path) == []


class TestPictures:
    """What team chats show of pictures, in both protocols."""

    async def test_a_thumbnail_is_the_address_of_the_picture_with_a_size(self, alice):
        answer = await alice.attaches(png(halves(800, 600)), "image/png", "p.png")
        for query, size in (
            ("?width=96&height=96&method=crop", (96, 96)),
            ("?width=300&height=200", (320, 240)),
        ):
            response, body = await alice.gets(answer["url"] + query)
            assert response.status == 200, body
            assert response.headers["Content-Type"] == "image/jpeg"
            picture = decoded(body)
            assert (picture.width, picture.height) == size

    @pytest.mark.parametrize(
        "query",
        ["?width=96", "?width=0&height=5", "?width=x&height=5", "?width=9&height=9&method=x"],
    )
    async def test_a_size_that_is_none_is_refused(self, alice, query):
        answer = await alice.attaches(PICTURE, "image/png", "p.png")
        response, body = await alice.gets(answer["url"] + query)
        assert (response.status, b"INVALID_INPUT" in body) == (400, True)

    async def test_what_is_no_picture_has_no_thumbnail(self, alice):
        answer = await alice.attaches(TEXT, "text/plain", "a.txt")
        response, body = await alice.gets(answer["url"] + "?width=32&height=32")
        assert (response.status, b"INVALID_INPUT" in body) == (400, True)

    async def test_an_upload_becomes_the_picture_of_a_person(self, server, alice, bob, room):
        answer = await alice.attaches(PICTURE, "image/png", "me.png")
        me = await alice.native.patch("/api/users/me", {"avatar_url": answer["url"]})
        response, body = await bob.gets(me["avatar_url"])
        assert (response.status, body) == (200, PICTURE)
        uri = "mxc://" + "/".join(answer["url"].split("/")[3:5])
        seen = await bob.matrix.get(f"v3/profile/{alice.matrix.user_id}")
        assert seen["avatar_url"] == uri

        async def member() -> bool:
            """Whether the room knows: profiles reach memberships after the answer."""
            content = await bob.matrix.get(
                f"v3/rooms/{room[1]}/state/m.room.member/{alice.matrix.user_id}"
            )
            return bool(content.get("avatar_url") == uri)

        await eventually(member)
        (listed,) = [
            each
            for each in await bob.native.get(f"/api/rooms/{room[0]}/members")
            if each["id"] == me["id"]
        ]
        assert listed["avatar_url"] == me["avatar_url"]

    async def test_a_picture_that_a_matrix_client_sets_can_be_shown(self, alice, bob, room):
        uri = "mxc://far.example/xyz"
        user = alice.matrix.user_id
        await alice.matrix.put(f"v3/profile/{user}/avatar_url", {"avatar_url": uri})
        await alice.matrix.put(f"v3/rooms/{room[1]}/state/m.room.avatar", {"url": uri})
        path = "/api/attachments/far.example/xyz/picture"
        assert (await alice.native.get("/api/users/me"))["avatar_url"] == path
        assert (await bob.native.get(f"/api/rooms/{room[0]}"))["avatar_url"] == path

    async def test_an_upload_becomes_the_picture_of_a_room(self, alice, bob, room):
        answer = await alice.attaches(PICTURE, "image/png", "team.png")
        changed = await alice.native.patch(f"/api/rooms/{room[0]}", {"avatar_url": answer["url"]})
        _, body = await bob.gets(changed["avatar_url"])
        assert body == PICTURE
        shown = await bob.matrix.get(f"v3/rooms/{room[1]}/state/m.room.avatar")
        assert shown["url"].startswith("mxc://example.org/")

    async def test_an_address_that_cannot_be_a_path_is_told_as_it_is(self, alice, room):
        for odd in ("mxc://a/../../x", "mxc://a b/c", "https://example.org/a.png"):
            await alice.matrix.put(f"v3/rooms/{room[1]}/state/m.room.avatar", {"url": odd})
            assert (await alice.native.get(f"/api/rooms/{room[0]}"))["avatar_url"] == odd
