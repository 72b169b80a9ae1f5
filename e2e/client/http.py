"""A Matrix homeserver, as a client calls it.

Source: C-S API v1.19. An answer that is an error raises MatrixError; a server that does not answer
raises Unreachable.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from e2e.client.calls import Calls, url_path
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
from e2e.client.server import JSON, ServerRefused, Unreachable

API = "/_matrix/client/v3"
MEDIA = "/_matrix/client/v1/media"

_GRACE_S = 30.0
_UNAUTHORIZED = 401
_ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


class MatrixError(ServerRefused):
    """The homeserver refused; `code` is the errcode."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        code = str(body.get("errcode", "M_UNKNOWN"))
        super().__init__(status, code, str(body.get("error") or ""), body)


class Homeserver:
    """http: closed by whoever made it. url: without a path."""

    def __init__(self, url: str, *, http: aiohttp.ClientSession, token: str | None = None) -> None:
        self._calls = Calls(url, http=http, token=token, refusal=MatrixError)

    @property
    def url(self) -> str:
        return self._calls.url

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> JSON:
        """Raises MatrixError, Unreachable."""
        answer = await self._calls.json(method, path, body, query=query, timeout_s=timeout_s)
        if not isinstance(answer, dict):
            raise Unreachable("the homeserver's answer is not Matrix")
        return answer

    # Reading

    async def sync(self, since: str | None, *, timeout_ms: int, full: bool) -> JSON:
        query = {"timeout": "0" if full else str(timeout_ms)}
        if since is not None:
            query["since"] = since
        if full:
            query["full_state"] = "true"
        timeout_s = timeout_ms / 1000 + _GRACE_S
        return await self.call("GET", f"{API}/sync", query=query, timeout_s=timeout_s)

    async def members(self, room_id: str) -> None:  # noqa: ARG002 - syncs tell of them
        return None

    async def history(self, room_id: str, limit: int) -> Sequence[JSON]:
        query = {"dir": "b", "limit": str(limit)}
        path = f"{API}/rooms/{url_path(room_id)}/messages"
        answer = await self.call("GET", path, query=query)
        return list(reversed(answer["chunk"]))

    # Writing

    async def perform(self, request: Request) -> JSON:
        match request:
            case SendToDevice():
                path = f"sendToDevice/{url_path(request.event_type, request.txn_id)}"
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
    ) -> JSON:
        return await self._put(f"rooms/{url_path(room_id, 'send', event_type, txn_id)}", content)

    async def upload_identity(
        self, request: UploadCrossSigning, user_id: str, password: str
    ) -> JSON:
        """User-interactive authentication by password, where it is asked for."""
        path = f"{API}/{_POSTS[UploadCrossSigning]}"
        try:
            return await self.call("POST", path, request.body)
        except MatrixError as error:
            if error.status != _UNAUTHORIZED or "flows" not in error.body:
                raise
            auth = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": user_id},
                "password": password,
                "session": error.body.get("session"),
            }
            return await self.call("POST", path, {**request.body, "auth": auth})

    async def put_account_data(self, user_id: str, data: PutAccountData) -> None:
        await self._put(f"user/{url_path(user_id, 'account_data', data.event_type)}", data.content)

    async def account_data(self, user_id: str, event_type: str) -> JSON | None:
        path = f"{API}/user/{url_path(user_id, 'account_data', event_type)}"
        return await self._or_none("GET", path)

    async def backup_version(self) -> JSON | None:
        return await self._or_none("GET", f"{API}/room_keys/version")

    async def backup_keys(self, version: str) -> JSON:
        return await self.call("GET", f"{API}/room_keys/keys", query={"version": version})

    async def backup_room_keys(self, version: str, room_id: str) -> JSON | None:
        path = f"{API}/room_keys/keys/{url_path(room_id)}"
        return await self._or_none("GET", path, query={"version": version})

    # Files

    async def upload(self, pieces: AsyncIterator[bytes], *, content_type: str, size: int) -> str:
        path = "/_matrix/media/v3/upload"
        answer = await self._calls.upload(path, pieces, content_type=content_type, size=size)
        return str(answer["content_uri"])

    def download(self, mxc: str) -> AsyncIterator[bytes]:
        server, _, media_id = mxc.removeprefix("mxc://").partition("/")
        return self._calls.download(f"{MEDIA}/download/{url_path(server, media_id)}")

    # Rooms and sessions

    async def login(self, user: str, password: str, device_name: str) -> JSON:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "initial_device_display_name": device_name,
        }
        return await self.call("POST", f"{API}/login", body)

    async def logout(self) -> None:
        await self.call("POST", f"{API}/logout", {})

    async def create_room(
        self, name: str, invited: Sequence[str], *, encrypted: bool, public: bool
    ) -> str:
        body: JSON = {
            "name": name,
            "invite": list(invited),
            "preset": "public_chat" if public else "private_chat",
        }
        if encrypted:
            body["initial_state"] = [_ENCRYPTION]
        answer = await self.call("POST", f"{API}/createRoom", body)
        return str(answer["room_id"])

    async def join(self, room: str) -> str:
        answer = await self.call("POST", f"{API}/join/{url_path(room)}", {})
        return str(answer["room_id"])

    async def invite(self, room_id: str, user_id: str) -> None:
        path = f"{API}/rooms/{url_path(room_id, 'invite')}"
        await self.call("POST", path, {"user_id": user_id})

    async def leave(self, room_id: str) -> None:
        await self.call("POST", f"{API}/rooms/{url_path(room_id, 'leave')}", {})

    async def _put(self, path: str, body: Any) -> JSON:
        return await self.call("PUT", f"{API}/{path}", body)

    async def _or_none(
        self, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> JSON | None:
        try:
            return await self.call(method, path, query=query)
        except MatrixError as error:
            if error.code != "M_NOT_FOUND":
                raise
            return None


_POSTS: Mapping[type, str] = {
    UploadKeys: "keys/upload",
    QueryKeys: "keys/query",
    ClaimKeys: "keys/claim",
    UploadCrossSigning: "keys/device_signing/upload",
    UploadSignatures: "keys/signatures/upload",
    CreateBackup: "room_keys/version",
}
