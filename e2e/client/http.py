"""A Matrix homeserver, as a client calls it.

Source: C-S API v1.19. An answer that is an error raises MatrixError; a server that does not answer
raises Unreachable.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from e2e.client.errors import CryptoError
from e2e.client.requests import (
    ClaimKeys,
    CreateBackup,
    PutAccountData,
    PutBackupKeys,
    QueryKeys,
    Request,
    SendRoomEvent,
    SendToDevice,
    UploadCrossSigning,
    UploadKeys,
    UploadSignatures,
)

API = "/_matrix/client/v3"
MEDIA = "/_matrix/client/v1/media"

TIMEOUT_S = 60.0
MAX_TRIES = 6
MAX_WAIT_S = 60.0
_FIRST_WAIT_S = 0.5
_TOO_MANY = 429
_SERVER_FAULT = 500
_MIN_ERROR = 400
_PIECE = 65_536


class MatrixError(CryptoError):
    """The homeserver refused. body: its whole answer."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = body
        self.code = str(body.get("errcode", "M_UNKNOWN"))
        super().__init__(f"the homeserver refused: {body.get('error') or self.code}")


class Unreachable(CryptoError):
    """The homeserver did not answer, or not with Matrix."""


class Homeserver:
    """http: closed by whoever made it. url: without a path."""

    def __init__(self, url: str, *, http: aiohttp.ClientSession, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._http = http

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """Waits where the server asks to, and tries again what failed by its fault; each request
        of ours can be sent twice. Raises MatrixError, Unreachable.
        """
        wait_s = _FIRST_WAIT_S
        for left in range(MAX_TRIES - 1, -1, -1):
            try:
                return await self._once(method, path, body, query, timeout_s)
            except MatrixError as error:
                if not left or (error.status != _TOO_MANY and error.status < _SERVER_FAULT):
                    raise
                asked = error.body.get("retry_after_ms")
                wait_s = asked / 1000 if isinstance(asked, int) else wait_s
            except Unreachable:
                if not left:
                    raise
            await asyncio.sleep(min(wait_s, MAX_WAIT_S))
            wait_s *= 2
        raise AssertionError("unreachable")

    async def perform(self, request: Request) -> dict[str, Any]:
        """A request of the machine's."""
        match request:
            case SendToDevice():
                path = f"sendToDevice/{_path(request.event_type, request.txn_id)}"
                return await self._put(path, {"messages": request.messages})
            case SendRoomEvent():
                return await self.send_event(
                    request.room_id, request.event_type, request.content, request.txn_id
                )
            case PutBackupKeys():
                query = {"version": request.version}
                path = f"{API}/room_keys/keys"
                return await self.call("PUT", path, request.body, query=query)
            case PutAccountData():
                raise AssertionError("account data has a user; call put_account_data")
            case _:
                return await self.call("POST", f"{API}/{_POSTS[type(request)]}", request.body)

    async def send_event(
        self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str
    ) -> dict[str, Any]:
        return await self._put(f"rooms/{_path(room_id, 'send', event_type, txn_id)}", content)

    async def put_account_data(self, user_id: str, data: PutAccountData) -> None:
        await self._put(f"user/{_path(user_id, 'account_data', data.event_type)}", data.content)

    async def account_data(self, user_id: str, event_type: str) -> dict[str, Any] | None:
        path = f"{API}/user/{_path(user_id, 'account_data', event_type)}"
        return await self._or_none("GET", path)

    async def backup_version(self) -> dict[str, Any] | None:
        return await self._or_none("GET", f"{API}/room_keys/version")

    async def backup_keys(self, version: str) -> dict[str, Any]:
        return await self.call("GET", f"{API}/room_keys/keys", query={"version": version})

    async def login(self, user: str, password: str, device_name: str) -> dict[str, Any]:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "initial_device_display_name": device_name,
        }
        return await self.call("POST", f"{API}/login", body)

    async def upload(self, pieces: AsyncIterator[bytes], *, content_type: str, size: int) -> str:
        """The `mxc:` URI. size: of all pieces. It is sent once only: the pieces are used up."""
        url = f"{self.url}/_matrix/media/v3/upload"
        headers = self._headers({"Content-Type": content_type, "Content-Length": str(size)})
        try:
            async with self._http.post(url, data=pieces, headers=headers) as response:
                return str((await _answer(response))["content_uri"])
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(_failure(error)) from None

    async def download(self, mxc: str) -> AsyncIterator[bytes]:
        """In pieces."""
        server, _, media_id = mxc.removeprefix("mxc://").partition("/")
        url = f"{self.url}{MEDIA}/download/{_path(server, media_id)}"
        try:
            async with self._http.get(url, headers=self._headers({})) as response:
                if response.status >= _MIN_ERROR:
                    await _answer(response)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(_failure(error)) from None

    async def _put(self, path: str, body: Any) -> dict[str, Any]:
        return await self.call("PUT", f"{API}/{path}", body)

    async def _or_none(self, method: str, path: str) -> dict[str, Any] | None:
        try:
            return await self.call(method, path)
        except MatrixError as error:
            if error.code != "M_NOT_FOUND":
                raise
            return None

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        timeout_s: float,
    ) -> dict[str, Any]:
        try:
            async with self._http.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers=self._headers({}),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                return await _answer(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(_failure(error)) from None

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        if self.token is None:
            return dict(more)
        return {**more, "Authorization": f"Bearer {self.token}"}


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _failure(error: Exception) -> str:
    return f"the homeserver did not answer: {error or type(error).__name__}"


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        body = await response.json(content_type=None)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unreachable(f"the homeserver's answer is not Matrix (status {response.status})")
    if response.status >= _MIN_ERROR:
        raise MatrixError(response.status, body)
    return body


_POSTS: Mapping[type, str] = {
    UploadKeys: "keys/upload",
    QueryKeys: "keys/query",
    ClaimKeys: "keys/claim",
    UploadCrossSigning: "keys/device_signing/upload",
    UploadSignatures: "keys/signatures/upload",
    CreateBackup: "room_keys/version",
}
