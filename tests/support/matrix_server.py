"""A whole server in the test's own loop, and people who use its Matrix API.

    async with matrix_server(database) as server:
        alice = await server.registers("alice")
        answer = await alice.get("v3/account/whoami")
        code = await alice.is_refused("GET", "v3/rooms/!no:where/state", status=403)

Every answer is held against the OpenAPI files of the specification. `alice.native` is the same
person with the native REST interface (`tests.support.api_server.Someone`).
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

from aiohttp.test_utils import TestClient

from homeserver.config import Config
from homeserver.core import Core
from homeserver.facades import Facades
from homeserver.storage.database import Database
from mediarepo.remote import RemoteMedia
from tests.support.api_server import NO_REMOTE_MEDIA, OPEN, Someone, api_server
from tests.support.matrix_spec import check_answer

CLIENT = "/_matrix/client/"
_txn_ids = count(1)


def q(identifier: str) -> str:
    """An identifier as a segment of a path."""
    return quote(identifier, safe="")


class MatrixUser:
    """Asks the server, as one person or, without a token, as nobody. Paths: `v3/sync`."""

    def __init__(self, client: TestClient, token: str = "", user_id: str = "") -> None:
        self._client = client
        self.token = token
        self.user_id = user_id
        self.native = Someone(client, token)

    async def get(self, path: str, **query: Any) -> Any:
        return await self.asks("GET", path, query=query)

    async def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self.asks("POST", path, {} if body is None else body, query=query)

    async def put(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self.asks("PUT", path, {} if body is None else body, query=query)

    async def delete(self, path: str, **query: Any) -> Any:
        return await self.asks("DELETE", path, query=query)

    async def asks(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        status: int = 200,
    ) -> Any:
        """The body of the answer, which must have this status and fit the specification."""
        got, answer = await self.request(method, path, body, query=query)
        assert got == status, (got, answer)
        return answer

    async def is_refused(
        self, method: str, path: str, body: Any = None, *, status: int, **query: Any
    ) -> str:
        """The errcode."""
        answer = await self.asks(method, path, body, query=query, status=status)
        return str(answer["errcode"])

    async def request(
        self, method: str, path: str, body: Any = None, *, query: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Status and body of any answer; a query value may be a list."""
        absolute = path if path.startswith("/") else CLIENT + path
        response = await self._client.request(
            method,
            absolute,
            data=body if isinstance(body, bytes | None) else json.dumps(body),
            params=_query(query or {}),
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
        )
        answer = json.loads(await response.read())
        if absolute.startswith(CLIENT + "v"):
            check_answer(method, response.url.raw_path, response.status, answer)
        return response.status, answer

    async def creates_room(self, **body: Any) -> str:
        """The ID of a new room."""
        return str((await self.post("v3/createRoom", body))["room_id"])

    async def joins(self, room_id: str) -> None:
        await self.post(f"v3/join/{q(room_id)}")

    async def sends(self, room_id: str, event_type: str, content: dict[str, Any]) -> str:
        """The ID of a new message event."""
        path = f"v3/rooms/{q(room_id)}/send/{q(event_type)}/t{next(_txn_ids)}"
        return str((await self.put(path, content))["event_id"])

    async def says(self, room_id: str, text: str) -> str:
        return await self.sends(room_id, "m.room.message", {"msgtype": "m.text", "body": text})

    async def sets(
        self, room_id: str, event_type: str, content: dict[str, Any], state_key: str = ""
    ) -> str:
        """The ID of a new state event."""
        path = f"v3/rooms/{q(room_id)}/state/{q(event_type)}/{q(state_key)}"
        return str((await self.put(path, content))["event_id"])


class MatrixServer:
    """The server, and how people come to it."""

    def __init__(
        self, client: TestClient, facades: Facades | None = None, core: Core | None = None
    ) -> None:
        self.client = client
        self.facades = facades
        self.core = core
        self.nobody = MatrixUser(client)

    async def registers(self, name: str) -> MatrixUser:
        """A person `@name:example.org` with a session of the Matrix API's kind."""
        status, answer = await self.nobody.request(
            "POST",
            "v3/register",
            {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}},
        )
        assert status == 200, answer
        return MatrixUser(self.client, answer["access_token"], answer["user_id"])


@asynccontextmanager
async def matrix_server(
    database: Database, *, config: Config = OPEN, remote_media: RemoteMedia = NO_REMOTE_MEDIA
) -> AsyncIterator[MatrixServer]:
    """See the top of the module. config: rate limits are off by default, registration is open."""
    async with api_server(database, config=config, remote_media=remote_media) as server:
        yield MatrixServer(server.client, server.facades, server.core)


def _query(query: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, _text(each))
        for key, value in query.items()
        for each in (value if isinstance(value, list) else [value])
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict) else str(value)
