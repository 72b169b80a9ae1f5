"""The WebSocket of the native protocol: frames in order, until it ends."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from e2e.client.server import Unreachable

Frame = dict[str, Any]

MAX_WAITING = 500
"""Frames that are not taken yet. Then the socket is not read, and the server ends a connection that
reads too slowly; nothing is lost, because the next one goes on where this one was.
"""

_MAX_FRAME_BYTES = 16 * 1024 * 1024
_LOGGED_OUT = 4001
_REFUSALS = (401, 403)


class Unauthenticated(Unreachable):
    """The access token is none, or none any more."""


class Stream:
    """An open connection. Made by `opened`, ended by `close`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(MAX_WAITING)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def opened(
        cls, url: str, *, http: aiohttp.ClientSession, token: str, cursor: str
    ) -> "Stream":
        """url: of the server. cursor: what was told up to there is not told again; `now` for
        nothing. Raises Unauthenticated, Unreachable.
        """
        try:
            socket = await http.ws_connect(
                f"{url}/ws",
                params={"cursor": cursor},
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=_MAX_FRAME_BYTES,
            )
        except aiohttp.WSServerHandshakeError as error:
            reason = f"the server refused the connection ({error.status})"
            is_token = error.status in _REFUSALS
            raise (Unauthenticated(reason) if is_token else Unreachable(reason)) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"the server did not answer: {error}") from None
        return cls(socket)

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Raises Unreachable."""
        try:
            await self._socket.send_str(json.dumps(frame))
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unreachable(f"the connection broke: {error}") from None

    async def frames(self, timeout_s: float) -> list[Frame]:
        """What has come; waits for the first. [] if nothing comes. Raises Unreachable at the end
        of the connection, after everything before it.
        """
        try:
            async with asyncio.timeout(timeout_s):
                found = [await self._frames.get()]
        except TimeoutError:
            return []
        while not self._frames.empty():
            found.append(self._frames.get_nowait())
        whole = [frame for frame in found if frame is not None]
        if len(whole) < len(found):
            self._frames.put_nowait(None)
        if not whole:
            raise self._ended()
        return whole

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._socket.close()

    def _ended(self) -> Unreachable:
        code = self._socket.close_code
        reason = f"the connection ended ({code})"
        return Unauthenticated(reason) if code == _LOGGED_OUT else Unreachable(reason)

    async def _read(self) -> None:
        """Frames that are no JSON objects are none of this protocol, and end it."""
        with suppress(aiohttp.ClientError, ConnectionError, ValueError):
            async for message in self._socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                frame = json.loads(message.data)
                if not isinstance(frame, dict):
                    break
                await self._frames.put(frame)
        await self._frames.put(None)
