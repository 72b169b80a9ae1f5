"""Typing notifications (typing.yaml)."""

from collections.abc import Iterator

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.typing import Typing
from homeserver.errors import NotAllowed
from homeserver.identifiers import native_uuid
from homeserver.requester import Requester

DEFAULT_TIMEOUT_MS = 30_000


class TypingBody(Body):
    """timeout: milliseconds."""

    typing: bool
    timeout: int | None = Field(default=None, ge=0)


class TypingEndpoints:
    """Endpoints of typing.yaml."""

    def __init__(self, *, typing: Typing) -> None:
        self._typing = typing

    async def set_typing(self, call: Call[NoQuery, TypingBody], by: Requester) -> Json:
        if call.user_id != by.user_id:
            raise NotAllowed("Nobody types for somebody else.")
        room_uuid, timeout_ms = native_uuid(call.room_id), call.body.timeout
        if call.body.typing:
            timeout_ms = DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
            await self._typing.start(by, room_uuid, timeout_ms=timeout_ms)
        else:
            await self._typing.stop(by, room_uuid)
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    yield Route(
        method="PUT",
        path="v3/rooms/{roomId}/typing/{userId}",
        run=TypingEndpoints(typing=services.typing).set_typing,
        body=TypingBody,
    )
