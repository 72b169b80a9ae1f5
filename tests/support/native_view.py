"""A client of the native protocol that reads everything once and then follows the WebSocket.

    view = NativeView(alice.native, server.client)
    await view.connects()
    await view.listens()
    view.holds_against(await fresh_view(alice.native, server.client))

What it believes is to be what a client that begins now reads. It keeps to what
docs/WEBSOCKET_API.md says to clients and looks at nothing else.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient

from tests.support.api_server import Someone

Json = dict[str, Any]
PATIENCE_S = 20.0
_OF_OUTLINES = ("name", "topic", "avatar_url", "member_count")


class NativeRoom:
    """A room as a client knows it. messages: by ID, in order. reads: how far others have read."""

    def __init__(self, summary: Json, messages: list[Json], members: list[Json]) -> None:
        self.outline = {key: summary.get(key) for key in _OF_OUTLINES}
        self.unread: int = summary["unread_count"]
        self.last_read: str | None = summary["last_read_id"]
        self.last_message: Json | None = summary["last_message"]
        self.messages = {each["id"]: each for each in messages}
        self.members = {each["id"]: each["name"] for each in members}
        self.reads: dict[str, str] = {}

    def seen(self) -> Json:
        """Everything that is to be the same for a client that begins now."""
        return {
            "outline": self.outline,
            "unread": self.unread,
            "last_read": self.last_read,
            "messages": {key: _settled(each) for key, each in self.messages.items()},
            "members": set(self.members),
        }

    def newest(self) -> str | None:
        return next(reversed(self.messages), None)

    def hears_message(self, message: Json, reader: str) -> None:
        if message["id"] in self.messages:
            return
        self.messages[message["id"]] = message
        self.unread += message["user_id"] != reader
        root = self.messages.get(message.get("thread_id", ""))
        if root is not None:
            root["thread_count"] = root.get("thread_count", 0) + 1

    def hears_deletion(self, message_id: str) -> None:
        gone = self.messages.pop(message_id, None)
        root = self.messages.get((gone or {}).get("thread_id", ""))
        if root is not None:
            root["thread_count"] -= 1

    def hears_reaction(self, frame: Json, reader: str, *, added: bool) -> None:
        message = self.messages.get(frame["message_id"])
        if message is None:
            return
        reactions = {each["key"]: each for each in message.get("reactions") or ()}
        known = reactions.setdefault(frame["key"], {"key": frame["key"], "users": []})
        users = [each for each in known["users"] if each != frame["user_id"]]
        known["users"] = [*users, frame["user_id"]] if added else users
        known["count"] = len(known["users"])
        message["reactions"] = [each for each in reactions.values() if each["users"]]

    def hears_outline(self, outline: Json) -> None:
        self.outline = {key: outline.get(key) for key in _OF_OUTLINES}
        for user_id in outline["members"]:
            self.members.setdefault(user_id, "")
        for user_id in set(self.members) - set(outline["members"]):
            del self.members[user_id]


class NativeView:
    """Everything that one client knows, and the connection by which it hears more."""

    def __init__(self, by: Someone, client: TestClient) -> None:
        self.by = by
        self.id = ""
        self.rooms: dict[str, NativeRoom] = {}
        self.invites: set[str] = set()
        self.cursor = "now"
        self._entered: set[str] = set()
        self._client = client
        self._socket: ClientWebSocketResponse | None = None

    async def reads_everything(self) -> None:
        """What a client does that knows nothing."""
        self.id = (await self.by.get("/api/users/me"))["id"]
        self.rooms, self.invites = {}, set()
        for summary in await self.by.get("/api/rooms"):
            await self._reads_room(summary)
        self.invites = {each["room"]["id"] for each in await self.by.get("/api/invites")}

    async def connects(self) -> None:
        """Comes back to where it was; the first time, reads everything afterwards."""
        begins = self.cursor == "now"
        headers = {"Authorization": f"Bearer {self.by.token}"}
        self._socket = await self._client.ws_connect(
            f"/ws?cursor={quote(self.cursor)}", headers=headers
        )
        await self._hears(lambda frame: frame["type"] == "resumed")
        if begins:
            await self.reads_everything()
        await self._reads_entered()

    async def listens(self) -> None:
        """Takes what has come up to now."""
        if self._socket is not None:
            await self._socket.send_json({"type": "ping", "ref": "so far"})
            await self._hears(lambda frame: frame.get("ref") == "so far")
            await self._reads_entered()

    async def loses_connection(self, frames: int = 0) -> None:
        """Takes so many frames of those that have come, if there are as many, and no other."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        await socket.send_json({"type": "ping", "ref": "the last"})
        for _ in range(frames):
            frame = await _frame(socket)
            if frame.get("ref") == "the last":
                break
            await self._takes(frame)
        await socket.close()

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    async def knows_message(self, message_id: str) -> None:
        """Takes everything up to a message."""
        await self.listens()
        while not any(message_id in room.messages for room in self.rooms.values()):
            await self._hears_one()

    async def knows_read(self, room_id: str, message_id: str) -> None:
        """Takes everything up to the news that its user has read a message, and what is left."""
        while self.rooms[room_id].last_read != message_id:
            await self._hears_one()

    def holds_against(self, fresh: "NativeView") -> None:
        """What this client was told bit by bit is what a new one reads."""
        assert self.rooms.keys() == fresh.rooms.keys()
        for room_id, room in fresh.rooms.items():
            known, read = self.rooms[room_id].seen(), room.seen()
            assert known == read, {
                key: (known[key], read[key]) for key in known if known[key] != read[key]
            }
        assert self.invites == fresh.invites
        for room_id, room in fresh.rooms.items():
            newest = self.rooms[room_id].newest()
            shown = None if room.last_message is None else room.last_message["id"]
            assert newest == shown, room_id

    async def _hears(self, wanted: Callable[[Json], bool]) -> None:
        while not wanted(await self._hears_one()):
            pass

    async def _hears_one(self) -> Json:
        assert self._socket is not None
        frame = await _frame(self._socket)
        await self._takes(frame)
        return frame

    async def _takes(self, frame: Json) -> None:
        take = getattr(self, "_" + frame["type"].replace(".", "_"), None)
        if take is not None:
            await take(frame)
        self.cursor = frame.get("cursor") or self.cursor

    async def _reads_entered(self) -> None:
        """Rooms are read when all that was told of them before has been taken."""
        for summary in await self.by.get("/api/rooms") if self._entered else ():
            if summary["id"] in self._entered:
                await self._reads_room(summary)
        self._entered.clear()

    async def _reads_room(self, summary: Json) -> None:
        room_id = summary["id"]
        self.rooms[room_id] = NativeRoom(
            summary,
            await self.by.get(f"/api/rooms/{room_id}/messages", limit="200"),
            await self.by.get(f"/api/rooms/{room_id}/members", limit="200"),
        )

    def _room(self, room_id: str) -> NativeRoom | None:
        return self.rooms.get(room_id)

    async def _message_new(self, frame: Json) -> None:
        room = self._room(frame["message"]["room_id"])
        if room is not None:
            room.hears_message(frame["message"], self.id)

    async def _message_updated(self, frame: Json) -> None:
        message = frame["message"]
        room = self._room(message["room_id"])
        known = None if room is None else room.messages.get(message["id"])
        if known is not None:
            # Reactions and answers have frames of their own, which may have come already.
            for field in ("content", "encrypted"):
                known.pop(field, None)
            known |= {key: message[key] for key in ("content", "encrypted") if key in message}
            known["edited_at"] = message.get("edited_at")

    async def _message_deleted(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.hears_deletion(frame["message_id"])

    async def _reaction_added(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.hears_reaction(frame, self.id, added=True)

    async def _reaction_removed(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.hears_reaction(frame, self.id, added=False)

    async def _unread(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.unread = frame["unread_count"]
            room.last_read = frame.get("last_read_id") or room.last_read

    async def _message_read(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.reads[frame["user_id"]] = frame["message_id"]

    async def _room_updated(self, frame: Json) -> None:
        room = self._room(frame["room"]["id"])
        if room is not None:
            room.hears_outline(frame["room"])

    async def _room_joined(self, frame: Json) -> None:
        self.invites.discard(frame["room"]["id"])
        self._entered.add(frame["room"]["id"])

    async def _room_left(self, frame: Json) -> None:
        self._forgets(frame["room_id"])

    async def _room_deleted(self, frame: Json) -> None:
        self._forgets(frame["room_id"])

    def _forgets(self, room_id: str) -> None:
        self.rooms.pop(room_id, None)
        self.invites.discard(room_id)
        self._entered.discard(room_id)

    async def _room_invited(self, frame: Json) -> None:
        self.invites.add(frame["room"]["id"])

    async def _member_joined(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.members[frame["user_id"]] = frame["user_name"]

    async def _member_left(self, frame: Json) -> None:
        room = self._room(frame["room_id"])
        if room is not None:
            room.members.pop(frame["user_id"], None)


async def fresh_view(by: Someone, client: TestClient) -> NativeView:
    """What a client knows that has just begun."""
    view = NativeView(by, client)
    await view.reads_everything()
    return view


async def _frame(socket: ClientWebSocketResponse) -> Json:
    async with asyncio.timeout(PATIENCE_S):
        message = await socket.receive()
    assert message.type is WSMsgType.TEXT, message
    frame: Json = json.loads(message.data)
    assert frame["type"] != "error", frame
    return frame


def _settled(message: Json) -> Json:
    """A message without what depends on who asks and when: order of reactions, "mine"."""
    reactions = {each["key"]: set(each["users"]) for each in message.get("reactions") or ()}
    return {
        **{key: each for key, each in message.items() if key not in ("user_name", "reactions")},
        "edited_at": message.get("edited_at"),
        "thread_count": message.get("thread_count") or 0,
        "reactions": reactions,
    }
