"""Plays: people with names who talk to each other through a real server.

    alice, bob = await play.cast("alice", "bob")
    room = await alice.creates_group(bob)
    await alice.says(room, "hello")
    await bob.hears("message.new", content="hello")

Everybody is a client that knows nothing of the server's code: aiohttp for REST, `websockets` for
the rest. Whatever comes, wanted or not, is held against `schema`: no scenario gets an answer or a
frame that the documents do not promise.

Nothing here asserts how long something takes. Deadlines only keep a test from hanging.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
from websockets.asyncio.client import connect

from tests.support.devices import PATIENCE_S, Device, Predicate
from tests.support.live_server import LiveServer
from tests.support.promises import Answer, Frame, Json, check_answer

PASSWORD = "correct horse battery staple"

Found = TypeVar("Found")

_LOOK_AGAIN_S = 0.02
_people = count(1)


class Person:
    """Somebody with an account. What a device does is done by the first one that is open."""

    def __init__(self, play: "Play", name: str) -> None:
        number = next(_people)
        self.play = play
        self.name = f"{name.capitalize()} {play.tag}{number}"
        self.email = f"{name}.{play.tag}{number}@example.org"
        self.password = PASSWORD
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        """Where the person's requests come from, as the proxy in front of the server says."""
        self.id = ""
        self.token = ""
        self.refresh_token = ""
        self.session_id = ""
        self.devices: list[Device] = []

    async def registers(self, **more: Any) -> Answer:
        body = {"email": self.email, "name": self.name, "password": self.password, **more}
        answer = await self.post("/api/auth/register", body, token="")
        if answer.status == 201:
            self.is_logged_in(answer.json)
        return answer

    async def logs_in(self, password: str | None = None) -> Answer:
        """A new session, which then is the one that this person uses."""
        body = {"email": self.email, "password": password or self.password}
        answer = await self.post("/api/auth/login", body, token="")
        if answer.status == 200:
            self.is_logged_in(answer.json)
        return answer

    def is_logged_in(self, granted: Mapping[str, Any]) -> None:
        self.token = granted["token"]
        self.refresh_token = granted["refresh_token"]
        self.session_id = granted["session_id"]
        self.play.secrets |= {self.token, self.refresh_token}
        if "user" in granted:
            self.id = granted["user"]["id"]

    # REST

    async def get(self, path: str, *, token: str | None = None, **query: Any) -> Answer:
        return await self.requests("GET", path, token=token, query=query)

    async def post(self, path: str, body: Json = None, *, token: str | None = None) -> Answer:
        return await self.requests("POST", path, body, token=token)

    async def put(self, path: str, body: Json = None, *, token: str | None = None) -> Answer:
        return await self.requests("PUT", path, body, token=token)

    async def patch(self, path: str, body: Json = None, *, token: str | None = None) -> Answer:
        return await self.requests("PATCH", path, body, token=token)

    async def delete(self, path: str, *, token: str | None = None, **query: Any) -> Answer:
        return await self.requests("DELETE", path, token=token, query=query)

    async def requests(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        token: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """token: another than one's own; "" for none."""
        token = self.token if token is None else token
        given = {"X-Forwarded-For": self.address}
        if token:
            given["Authorization"] = f"Bearer {token}"
        return await self.play.request(
            method, path, body, query=query, headers={**given, **(headers or {})}
        )

    async def gets(self, path: str, **query: Any) -> Json:
        """The body of a GET that must succeed."""
        answer = await self.get(path, **query)
        assert answer.status == 200, answer
        return answer.json

    # Rooms

    async def creates(self, kind: str, *members: "Person", **more: Any) -> Json:
        body = {"type": kind, "members": [member.id for member in members], **more}
        answer = await self.post("/api/rooms", body)
        assert answer.status == 201, answer
        return answer.json

    async def creates_group(self, *members: "Person", **more: Any) -> str:
        """Returns its ID when all members that are connected have heard of it."""
        room: str = (await self.creates("group", *members, **{"name": "Team", **more}))["id"]
        for person in (self, *members):
            for device in person.devices:
                if device.is_open:
                    await device.hears("room.joined", id=room)
        return room

    async def reads(self, room: str, message: str) -> None:
        answer = await self.post(f"/api/rooms/{room}/read", {"message_id": message})
        assert answer.status == 204, answer

    async def messages(self, room: str, **query: Any) -> list[Json]:
        found: list[Json] = await self.gets(f"/api/rooms/{room}/messages", **query)
        return found

    async def texts(self, room: str, **query: Any) -> list[str]:
        """What a page of the room says."""
        return [message["content"] for message in await self.messages(room, **query)]

    async def unread(self, room: str) -> int:
        return int((await self.sees_in_list(room))["unread_count"])

    async def sees_in_list(self, room: str) -> Json:
        """The room in the list of rooms."""
        (found,) = [each for each in await self.gets("/api/rooms") if each["id"] == room]
        return found

    # WebSocket

    @property
    def device(self) -> Device:
        return next(device for device in self.devices if device.is_open)

    async def connects(self, *, cursor: str | None = None, **more: Any) -> Device:
        """Opens one more device, which from now on hears what happens."""
        headers = {"Authorization": f"Bearer {self.token}", "X-Forwarded-For": self.address}
        query = "" if cursor is None else f"?cursor={quote(cursor)}"
        device = await self.play.opens(query, headers, **more)
        self.devices.append(device)
        return device

    async def says(self, room: str, text: str, **more: Any) -> str:
        """Returns the ID of the message, once it is safe."""
        sent = await self.device.asks("message.send", room_id=room, content=text, **more)
        assert sent["type"] == "message.sent", sent
        message_id: str = sent["message_id"]
        return message_id

    async def asks(self, frame_type: str, **fields: Any) -> Frame:
        return await self.device.asks(frame_type, **fields)

    async def hears(self, what: str | Predicate, /, **fields: Any) -> Frame:
        return await self.device.hears(what, **fields)

    def heard(self, what: str | Predicate, /, **fields: Any) -> list[Frame]:
        return self.device.heard(what, **fields)

    async def leaves_the_stage(self) -> None:
        """Hangs up with all devices."""
        for device in self.devices:
            await device.closes()
        self.devices.clear()


class Play:
    """One scenario on a server that others may play on as well. `tag`: tells them apart.

    secrets: tokens that were given to people of the play.
    """

    def __init__(self, server: LiveServer, tag: str) -> None:
        self.server = server
        self.tag = tag
        self.secrets: set[str] = set()
        self._devices: list[Device] = []
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._log_begins = len(server.log)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for device in self._devices:
            await device.closes()
        await self._http.close()
        if error is None:
            self._check()

    async def cast(self, *names: str) -> Sequence[Person]:
        """New people, each with a device."""
        people = [await self.enters(name) for name in names]
        for person in people:
            await person.connects()
        return people

    async def enters(self, name: str, **more: Any) -> Person:
        """Somebody new, with an account and without a device."""
        person = Person(self, name)
        registered = await person.registers(**more)
        assert registered.status == 201, registered
        return person

    async def administrator(self) -> Person:
        """Who administrates the server: whoever uses the code first that it prints."""
        root = Person(self, "root")
        if self.server.administrator is None:
            registered = await root.registers(code=self.server.first_admin_code)
            assert registered.status == 201, registered
            self.server.administrator = root.email
        else:
            root.email = self.server.administrator
            assert (await root.logs_in()).status == 200
        return root

    async def invitation(self) -> str:
        """A code for as many people as plays need."""
        if self.server.invitation is None:
            made = await (await self.administrator()).post("/api/invitations", {"uses": 1000})
            self.server.invitation = made.json["code"]
        return self.server.invitation

    async def opens(
        self, query: str = "", headers: Mapping[str, str] | None = None, **more: Any
    ) -> Device:
        """A WebSocket to the server. more: for `websockets.connect`."""
        socket = await connect(
            self.server.websocket_url + query,
            additional_headers=dict(headers or {}),
            open_timeout=PATIENCE_S,
            ping_interval=None,
            max_size=None,
            proxy=None,
            **more,
        )
        device = Device(socket)
        self._devices.append(device)
        return device

    async def request(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request of anybody. body: bytes are sent as they are."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self._http.request(
            method,
            self.server.url + path,
            data=data,
            params={name: str(value) for name, value in (query or {}).items()},
            headers=headers,
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        check_answer(method, path, answer)
        return answer

    async def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 if the page has none such."""
        page = (await self.request("GET", "/metrics")).raw.decode()
        label_text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{label_text}}}" if labels else name
        lines = (line.rpartition(" ") for line in page.splitlines())
        return next((float(value) for label, _, value in lines if label == wanted), 0.0)

    def _check(self) -> None:
        for device in self._devices:
            device.check()
        problems = self.server.problems(self._log_begins)
        assert not problems, problems


async def eventually(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """What somebody finds who looks again and again, where nothing tells when it is there."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await look()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_AGAIN_S)
        return found
