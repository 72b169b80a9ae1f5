"""Sessions of `e2e.client` over the native protocol, on a real server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from e2e.client.key_sharing import Audience
from e2e.client.native.server import NativeServer, Tokens
from e2e.client.session import Credentials, Session
from e2e.client.store.sealing import SealedStore
from e2e.client.store.sqlite import SQLiteStore
from tests.support.olm_session import PASSWORD, OlmClient, now_ms


async def native_account(url: str, localpart: str) -> Credentials:
    """A new account, with a session."""
    async with aiohttp.ClientSession() as http:
        body = {
            "email": f"{localpart}@example.org",
            "password": PASSWORD,
            "name": localpart,
            "username": localpart,
        }
        async with http.post(f"{url}/api/auth/register", json=body) as response:
            assert response.status == 201, await response.text()
    return await native_login(url, localpart)


async def native_login(url: str, localpart: str) -> Credentials:
    """One more session of the account."""
    async with aiohttp.ClientSession() as http:
        answer = await NativeServer.login(url, localpart, PASSWORD, http=http)
    return Credentials(
        url,
        answer["user_id"],
        answer["device_id"],
        answer["token"],
        protocol="native",
        refresh_token=answer["refresh_token"],
    )


class NativeOlmClient(OlmClient):
    """Knows nothing of the Matrix API."""

    async def creates(self, name: str, *invited: str, encrypted: bool = True) -> str:
        """Whom one adds is in at once."""
        server = self.session.server
        room_id = await server.create_room(name, invited, encrypted=encrypted, public=False)
        await self.knows(lambda: room_id in self.session.rooms.joined)
        return room_id

    async def invites(self, room_id: str, user_id: str) -> None:
        await self.session.server.invite(room_id, user_id)

    async def joins(self, room_id: str) -> None:
        await self.session.server.join(room_id)
        await self.knows(lambda: room_id in self.session.rooms.joined)

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None:
        async def is_there() -> bool:
            members = await self.session.server.members(room_id)
            assert members is not None
            return members.get(user_id, "leave") == membership

        await self.until(is_there)


@asynccontextmanager
async def native_session(
    directory: Path, account: Credentials, audience: Audience = Audience.ALL
) -> AsyncIterator[NativeOlmClient]:
    """A session that has synced once."""
    path = directory / f"{account.device_id}.db"
    key = (account.device_id * 32)[:32].encode()
    store = SealedStore(await SQLiteStore.open(path), key=key, entropy=secrets.token_bytes)
    async with aiohttp.ClientSession() as http:
        server = NativeServer(
            account.url,
            http=http,
            user_id=account.user_id,
            tokens=Tokens(account.access_token, account.refresh_token),
        )
        opening = Session.opened(
            account, store=store, http=http, clock=now_ms, audience=audience, server=server
        )
        try:
            async with opening as session:
                client = NativeOlmClient(session, account.device_id)
                client.heard += await session.sync()
                yield client
        finally:
            await server.close()
