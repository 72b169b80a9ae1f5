"""What a session needs of a server, whatever protocol it speaks.

`http.py` speaks the Matrix API, `native/` Foyer's own protocol. Both name people, devices and
events as Matrix does, because that is what signatures and encrypted messages contain.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from e2e.client.errors import CryptoError
from e2e.client.requests import PutAccountData, Request, UploadCrossSigning

JSON = dict[str, Any]

_UNAUTHORIZED = 401
_TOO_MANY = 429
_SERVER_FAULT = 500


class ServerRefused(CryptoError):
    """The server refused. code: the protocol's name of the reason. body: its whole answer."""

    def __init__(self, status: int, code: str, sentence: str, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = code
        self.body = body
        super().__init__(f"the homeserver refused: {sentence or code}")

    @property
    def is_logged_out(self) -> bool:
        """Whether the access token is none, or none any more."""
        return self.status == _UNAUTHORIZED and "flows" not in self.body


class Unreachable(CryptoError):
    """The server did not answer, or not in its protocol."""


def may_pass(error: CryptoError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, ServerRefused):
        return error.status == _TOO_MANY or error.status >= _SERVER_FAULT
    return isinstance(error, Unreachable)


class Server(Protocol):
    """One user's device, as it calls a server. Everything raises ServerRefused, Unreachable."""

    async def sync(self, since: str | None, *, timeout_ms: int, full: bool) -> JSON:
        """What happened since, in the shape of an answer of `/sync`; `next_batch` is the next
        `since`, and passing it says that everything before is stored. full: the first of a session,
        with the state of all rooms.
        """

    async def members(self, room_id: str) -> Mapping[str, str] | None:
        """User IDs and memberships of those who may get keys; None: syncs tell of them."""

    async def history(self, room_id: str, limit: int) -> Sequence[JSON]:
        """The newest events of a room, oldest first."""

    async def send_event(
        self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str
    ) -> JSON:
        """Answers with its `event_id`."""

    async def perform(self, request: Request) -> JSON:
        """A request of the machine's."""

    async def upload_identity(
        self, request: UploadCrossSigning, user_id: str, password: str
    ) -> JSON:
        """password: for servers that ask who is there."""

    async def put_account_data(self, user_id: str, data: PutAccountData) -> None: ...

    async def account_data(self, user_id: str, event_type: str) -> JSON | None: ...

    async def backup_version(self) -> JSON | None:
        """The newest backup; None: there is none."""

    async def backup_keys(self, version: str) -> JSON: ...

    async def backup_room_keys(self, version: str, room_id: str) -> JSON | None:
        """Of one room: its `sessions`. None: the backup is gone."""

    async def upload(self, pieces: AsyncIterator[bytes], *, content_type: str, size: int) -> str:
        """The `mxc:` URI. size: of all pieces. It is sent once only: the pieces are used up."""

    def download(self, mxc: str) -> AsyncIterator[bytes]:
        """In pieces."""

    async def create_room(
        self, name: str, invited: Sequence[str], *, encrypted: bool, public: bool
    ) -> str:
        """Its ID."""

    async def join(self, room: str) -> str:
        """room: ID or alias. Returns the ID."""

    async def invite(self, room_id: str, user_id: str) -> None: ...

    async def leave(self, room_id: str) -> None: ...

    async def logout(self) -> None: ...
