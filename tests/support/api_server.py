"""A whole server in the test's own loop, and people who use its REST interface.

    async with api_server(database) as server:
        alice = await server.registers("alice")
        room = await alice.post("/api/rooms", {"type": "group", "members": []})

Every answer is held against what the OpenAPI document promises for its operation.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from pydantic import TypeAdapter

from homeserver.accounts import build_accounts
from homeserver.application_services import load_application_services
from homeserver.clock import SystemClock
from homeserver.config import AuthConfig, Config, RateLimitsConfig, ServerConfig
from homeserver.core import Core, build_core
from homeserver.events.signing import SigningKey
from homeserver.facades import Facades, build_facades
from homeserver.identifiers import ServerName
from homeserver.metrics import Metrics
from homeserver.storage.database import Database
from mediarepo.remote import NoRemoteMedia, RemoteMedia
from schema.documents.openapi import errors_of
from schema.operations import ALL_OPERATIONS
from schema.wire.errors import ErrorBody
from tests.support.office import SECRET, LocalBus

SERVER = ServerName("example.org")
NO_REMOTE_MEDIA = NoRemoteMedia()
PASSWORD = "correct horse battery staple"
OPEN = Config(
    server=ServerConfig(name=SERVER),
    auth=AuthConfig(registration="open", argon2_time_cost=1, argon2_memory_kib=64),
    rate_limits=RateLimitsConfig(enabled=False),
)


class Bus(LocalBus):
    """Announcements in this process, which is the only one."""

    def on_reconnect(self, call: object) -> None:
        """It is never disconnected."""


class Someone:
    """Asks the server, as one person or, without a token, as nobody."""

    def __init__(self, client: TestClient, token: str = "", user_id: str = "") -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.token = token
        self.id = user_id

    async def get(self, path: str, **query: str) -> Any:
        return await self.asks("GET", path, query=query)

    async def post(self, path: str, body: Any = None, *, status: int | None = None) -> Any:
        return await self.asks("POST", path, body, status=status)

    async def put(self, path: str, body: Any = None) -> Any:
        return await self.asks("PUT", path, body)

    async def patch(self, path: str, body: Any) -> Any:
        return await self.asks("PATCH", path, body)

    async def delete(self, path: str, **query: str) -> Any:
        return await self.asks("DELETE", path, query=query)

    async def asks(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        status: int | None = None,
    ) -> Any:
        """The body of the answer, which must be a success. status: if not the usual one."""
        response = await self._request(method, path, body, query)
        operation = _operation(response, method)
        raw = await response.read()
        assert response.status == (status or operation.status), raw
        answer = operation.answers[response.status]
        if answer is None:
            assert raw == b""
            return None
        TypeAdapter(answer).validate_json(raw, extra="forbid")
        return json.loads(raw)

    async def is_refused(self, method: str, path: str, body: Any = None, **query: str) -> str:
        """The code of the error, which must be one that the operation may answer with."""
        response = await self._request(method, path, body, query)
        raw = await response.read()
        error = ErrorBody.model_validate_json(raw, extra="forbid")
        assert response.status == error.code.status
        assert error.code in errors_of(_operation(response, method)), raw
        return error.code.value

    async def _request(
        self, method: str, path: str, body: Any, query: dict[str, str] | None
    ) -> Any:
        return await self._client.request(
            method, path, json=body, params=query, headers=self._headers
        )


class ApiServer:
    """The server, and how people come to it."""

    def __init__(
        self, client: TestClient, facades: Facades | None = None, core: Core | None = None
    ) -> None:
        self.client = client
        self.facades = facades
        self.core = core
        self.nobody = Someone(client)

    async def registers(self, name: str) -> Someone:
        body = {
            "email": f"{name}@example.org",
            "password": PASSWORD,
            "name": name.capitalize(),
        }
        answer = await self.nobody.post("/api/auth/register", body)
        return Someone(self.client, answer["token"], answer["user"]["id"])

    async def logs_in(self, name: str) -> Someone:
        body = {"email": f"{name}@example.org", "password": PASSWORD}
        answer = await self.nobody.post("/api/auth/login", body)
        return Someone(self.client, answer["token"], answer["user"]["id"])


@asynccontextmanager
async def api_server(
    database: Database, *, config: Config = OPEN, remote_media: RemoteMedia = NO_REMOTE_MEDIA
) -> AsyncIterator[ApiServer]:
    """Everything that `homeserver.app` builds, but for sockets and processes."""
    clock, metrics, bus = SystemClock(), Metrics(), Bus()
    services = load_application_services(config.appservices.registration_files, SERVER)
    core = build_core(
        config=config,
        server_name=SERVER,
        application_services=services,
        key=SigningKey.from_seed(b"1" * 32, "ed25519:test"),
        database=database,
        bus=bus,
        metrics=metrics,
        clock=clock,
    )
    accounts = build_accounts(
        settings=config.auth,
        server_name=SERVER,
        application_services=services,
        jwt_secret=SECRET,
        database=database,
        announce=bus.announce,
        status_of=core.streams.presence.status,
        clock=clock,
        random_bytes=token_bytes,
    )
    await accounts.registration.ensure_senders()
    await core.start()
    facades = build_facades(
        config=config,
        core=core,
        accounts=accounts,
        database=database,
        bus=bus,
        remote_media=remote_media,
        metrics=metrics,
        clock=clock,
    )
    work = (*core.background(), *facades.background())
    tasks = [asyncio.ensure_future(run()) for run in work]
    try:
        async with TestClient(TestServer(facades.applications[0])) as client:
            yield ApiServer(client, facades, core)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _operation(response: Any, method: str) -> Any:
    """The operation that a path belongs to: one with more text and fewer names fits better."""
    parts = response.url.raw_path.split("/")
    fitting = [
        each
        for each in ALL_OPERATIONS
        if each.method == method
        and len(each.path.split("/")) == len(parts)
        and all(
            wanted == given or wanted.startswith("{")
            for wanted, given in zip(each.path.split("/"), parts, strict=True)
        )
    ]
    return min(fitting, key=lambda each: each.path.count("{"))
