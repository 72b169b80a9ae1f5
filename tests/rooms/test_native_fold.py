"""What a native client heard bit by bit is what a client that begins now reads."""

import json
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.identifiers import native_uuid
from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q
from tests.support.native_view import NativeView, fresh_view
from tests.support.postgres import fresh_database

NAMES = ("alice", "bob", "charlie")
ACTS = (
    "say", "say", "say", "whisper", "whisper", "answer", "answer", "edit", "edit",
    "delete", "redact", "react",
    "unreact", "name", "topic", "join", "leave", "invite", "add", "remove", "read", "read",
    "receipt", "listen", "listen", "lose", "come", "come",
)  # fmt: skip
person = st.integers(0, 2)
step = st.tuples(st.sampled_from(ACTS), person, person, st.integers(0, 1), st.integers(0, 9))


class Said:
    """A message, by both of its names. extra: events about it, such as edits and reactions."""

    def __init__(self, room: str, event_id: str, event_type: str = "m.room.message") -> None:
        self.room = room
        self.event_id = event_id
        self.event_type = event_type
        self.native = str(native_uuid(event_id))
        self.extra: list[str] = []


class Play:
    """People who do things at random in two rooms, by either API, each with a native client."""

    def __init__(self, server: MatrixServer, people: list[MatrixUser]) -> None:
        self.server = server
        self.people = people
        self.views = [NativeView(by.native, server.client) for by in people]
        self.rooms: list[str] = []
        self.said: list[Said] = []
        self.lobby = ""
        self._numbers = count()

    async def begins(self) -> None:
        """An open channel, a group, and a room where everybody meets at the end."""
        for view in self.views:
            await view.connects()
        _, bob, charlie = (view.id for view in self.views)
        alice = self.people[0].native
        for wanted in (
            {"type": "channel", "public": True, "name": "News", "members": [bob]},
            {"type": "group", "members": [bob, charlie]},
            {"type": "group", "name": "The end", "members": [bob, charlie]},
        ):
            room = await alice.post("/api/rooms", wanted)
            found = (await self.people[0].get("v3/joined_rooms"))["joined_rooms"]
            self.rooms += [each for each in found if native_uuid(each) == UUID(room["id"])]
        self.lobby = self.rooms.pop()

    async def performs(self, act: str, who: int, whom: int, where: int, number: int) -> None:
        view = self.views[who]
        if act == "listen":
            await view.listens()
        elif act == "lose":
            await view.loses_connection(number)
        elif act == "come":
            await view.loses_connection(number)
            await view.connects()
        else:
            await getattr(self, f"_{act}")(
                self.people[who], self.people[whom], self.rooms[where], number
            )

    async def ends(self) -> None:
        """Everybody has heard everything: events are told in order, and so is what is unread."""
        alice = self.people[0]
        for view in self.views:
            if not view.is_connected:
                await view.connects()
            await view.listens()
        first = await alice.says(self.lobby, "one")
        last = await alice.says(self.lobby, "two")
        for by, view in zip(self.people, self.views, strict=True):
            await view.knows_message(str(native_uuid(last)))
            await by.post(f"v3/rooms/{q(self.lobby)}/receipt/m.read/{q(first)}")
            await view.knows_read(str(native_uuid(self.lobby)), str(native_uuid(first)))

    async def _tries(self, by: MatrixUser, method: str, path: str, body: Any = None) -> Any:
        """What may not be done is not done."""
        headers = {"Authorization": f"Bearer {by.token}"}
        response = await self.server.client.request(method, path, json=body, headers=headers)
        raw = await response.read()
        assert response.status < 500, raw
        return json.loads(raw) if raw and response.status < 300 else None

    async def _sends(self, by: MatrixUser, room: str, event_type: str, content: Any) -> str | None:
        path = f"/_matrix/client/v3/rooms/{q(room)}/send/{event_type}/t{next(self._numbers)}"
        sent = await self._tries(by, "PUT", path, content)
        return None if sent is None else str(sent["event_id"])

    def _of(self, room: str, number: int) -> Said | None:
        """One of the last messages in a room."""
        said = [each for each in self.said if each.room == room]
        return said[-1 - number % min(4, len(said))] if said else None

    async def _say(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        await self._says(by, room, {})

    async def _whisper(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        """What only devices can read."""
        event_id = await self._sends(by, room, "m.room.encrypted", self._ciphertext())
        if event_id is not None:
            self.said.append(Said(room, event_id, "m.room.encrypted"))

    def _ciphertext(self) -> dict[str, Any]:
        text = f"{next(self._numbers)}"
        return {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": text, "session_id": "S"}

    async def _answer(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        """In a thread; threads do not nest, but whoever knows no better may try."""
        root = self._of(room, number)
        if root is not None:
            relation = {"rel_type": "m.thread", "event_id": root.event_id}
            await self._says(by, room, {"m.relates_to": relation})

    async def _says(self, by: MatrixUser, room: str, more: dict[str, Any]) -> None:
        content = {"msgtype": "m.text", "body": f"{next(self._numbers)}", **more}
        event_id = await self._sends(by, room, "m.room.message", content)
        if event_id is not None:
            self.said.append(Said(room, event_id))

    async def _edit(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        said = self._of(room, number)
        if said is not None:
            text = {"msgtype": "m.text", "body": f"{next(self._numbers)}"}
            relation = {"rel_type": "m.replace", "event_id": said.event_id}
            content = {**text, "m.new_content": text, "m.relates_to": relation}
            if said.event_type == "m.room.encrypted":
                content = {**self._ciphertext(), "m.relates_to": relation}
            await self._hangs_on(said, await self._sends(by, room, said.event_type, content))

    async def _hangs_on(self, said: Said, event_id: str | None) -> None:
        if event_id is not None:
            said.extra.append(event_id)

    async def _delete(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        said = self._of(room, number)
        if said is not None:
            await self._tries(by, "DELETE", f"/api/messages/{said.native}")

    async def _redact(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        """An edit or a reaction."""
        said = self._of(room, number)
        if said is not None and said.extra:
            target = said.extra[-1]
            path = f"/_matrix/client/v3/rooms/{q(room)}/redact/{q(target)}/t{next(self._numbers)}"
            await self._tries(by, "PUT", path, {})

    async def _react(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        said = self._of(room, number)
        if said is not None:
            relation = {"rel_type": "m.annotation", "event_id": said.event_id, "key": "+1"}
            sent = await self._sends(by, room, "m.reaction", {"m.relates_to": relation})
            await self._hangs_on(said, sent)

    async def _unreact(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        said = self._of(room, number)
        if said is not None:
            await self._tries(by, "DELETE", f"/api/messages/{said.native}/reactions/+1")

    async def _name(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        name = f"room {next(self._numbers)}" if number else ""
        await self._sets(by, room, "m.room.name", {"name": name})

    async def _topic(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        await self._sets(by, room, "m.room.topic", {"topic": f"{next(self._numbers)}"})

    async def _sets(self, by: MatrixUser, room: str, event_type: str, content: Any) -> None:
        path = f"/_matrix/client/v3/rooms/{q(room)}/state/{event_type}/"
        await self._tries(by, "PUT", path, content)

    async def _join(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        await self._tries(by, "POST", f"/_matrix/client/v3/join/{q(room)}", {})

    async def _leave(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        if by is not self.people[0]:
            await self._tries(by, "POST", f"/_matrix/client/v3/rooms/{q(room)}/leave", {})

    async def _invite(self, by: MatrixUser, other: MatrixUser, room: str, number: int) -> None:
        body = {"user_id": other.user_id}
        await self._tries(by, "POST", f"/_matrix/client/v3/rooms/{q(room)}/invite", body)

    async def _add(self, by: MatrixUser, other: MatrixUser, room: str, number: int) -> None:
        body = {"user_ids": [str(native_uuid(other.user_id))]}
        await self._tries(by, "POST", f"/api/rooms/{native_uuid(room)}/members", body)

    async def _remove(self, by: MatrixUser, other: MatrixUser, room: str, number: int) -> None:
        path = f"/api/rooms/{native_uuid(room)}/members/{native_uuid(other.user_id)}"
        if other is not self.people[0]:
            await self._tries(by, "DELETE", path)

    async def _read(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        said = self._of(room, number)
        if said is not None:
            body = {"message_id": said.native}
            await self._tries(by, "POST", f"/api/rooms/{native_uuid(room)}/read", body)

    async def _receipt(self, by: MatrixUser, _other: MatrixUser, room: str, number: int) -> None:
        """Private ones, and those of the main timeline and of threads."""
        said, root = self._of(room, number), self._of(room, number + 1)
        if said is None or root is None:
            return
        thread = ({}, {"thread_id": "main"}, {"thread_id": root.event_id})[number % 3]
        kind = ("m.read", "m.read.private")[number % 2]
        path = f"/_matrix/client/v3/rooms/{q(room)}/receipt/{kind}/{q(said.event_id)}"
        await self._tries(by, "POST", path, thread)


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=5, max_size=40))
async def test_what_a_client_hears_adds_up_to_what_it_could_read(postgres, steps):
    async with fresh_database(postgres) as dsn:
        database = await Database.connect(dsn, max_connections=6)
        try:
            async with matrix_server(database) as server:
                play = Play(server, [await server.registers(name) for name in NAMES])
                await play.begins()
                for each in steps:
                    await play.performs(*each)
                await play.ends()
                for by, view in zip(play.people, play.views, strict=True):
                    view.holds_against(await fresh_view(by.native, server.client))
        finally:
            await database.close()
