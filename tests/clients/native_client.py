"""The client of the native protocol: REST to do things, one WebSocket to hear of them."""

import asyncio
import json
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.clients.client import PASSWORD, Client
from tests.clients.seen import the
from tests.support.devices import PATIENCE_S
from tests.support.promises import Frame, check_frame

_STATUSES = {"away": "unavailable", "busy": "online"}
"""What a native status is called over Matrix, where it has another name."""


class _Room:
    """What the frames have told of a room. messages: by ID."""

    def __init__(self, outline: Frame) -> None:
        self.outline = outline
        self.messages: dict[str, Frame] = {}
        self.read: dict[str, str] = {}
        self.writing: dict[str, str] = {}
        """Names of those who write, by ID."""

    def find(self, text: str) -> Frame:
        return the(each for each in self.messages.values() if each["content"] == text)

    def has_read(self, user: str, text: str) -> bool:
        order = list(self.messages)
        upto = self.read.get(user)
        return upto in order and order.index(upto) >= order.index(self.find(text)["id"])


class NativeClient(Client):
    """`native`: knows nothing but the native protocol's documents."""

    def __init__(self, *, url: str, name: str, tag: str) -> None:
        super().__init__(url=url, name=name, tag=tag)
        self.id = ""
        self.email = f"{self.localpart}@example.org"
        self._token = ""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._rooms: dict[str, _Room] = {}
        self._invitations: dict[str, Frame] = {}
        self._names: dict[str, str] = {}
        self._statuses: dict[str, str] = {}

    async def asks(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The body of the answer. Raises AssertionError for a refusal."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = self._http.request(
            method, f"{self.url}/api{path}", json=body, params=query, headers=headers
        )
        async with request as response:
            raw = await response.read()
            assert response.ok, (method, path, response.status, raw)
            return json.loads(raw) if raw else None

    async def registers(self) -> None:
        body = {
            "email": self.email,
            "password": PASSWORD,
            "name": self.name,
            "username": self.localpart,
        }
        self._token = (await self.asks("POST", "/auth/register", body))["token"]
        me = await self.asks("GET", "/users/me")
        self.id, self.user_id = me["id"], me["user_id"]

    async def logs_in(self) -> None:
        body = {"email": self.email, "password": PASSWORD}
        self._token = ""
        self._token = (await self.asks("POST", "/auth/login", body))["token"]

    async def starts(self) -> None:
        self._socket = await connect(
            self.url.replace("http", "ws", 1) + "/ws",
            additional_headers={"Authorization": f"Bearer {self._token}"},
            ping_interval=None,
            proxy=None,
        )
        self._reader = asyncio.create_task(self._read(self._socket))
        for invite in await self.asks("GET", "/invites"):
            self._invitations[invite["room"]["id"]] = invite["room"]
        for room in await self.asks("GET", "/rooms"):
            self._rooms.setdefault(room["id"], _Room(room))

    async def closes(self) -> None:
        if self._socket is not None and self._reader is not None:
            await self._socket.close()
            await self._reader
        await self._http.close()
        assert not self.complaints, self.complaints

    # Rooms

    async def creates(self, room: str, *invited: Client) -> None:
        await self.asks("POST", "/rooms", {"type": "group", "name": room})
        await self.has(room)
        for each in invited:
            await self.invites(room, each)

    async def invites(self, room: str, person: Client) -> None:
        user = await self._user(person.name)
        await self.asks("POST", f"/rooms/{self._id(room)}/invites", {"user_id": user})

    async def accepts(self, room: str) -> None:
        room_id = the(key for key, each in self._invitations.items() if each["name"] == room)
        await self.asks("POST", f"/rooms/{room_id}/join")
        await self.has(room)

    async def leaves(self, room: str) -> None:
        await self.asks("POST", f"/rooms/{self._id(room)}/leave")

    async def removes(self, room: str, person: Client) -> None:
        user = await self._user(person.name)
        await self.asks("DELETE", f"/rooms/{self._id(room)}/members/{user}")

    async def sets_topic(self, room: str, topic: str) -> None:
        await self.asks("PATCH", f"/rooms/{self._id(room)}", {"topic": topic})

    # Messages

    async def says(self, room: str, text: str) -> None:
        await self._sends("message.send", room_id=self._id(room), content=text)

    async def attaches(
        self, room: str, data: bytes, content_type: str, filename: str, text: str
    ) -> dict[str, Any]:
        """Sends a file with a text; returns what the upload answered."""
        form = aiohttp.FormData()
        form.add_field("file", data, content_type=content_type, filename=filename)
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self.url}/api/attachments"
        async with self._http.post(url, data=form, headers=headers) as response:
            assert response.status == 201, await response.text()
            file = dict(await response.json())
        await self._sends(
            "message.send", room_id=self._id(room), content=text, attachments=[file["id"]]
        )
        return file

    async def downloads(self, path: str, **query: str) -> bytes:
        """path: on the server, as `url` of an attachment says."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._http.get(self.url + path, headers=headers, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.read()

    async def edits(self, room: str, text: str, new: str) -> None:
        await self._sends("message.edit", message_id=self._message(room, text), content=new)

    async def replies(self, room: str, to: str, text: str) -> None:
        reply_to = self._message(room, to)
        await self._sends("message.send", room_id=self._id(room), content=text, reply_to=reply_to)

    async def says_in_thread(self, room: str, root: str, text: str) -> None:
        thread = self._message(room, root)
        await self._sends("message.send", room_id=self._id(room), content=text, thread_id=thread)

    async def reacts(self, room: str, text: str, key: str) -> None:
        await self._sends("reaction.add", message_id=self._message(room, text), key=key)

    async def takes_back(self, room: str, text: str, key: str) -> None:
        await self._sends("reaction.remove", message_id=self._message(room, text), key=key)

    async def deletes(self, room: str, text: str) -> None:
        await self._sends("message.delete", message_id=self._message(room, text))

    # Of the moment

    async def reads(self, room: str, text: str) -> None:
        message = self._message(room, text)
        await self._sends("message.read", room_id=self._id(room), message_id=message)

    async def types(self, room: str) -> None:
        await self._sends("typing.start", room_id=self._id(room))

    async def stops_typing(self, room: str) -> None:
        await self._sends("typing.stop", room_id=self._id(room))

    async def is_now(self, status: str) -> None:
        native = {theirs: ours for ours, theirs in _STATUSES.items()}
        await self._sends("presence.update", status=native.get(status, status))

    # What it shows

    async def rooms(self) -> list[str]:
        return sorted(each.outline["name"] for each in self._rooms.values())

    async def invitations(self) -> list[str]:
        return sorted(each["name"] for each in self._invitations.values())

    async def topic(self, room: str) -> str | None:
        topic: str | None = self._room(room).outline.get("topic")
        return topic

    async def members(self, room: str) -> list[str]:
        members = await self.asks("GET", f"/rooms/{self._id(room)}/members")
        return sorted(each["name"] for each in members)

    async def texts(self, room: str) -> list[str]:
        found = self._room(room).messages.values()
        return [each["content"] for each in found if not each.get("thread_id")]

    async def thread(self, room: str, root: str) -> list[str]:
        thread = self._message(room, root)
        found = self._room(room).messages.values()
        return [each["content"] for each in found if each.get("thread_id") == thread]

    async def replied_to(self, room: str, text: str) -> str | None:
        found = self._room(room)
        reply_to = found.find(text)["reply_to"]
        return found.messages[reply_to]["content"] if reply_to else None

    async def reactions(self, room: str, text: str) -> dict[str, int]:
        message = await self.asks("GET", f"/messages/{self._message(room, text)}")
        return {each["key"]: each["count"] for each in message.get("reactions") or []}

    async def has_read(self, room: str, person: str, text: str) -> bool:
        return self._room(room).has_read(await self._user(person), text)

    async def writing(self, room: str) -> list[str]:
        return sorted(self._room(room).writing.values())

    async def unread(self, room: str) -> int:
        found = await self.asks("GET", "/rooms")
        return int(the(each["unread_count"] for each in found if each["name"] == room))

    async def presence(self, person: str) -> str | None:
        user = await self._user(person)
        status = str((await self.asks("GET", f"/presence/{user}"))["status"])
        return _STATUSES.get(status, status)

    # Inside

    def _room(self, name: str) -> _Room:
        return the(each for each in self._rooms.values() if each.outline["name"] == name)

    def _id(self, room: str) -> str:
        return str(self._room(room).outline["id"])

    def _message(self, room: str, text: str) -> str:
        return str(self._room(room).find(text)["id"])

    async def _user(self, name: str) -> str:
        if name not in self._names:
            hits = await self.asks("GET", "/users/search", q=name)
            self._names[name] = the(each["id"] for each in hits if each["name"] == name)
        return self._names[name]

    async def _sends(self, frame_type: str, **fields: Any) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({"type": frame_type, **fields}))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for raw in socket:
                assert isinstance(raw, str)
                self._hears(check_frame(raw))
                self.rings()
        except ConnectionClosed:
            pass
        except AssertionError as failure:
            self.complaints.append(str(failure))

    def _hears(self, frame: Frame) -> None:
        match frame["type"]:
            case "error":
                self.complaints.append(str(frame))
            case "room.joined" | "room.updated":
                self._hears_of_room(frame["room"])
            case "room.invited":
                self._invitations[frame["room"]["id"]] = frame["room"]
            case "room.left":
                self._rooms.pop(frame["room_id"], None)
                self._invitations.pop(frame["room_id"], None)
            case "message.new" | "message.updated":
                message = frame["message"]
                self._rooms[message["room_id"]].messages[message["id"]] = message
            case "message.deleted":
                self._rooms[frame["room_id"]].messages.pop(frame["message_id"], None)
            case "message.read":
                self._rooms[frame["room_id"]].read[frame["user_id"]] = frame["message_id"]
            case "typing":
                self._rooms[frame["room_id"]].writing[frame["user_id"]] = frame["user_name"]
            case "typing.stopped":
                self._rooms[frame["room_id"]].writing.pop(frame["user_id"], None)

    def _hears_of_room(self, outline: Frame) -> None:
        known = self._rooms.setdefault(outline["id"], _Room(outline))
        known.outline = {**known.outline, **outline}
        self._invitations.pop(outline["id"], None)
