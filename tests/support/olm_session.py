"""Sessions of `e2e.client` on a real server, and what they hear.

async with olm_session(server.url, tmp_path, "alice") as alice:
    room_id = await alice.creates("office")
    await alice.says(room_id, "hello")
    await alice.hears("hello yourself")
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp

from e2e.client.http import API, Homeserver
from e2e.client.key_sharing import Audience
from e2e.client.session import Credentials, Happening, Said, Session
from e2e.client.store.sealing import SealedStore
from e2e.client.store.sqlite import SQLiteStore
from e2e.client.verification.flow import Flow, State

PASSWORD = "correct horse battery staple"
PATIENCE_S = 60.0
_SHORT_MS = 2_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def registered(url: str, localpart: str) -> Credentials:
    """A new account, with a session."""
    async with aiohttp.ClientSession() as http:
        server = Homeserver(url, http=http)
        body = {
            "username": localpart,
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = await server.call("POST", f"{API}/register", body)
    return credentials(url, answer)


async def logged_in(url: str, user_id: str) -> Credentials:
    """One more session of the account."""
    async with aiohttp.ClientSession() as http:
        answer = await Homeserver(url, http=http).login(user_id, PASSWORD, "test")
    return credentials(url, answer)


def credentials(url: str, answer: dict[str, Any]) -> Credentials:
    return Credentials(url, answer["user_id"], answer["device_id"], answer["access_token"])


class OlmClient:
    """A session, and everything that it has heard."""

    def __init__(self, session: Session, device_id: str) -> None:
        self.session = session
        self.user_id = session.user_id
        self.device_id = device_id
        self.heard: list[Happening] = []

    async def creates(
        self,
        name: str,
        *invited: str,
        encrypted: bool = True,
        rotation_period_msgs: int | None = None,
    ) -> str:
        content: dict[str, Any] = {"algorithm": "m.megolm.v1.aes-sha2"}
        if rotation_period_msgs is not None:
            content["rotation_period_msgs"] = rotation_period_msgs
        state = [{"type": "m.room.encryption", "state_key": "", "content": content}]
        body = {"name": name, "invite": list(invited), "preset": "private_chat"}
        if encrypted:
            body["initial_state"] = state
        answer = await self.session.server.call("POST", f"{API}/createRoom", body)
        room_id = str(answer["room_id"])
        await self.knows(lambda: room_id in self.session.rooms.joined)
        return room_id

    async def invites(self, room_id: str, user_id: str) -> None:
        path = f"{API}/rooms/{quote(room_id, safe='')}/invite"
        await self.session.server.call("POST", path, {"user_id": user_id})

    async def joins(self, room_id: str) -> None:
        await self.session.server.call("POST", f"{API}/join/{quote(room_id, safe='')}", {})
        await self.enters(room_id)

    async def enters(self, room_id: str) -> None:
        """Hears of a room that another device has joined."""
        await self.knows(lambda: room_id in self.session.rooms.joined)

    async def leaves(self, room_id: str) -> None:
        path = f"{API}/rooms/{quote(room_id, safe='')}/leave"
        await self.session.server.call("POST", path, {})

    async def logs_out(self) -> None:
        await self.session.server.call("POST", f"{API}/logout", {})

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        members = self.session.rooms.joined[room_id].members
        await self.knows(lambda: members.get(user_id) == membership)

    async def says(self, room_id: str, text: str) -> str:
        content = {"msgtype": "m.text", "body": text}
        return await self.session.send(room_id, "m.room.message", content)

    async def hears(self, text: str) -> Said:
        """An event with that text, which could be read."""
        await self.knows(lambda: self._said(text) is not None)
        found = self._said(text)
        assert found is not None
        return found

    def _said(self, text: str) -> Said | None:
        for happening in self.heard:
            is_said = isinstance(happening, Said) and happening.problem is None
            if is_said and happening.event["content"].get("body") == text:
                return happening
        return None

    async def cannot_read(self, event_id: str) -> str:
        """Why."""

        def found() -> str | None:
            for one in self.heard:
                if isinstance(one, Said) and one.event.get("event_id") == event_id:
                    return one.problem
            return None

        await self.knows(found)
        return str(found())

    async def flow_with(self, user_id: str, *states: State) -> Flow:
        """An open verification in one of these states."""
        flows: list[Flow] = []

        def is_there() -> bool:
            found = self._flows(user_id)
            flows[:] = [flow for flow in found if flow.state in states]
            return bool(flows)

        await self.knows(is_there)
        return flows[0]

    def _flows(self, user_id: str) -> list[Flow]:
        vault = self.session.keeper._vault
        return [flow for _, flow in vault.all(Flow) if flow.other_user == user_id]

    async def knows(self, condition: Callable[[], Any]) -> None:
        """Syncs until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.heard += await self.session.sync(_SHORT_MS)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():
                self.heard += await self.session.sync(_SHORT_MS)


@asynccontextmanager
async def olm_session(
    directory: Path, account: Credentials, audience: Audience = Audience.ALL
) -> AsyncIterator[OlmClient]:
    """A session that has synced once."""
    path = directory / f"{account.device_id}.db"
    key = (account.device_id * 32)[:32].encode()
    store = SealedStore(await SQLiteStore.open(path), key=key, entropy=secrets.token_bytes)
    async with (
        aiohttp.ClientSession() as http,
        Session.opened(account, store=store, http=http, clock=now_ms, audience=audience) as session,
    ):
        client = OlmClient(session, account.device_id)
        client.heard += await session.sync()
        yield client


def unique(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"
