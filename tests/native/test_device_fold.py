"""A native client that follows `encryption.news` knows the devices of everybody whom it shares a
room with as they are, and of nobody else, however often it loses its connection.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import ClientWebSocketResponse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.storage.database import Database
from tests.support.encryption import KeyMaker
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server
from tests.support.postgres import fresh_database

NAMES = ("alice", "bob", "carl")
ACTS = (
    "join", "leave", "leave", "leave", "change", "change", "hear", "hear", "peep", "lose", "come",
)  # fmt: skip
PATIENCE_S = 60.0
step = st.tuples(st.sampled_from(ACTS), st.integers(0, 2), st.integers(0, 2))


class Follower:
    """A client. seen: how often somebody's devices had changed when it looked at them."""

    def __init__(self, play: "Play", user: MatrixUser) -> None:
        self.play = play
        self.user = user
        self.id = ""
        self.token: str | None = None
        self.seen: dict[str, int] = {}
        self._socket: ClientWebSocketResponse | None = None

    async def come(self) -> None:
        await self.lose()
        headers = {"Authorization": f"Bearer {self.user.token}"}
        self._socket = await self.play.server.client.ws_connect("/ws", headers=headers)
        since = {} if self.token is None else {"since": self.token}
        await self._socket.send_json({"type": "encryption.listen", **since})
        news = await self._next("encryption.news")
        await self._takes(news, acknowledged=True)

    async def hear(self) -> None:
        """Takes what has come, and lets more come."""
        await self._hears(acknowledged=True)

    async def peep(self) -> None:
        """Takes what has come, and is cut off before it can say so."""
        await self._hears(acknowledged=False)
        await self.lose()

    async def lose(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def is_told_of_itself(self) -> None:
        """Of the change that it made last: whatever happened before is behind its token then."""
        own = self.user.user_id
        while self._socket is not None and self.seen.get(own) != self.play.changes[own]:
            await self._takes(await self._next("encryption.news"), acknowledged=True)

    async def ends(self) -> None:
        """What was not told yet is told to who asks with its token."""
        await self.lose()
        await self._takes(await self.user.native.get("/api/encryption/news", since=self.token))

    async def _hears(self, *, acknowledged: bool) -> None:
        if self._socket is None:
            return
        await self._socket.send_json({"type": "ping", "ref": "so far"})
        while (frame := await self._next("encryption.news", "pong"))["type"] != "pong":
            await self._takes(frame, acknowledged=acknowledged)

    async def _takes(self, news: dict[str, Any], *, acknowledged: bool = False) -> None:
        changed = set(news["device_lists"]["changed"])
        left = set(news["device_lists"]["left"])
        assert not changed & left
        if self.token is None:
            changed = await self.play.companions(self)
        for user_id in left:
            self.seen.pop(user_id, None)
        self.seen |= {user_id: self.play.changes[user_id] for user_id in changed}
        self.token = news["token"]
        if acknowledged and self._socket is not None:
            await self._socket.send_json({"type": "encryption.ack", "token": self.token})

    async def _next(self, *types: str) -> dict[str, Any]:
        assert self._socket is not None
        while True:
            async with asyncio.timeout(PATIENCE_S):
                frame: dict[str, Any] = json.loads((await self._socket.receive()).data)
            assert frame["type"] != "error", frame
            if frame["type"] in types:
                return frame


class Play:
    """Three people, each of whom made a channel where one of the others is, so that any two share
    one room; who go, come back, and change their devices.
    """

    def __init__(self, server: MatrixServer, people: list[MatrixUser]) -> None:
        self.server = server
        self.people = people
        self.followers = [Follower(self, each) for each in people]
        self.changes: Counter[str] = Counter()
        self.rooms: list[str] = []
        self._makers: dict[str, KeyMaker] = {}

    async def begins(self) -> None:
        for number, (user, follower) in enumerate(zip(self.people, self.followers, strict=True)):
            me = await user.native.get("/api/users/me")
            follower.id = me["id"]
            self._makers[user.user_id] = KeyMaker.of(me["user_id"], me["device_id"])
            wanted = {"type": "channel", "public": True, "name": f"{number}", "members": []}
            self.rooms.append((await user.native.post("/api/rooms", wanted))["id"])
        for who, user in enumerate(self.people):
            await self._moves(user, "join", self.rooms[who - 1])
        for follower in self.followers:
            await follower.come()

    async def performs(self, act: str, who: int, where: int) -> None:
        follower, user = self.followers[who], self.people[who]
        if act == "change":
            self.changes[user.user_id] += 1
            keys = self._makers[user.user_id].device_keys(number=self.changes[user.user_id])
            await user.native.post("/api/encryption/keys", {"device_keys": keys})
        elif act in ("join", "leave"):
            if who != where:  # who made a room stays, so that others can come
                await self._moves(user, act, self.rooms[where])
        else:
            await getattr(follower, act)()

    async def _moves(self, user: MatrixUser, act: str, room: str) -> None:
        headers = {"Authorization": f"Bearer {user.token}"}
        path = f"/api/rooms/{room}/{act}"
        response = await self.server.client.request("POST", path, headers=headers)
        assert response.status < 500

    async def companions(self, of: Follower) -> set[str]:
        """Everybody in a room with somebody, and he."""
        found = {of.user.user_id}
        for owner, room in zip(self.people, self.rooms, strict=True):
            members = await owner.native.get(f"/api/rooms/{room}/members")
            ids = {each["id"] for each in members}
            if of.id in ids:
                found |= {each.user.user_id for each in self.followers if each.id in ids}
        return found

    async def ends(self) -> None:
        for number, follower in enumerate(self.followers):
            await follower.hear()
            await self.performs("change", number, number)
        for follower in self.followers:
            await follower.is_told_of_itself()

    async def holds(self, follower: Follower) -> None:
        await follower.ends()
        expected = await self.companions(follower)
        assert follower.seen == {user_id: self.changes[user_id] for user_id in expected}


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=10, max_size=40))
async def test_who_follows_the_news_knows_all_devices(postgres, steps):
    async with fresh_database(postgres) as dsn:
        database = await Database.connect(dsn, max_connections=6)
        try:
            async with matrix_server(database) as server:
                play = Play(server, [await server.registers(name) for name in NAMES])
                await play.begins()
                for each in steps:
                    await play.performs(*each)
                await play.ends()
                for follower in play.followers:
                    await play.holds(follower)
        finally:
            await database.close()
