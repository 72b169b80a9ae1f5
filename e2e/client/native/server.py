"""A Foyer server over its native protocol, as a session calls it.

Requests go over REST, what happens comes over the WebSocket. See docs/E2EE.md, "Native clients".
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from e2e.client.calls import Calls, url_path
from e2e.client.native.stream import Frame, Stream, Unauthenticated
from e2e.client.native.translation import (
    ENCRYPTED,
    MESSAGE,
    NO_STOCK,
    KnownRoom,
    Told,
    event_of,
    mxc_of,
    uuid_of,
    written,
)
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

API = "/api"
ENCRYPTION = f"{API}/encryption"

_BEGIN_S = 60.0
_AT_ONCE = 8
_TOO_OLD = "CURSOR_TOO_OLD"
_BAD_REQUEST = 400
_UNAUTHENTICATED = 401
_MAX_PAGE = 200


class NativeError(ServerRefused):
    """The server refused; `code` is the protocol's."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        code = str(body.get("code", "INTERNAL"))
        super().__init__(status, code, str(body.get("message") or ""), body)


@dataclass(frozen=True, slots=True)
class Tokens:
    """refresh: None where the access token does not end by itself."""

    access: str
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a session has come: in what happens, and in what is told of encryption."""

    cursor: str = "now"
    news: str | None = None

    @classmethod
    def parse(cls, since: str | None) -> "_Place":
        if since is None:
            return cls()
        cursor, _, news = since.partition(" ")
        return cls(cursor, news or None)

    def __str__(self) -> str:
        return f"{self.cursor} {self.news or ''}".rstrip()


class NativeServer:
    """One session of one user. http: closed by whoever made it. user_id: the Matrix ID. renewed:
    called with new tokens; those before them end.
    """

    def __init__(
        self,
        url: str,
        *,
        http: aiohttp.ClientSession,
        user_id: str,
        tokens: Tokens,
        renewed: Callable[[Tokens], None] = lambda _tokens: None,
    ) -> None:
        self._calls = Calls(url, http=http, token=tokens.access, refusal=NativeError)
        self._user_id = user_id
        self._tokens = tokens
        self._renewed = renewed
        self._renewing = asyncio.Lock()
        self._rooms: dict[str, KnownRoom] = {}
        self._stream: Stream | None = None
        self._acknowledged: str | None = None
        self._stock: Mapping[str, Any] = NO_STOCK

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.close()
            self._stream = None

    async def call(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> Any:
        """path: below `/api`. Raises NativeError, Unreachable."""
        return await self._json(method, f"{API}{path}", body, query=query)

    # Reading

    async def sync(self, since: str | None, *, timeout_ms: int, full: bool) -> JSON:
        """Waits for frames. What was told of encryption is acknowledged by the next call, which
        says that it is stored.
        """
        place = _Place.parse(since)
        told = Told(self._rooms, own_id=self._user_id, stock=self._stock)
        try:
            if full or self._stream is None:
                await self._begin(place, told, full=full)
            else:
                await self._acknowledge(place)
                for frame in await self._stream.frames(timeout_ms / 1000):
                    told.take(frame)
        except Unreachable:
            await self.close()
            raise
        self._stock = told.stock
        reached = _Place(told.cursor or place.cursor, told.news or place.news)
        return told.answer(str(reached))

    async def members(self, room_id: str) -> Mapping[str, str]:
        room = self._room(room_id)
        if room.members is None:
            await self._learn(room)
        return room.members or {}

    async def history(self, room_id: str, limit: int) -> Sequence[JSON]:
        room = self._room(room_id)
        query = {"limit": str(min(limit, _MAX_PAGE))}
        page = await self._json("GET", f"{API}/rooms/{room.uuid}/messages", query=query)
        return [event_of(message, room) for message in page]

    # Writing

    async def send_event(
        self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str
    ) -> JSON:
        """Answers with the UUID of the message."""
        if event_type not in (MESSAGE, ENCRYPTED):
            raise _unsupported(f"events of the type {event_type} in rooms that are not encrypted")
        body = {**written(event_type, content), "ref": txn_id}
        edited = body.pop("edits", None)
        if edited is not None:
            await self._json("PATCH", f"{API}/messages/{edited}", body)
            return {"event_id": edited}
        path = f"{API}/rooms/{self._room(room_id).uuid}/messages"
        return {"event_id": (await self._json("POST", path, body))["id"]}

    async def perform(self, request: Request) -> JSON:
        match request:
            case SendToDevice():
                body = {
                    "type": request.event_type,
                    "ref": request.txn_id,
                    "messages": request.messages,
                }
                return await self._json("POST", f"{ENCRYPTION}/to-device", body) or {}
            case SendRoomEvent():
                return await self._send_named(request)
            case PutBackupKeys():
                path = f"{ENCRYPTION}/backups/{url_path(request.version)}/keys"
                return _object(await self._json("PUT", path, request.body))
            case UploadCrossSigning() | PutAccountData():
                raise AssertionError("this has a method of its own")
            case _:
                path = f"{ENCRYPTION}/{_POSTS[type(request)]}"
                return _object(await self._json("POST", path, request.body) or {})

    async def upload_identity(
        self, request: UploadCrossSigning, _user_id: str, password: str
    ) -> JSON:
        path = f"{ENCRYPTION}/identity"
        try:
            await self._json("POST", path, request.body)
        except NativeError as error:
            if error.code != "PASSWORD_REQUIRED":
                raise
            await self._json("POST", path, {**request.body, "password": password})
        return {}

    async def put_account_data(self, _user_id: str, data: PutAccountData) -> None:
        await self._json("PUT", f"{API}/account-data/{url_path(data.event_type)}", data.content)

    async def account_data(self, _user_id: str, event_type: str) -> JSON | None:
        return await self._or_none(f"{API}/account-data/{url_path(event_type)}")

    async def backup_version(self) -> JSON | None:
        return await self._or_none(f"{ENCRYPTION}/backups/latest")

    async def backup_keys(self, version: str) -> JSON:
        return _object(await self._json("GET", f"{ENCRYPTION}/backups/{url_path(version)}/keys"))

    async def backup_room_keys(self, version: str, room_id: str) -> JSON | None:
        path = f"{ENCRYPTION}/backups/{url_path(version)}/keys"
        answer = await self._or_none(path, query={"room_id": room_id})
        if answer is None:
            return None
        found = answer["rooms"].get(room_id)
        return {"sessions": {}} if found is None else _object(found)

    # Files

    async def upload(self, pieces: AsyncIterator[bytes], *, content_type: str, size: int) -> str:
        path = f"{API}/attachments"
        answer = await self._calls.upload(path, pieces, content_type=content_type, size=size)
        return mxc_of(urlsplit(str(answer["url"])).path)

    def download(self, mxc: str) -> AsyncIterator[bytes]:
        server, _, media_id = mxc.removeprefix("mxc://").partition("/")
        return self._calls.download(f"{API}/attachments/{url_path(server, media_id, 'file')}")

    # Rooms and sessions

    @staticmethod
    async def login(url: str, user: str, password: str, *, http: aiohttp.ClientSession) -> JSON:
        """user: e-mail address or user name. Answers with `token`, `refresh_token`, and of whom and
        of which device they are: `user_id`, `device_id`.
        """
        calls = Calls(url, http=http, token=None, refusal=NativeError)
        body = {"email": user, "password": password}
        answer = _object(await calls.json("POST", f"{API}/auth/login", body))
        calls.token = str(answer["token"])
        me = _object(await calls.json("GET", f"{API}/users/me"))
        return {**answer, "user_id": me["user_id"], "device_id": me["device_id"]}

    async def logout(self) -> None:
        await self._json("POST", f"{API}/auth/logout")

    async def create_room(
        self, name: str, invited: Sequence[str], *, encrypted: bool, public: bool
    ) -> str:
        """Whom a member adds is in at once."""
        body: JSON = {
            "type": "channel" if public else "group",
            "name": name,
            "members": [uuid_of(user_id) for user_id in invited],
        }
        if public:
            body["public"] = True
        if encrypted:
            body["encrypted"] = True
        outline = await self._json("POST", f"{API}/rooms", body)
        return self._learned(outline).room_id

    async def join(self, room: str) -> str:
        if room.startswith("#"):
            raise _unsupported("aliases")
        uuid = uuid_of(room)
        await self._json("POST", f"{API}/rooms/{uuid}/join")
        return self._learned(await self._json("GET", f"{API}/rooms/{uuid}")).room_id

    async def invite(self, room_id: str, user_id: str) -> None:
        path = f"{API}/rooms/{self._room(room_id).uuid}/invites"
        await self._json("POST", path, {"user_id": uuid_of(user_id)})

    async def leave(self, room_id: str) -> None:
        await self._json("POST", f"{API}/rooms/{self._room(room_id).uuid}/leave")

    # The stream

    async def _begin(self, place: _Place, told: Told, *, full: bool) -> None:
        """Connects where the session stands, and reads what it missed. What a connection did not
        acknowledge is told again.
        """
        await self.close()
        self._stream = stream = await self._connected(place)
        listen: JSON = {"type": "encryption.listen"}
        await stream.send({**listen, "since": place.news} if place.news else listen)
        self._acknowledged = place.news
        frames = await self._missed(stream)
        if full or any(frame.get("code") == _TOO_OLD for frame in frames):
            await self._load(told)
        for frame in frames:
            told.take(frame)

    async def _missed(self, stream: Stream) -> list[Frame]:
        """Up to the frames that say that this was all."""
        frames: list[Frame] = []
        missing = {"resumed", "encryption.news"}
        while missing:
            found = await stream.frames(_BEGIN_S)
            if not found:
                raise Unreachable("the server does not say what was missed")
            for frame in found:
                if frame.get("type") == "error" and frame.get("code") != _TOO_OLD:
                    raise NativeError(_BAD_REQUEST, frame)
            frames += found
            missing -= {str(frame.get("type")) for frame in found}
        return frames

    async def _connected(self, place: _Place) -> Stream:
        for is_last in (False, True):
            try:
                return await Stream.opened(
                    self._calls.url,
                    http=self._calls.http,
                    token=self._tokens.access,
                    cursor=place.cursor,
                )
            except Unauthenticated:
                if is_last or self._tokens.refresh is None:
                    raise
                await self._renew(self._tokens)
        raise AssertionError("unreachable")

    async def _acknowledge(self, place: _Place) -> None:
        assert self._stream is not None
        if place.news is not None and place.news != self._acknowledged:
            await self._stream.send({"type": "encryption.ack", "token": place.news})
            self._acknowledged = place.news

    async def _load(self, told: Told) -> None:
        """All rooms and invitations."""
        rooms = await self._json("GET", f"{API}/rooms")
        self._rooms.clear()
        for outline in rooms:
            self._learned(outline)
        encrypted = [room for room in self._rooms.values() if room.is_encrypted]
        for first in range(0, len(encrypted), _AT_ONCE):
            await asyncio.gather(*(self._learn(r) for r in encrypted[first : first + _AT_ONCE]))
        for room in self._rooms.values():
            told.room(room.outline, limited=True)
        for invitation in await self._json("GET", f"{API}/invites"):
            told.invited(invitation["room"], invitation["by"])

    async def _learn(self, room: KnownRoom) -> None:
        """Whom to encrypt for, and how."""
        if not room.is_encrypted:
            return
        found = await self._json("GET", f"{API}/rooms/{room.uuid}/encryption")
        visibility = found.get("history_visibility")
        room.outline = {**room.outline, "history_visibility": visibility}
        room.members = {each["user_id"]: each["membership"] for each in found["members"]}
        room.people = {each["id"]: each["user_id"] for each in found["members"]}

    # Requests

    async def _json(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> Any:
        """With an access token that holds."""
        tokens = self._tokens
        try:
            return await self._calls.json(method, path, body, query=query)
        except NativeError as error:
            if error.status != _UNAUTHENTICATED or tokens.refresh is None:
                raise
        await self._renew(tokens)
        return await self._calls.json(method, path, body, query=query)

    async def _renew(self, old: Tokens) -> None:
        """Whoever finds out first renews; a refresh token works once."""
        async with self._renewing:
            if self._tokens is not old:
                return
            body = {"refresh_token": old.refresh}
            answer = await self._calls.json("POST", f"{API}/auth/refresh", body)
            self._tokens = Tokens(str(answer["token"]), str(answer["refresh_token"]))
            self._calls.token = self._tokens.access
            self._renewed(self._tokens)

    async def _send_named(self, request: SendRoomEvent) -> JSON:
        """What follows from a verification's messages hangs on the ID of their event."""
        sent = await self.send_event(
            request.room_id, request.event_type, request.content, request.txn_id
        )
        message = await self._json("GET", f"{API}/messages/{sent['event_id']}")
        encrypted = message.get("encrypted")
        return sent if encrypted is None else {"event_id": encrypted["event_id"]}

    async def _or_none(self, path: str, *, query: Mapping[str, str] | None = None) -> JSON | None:
        try:
            return _object(await self._json("GET", path, query=query))
        except NativeError as error:
            if error.code != "NOT_FOUND":
                raise
            return None

    def _room(self, room_id: str) -> KnownRoom:
        uuid = uuid_of(room_id)
        return self._rooms.get(uuid) or KnownRoom(uuid)

    def _learned(self, outline: Mapping[str, Any]) -> KnownRoom:
        uuid = str(outline["id"])
        room = self._rooms.setdefault(uuid, KnownRoom(uuid))
        room.outline = {**room.outline, **outline}
        return room


def _unsupported(what: str) -> NativeError:
    return NativeError(_BAD_REQUEST, {"code": "INVALID_INPUT", "message": f"There are no {what}"})


def _object(answer: Any) -> JSON:
    if not isinstance(answer, dict):
        raise Unreachable("the server's answer is not of its protocol")
    return answer


_POSTS: Mapping[type, str] = {
    UploadKeys: "keys",
    QueryKeys: "keys/query",
    ClaimKeys: "keys/claim",
    UploadSignatures: "signatures",
    CreateBackup: "backups",
}
