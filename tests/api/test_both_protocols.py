"""What Matrix clients say of the moment, as native clients hear it, and the other way round."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse

from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q


class Play:
    """Alice has a native client, Bob a Matrix client; they share a room. ids: native ones."""

    def __init__(self, alice: MatrixUser, bob: MatrixUser, room: str) -> None:
        self.alice, self.bob, self.room = alice, bob, room
        self.socket: ClientWebSocketResponse
        self.ids: dict[str, str] = {}

    async def begins(self, server: MatrixServer) -> None:
        self.ids = {
            "alice": (await self.alice.native.get("/api/users/me"))["id"],
            "bob": (await self.bob.native.get("/api/users/me"))["id"],
            "room": (await self.alice.native.get("/api/rooms"))[0]["id"],
        }
        headers = {"Authorization": f"Bearer {self.alice.token}"}
        self.socket = await server.client.ws_connect("/ws", headers=headers)

    async def alice_hears(self, frame_type: str) -> dict[str, Any]:
        """The next frame of a type, whatever comes before it."""
        while True:
            frame = json.loads(await self.socket.receive_str(timeout=10))
            if frame["type"] == frame_type:
                return dict(frame)

    async def alice_says(self, frame_type: str, **fields: Any) -> None:
        """Returns when it is carried out."""
        await self.socket.send_json({"type": frame_type, "ref": "r", **fields})
        while True:
            frame = json.loads(await self.socket.receive_str(timeout=10))
            if frame.get("ref") == "r":
                assert frame["type"] in ("ack", "message.sent"), frame
                return

    async def bob_syncs(self, since: str | None = None) -> dict[str, Any]:
        query = {} if since is None else {"since": since, "timeout": 10_000}
        return dict(await self.bob.get("v3/sync", **query))

    async def bob_hears(self, since: str, kind: str) -> dict[str, Any]:
        """The content of the next ephemeral event of a type in the room."""
        while True:
            answer = await self.bob_syncs(since)
            since = answer["next_batch"]
            room = answer.get("rooms", {}).get("join", {}).get(self.room, {})
            for event in room.get("ephemeral", {}).get("events", ()):
                if event["type"] == kind:
                    return dict(event["content"])


@pytest.fixture
async def play(database: Database) -> AsyncIterator[Play]:
    async with matrix_server(database) as server:
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        play = Play(alice, bob, room)
        await play.begins(server)
        yield play
        await play.socket.close()


class TestFromMatrix:
    async def test_typing(self, play):
        path = f"v3/rooms/{q(play.room)}/typing/{q(play.bob.user_id)}"
        await play.bob.put(path, {"typing": True})
        frame = await play.alice_hears("typing")
        assert (frame["room_id"], frame["user_id"]) == (play.ids["room"], play.ids["bob"])
        await play.bob.put(path, {"typing": False})
        assert (await play.alice_hears("typing.stopped"))["user_id"] == play.ids["bob"]

    async def test_presence(self, play):
        path = f"v3/presence/{q(play.bob.user_id)}/status"
        for presence, status in (("online", "online"), ("unavailable", "away")):
            await play.bob.put(path, {"presence": presence})
            while (frame := await play.alice_hears("presence"))["user_id"] != play.ids["bob"]:
                pass
            assert frame["status"] == status

    @pytest.mark.parametrize("body", [{}, {"thread_id": "main"}])
    async def test_reading(self, play, body):
        said = await play.alice.says(play.room, "hello")
        message = (await play.alice_hears("message.new"))["message"]["id"]
        await play.bob.post(f"v3/rooms/{q(play.room)}/receipt/m.read/{q(said)}", body)
        frame = await play.alice_hears("message.read")
        assert (frame["message_id"], frame["user_id"]) == (message, play.ids["bob"])

    async def test_reading_in_private_moves_ones_own_count(self, play):
        said = await play.bob.says(play.room, "hello")
        await play.alice_hears("message.new")
        await play.alice.post(f"v3/rooms/{q(play.room)}/receipt/m.read.private/{q(said)}", {})
        assert (await play.alice_hears("unread"))["unread_count"] == 0


class TestFromNative:
    async def test_typing(self, play):
        since = (await play.bob_syncs())["next_batch"]
        await play.alice_says("typing.start", room_id=play.ids["room"])
        heard = await play.bob_hears(since, "m.typing")
        assert heard == {"user_ids": [play.alice.user_id]}

    async def test_reading(self, play):
        said = await play.bob.says(play.room, "hello")
        message = (await play.alice_hears("message.new"))["message"]["id"]
        since = (await play.bob_syncs())["next_batch"]
        await play.alice_says("message.read", room_id=play.ids["room"], message_id=message)
        heard = await play.bob_hears(since, "m.receipt")
        assert heard[said]["m.read"][play.alice.user_id].keys() == {"ts"}

    async def test_presence(self, play):
        await play.alice_says("presence.update", status="busy")
        path = f"v3/presence/{q(play.alice.user_id)}/status"
        state = await play.bob.get(path)
        assert (state["presence"], state["status_msg"]) == ("unavailable", "Busy")
