"""An open WebSocket of a client that knows nothing of the server's code."""

import asyncio
import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support.promises import Frame, check_frame

PATIENCE_S = 90.0
"""Nothing takes so long: it only keeps a test from hanging."""

Predicate = Callable[[Frame], bool]

_ANSWERS = (
    "message.sent",
    "keys.uploaded",
    "keys.queried",
    "keys.claimed",
    "ack",
    "pong",
    "error",
)


class Device:
    """An open WebSocket. `frames`: everything that came, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.cursor: str | None = None
        """The newest that the server gave."""
        self._used: set[int] = set()
        self._came = asyncio.Event()
        self._failure: AssertionError | None = None
        self._refs = (f"ref-{number}" for number in count(1))
        self._reader = asyncio.create_task(self._read())

    async def sends(self, frame_type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": frame_type, **fields}))

    async def asks(self, frame_type: str, **fields: Any) -> Frame:
        """Sends a frame and returns the frame that answers it."""
        ref = fields.setdefault("ref", next(self._refs))
        await self.sends(frame_type, **fields)
        return await self.hears(
            lambda frame: frame.get("ref") == ref and frame["type"] in _ANSWERS, ref=ref
        )

    async def hears(self, what: str | Predicate, /, **fields: Any) -> Frame:
        """The first frame that this finds and that was not returned before.

        what: its type, or what must be true of it. fields: what it, or its message or room, has.
        """
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index, frame in enumerate(self.frames):
                    if index not in self._used and _matches(frame, what, fields):
                        self._used.add(index)
                        return frame
                await self._more(what, fields)

    def heard(self, what: str | Predicate, /, **fields: Any) -> list[Frame]:
        """All frames so far that match, whether they were returned before or not."""
        return [frame for frame in self.frames if _matches(frame, what, fields)]

    async def is_up_to_date(self) -> None:
        """Everything that the server had written to this connection by now has come."""
        await self.asks("ping")

    async def closes(self) -> None:
        """Hangs up."""
        await self.socket.close()
        await self._reader

    async def vanishes(self) -> None:
        """The network is gone, without a word."""
        self.socket.transport.abort()
        await self._reader

    async def is_closed(self) -> tuple[int, str]:
        """The code and reason that the server closes the connection with."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._reader)
        self.check()
        code = self.socket.close_code
        assert code is not None
        return code, self.socket.close_reason or ""

    @property
    def is_open(self) -> bool:
        return not self._reader.done()

    def check(self) -> None:
        """Raises if something came that the schema does not know."""
        if self._failure is not None:
            raise self._failure

    async def _more(self, what: str | Predicate, fields: Mapping[str, Any]) -> None:
        self.check()
        if self._reader.done():
            wanted = what if isinstance(what, str) else "a frame"
            raise AssertionError(
                f"closed with {self.socket.close_code} before {wanted} {fields} came: {self.frames}"
            )
        self._came.clear()
        await self._came.wait()

    async def _read(self) -> None:
        try:
            async for raw in self.socket:
                self._take(raw)
        except ConnectionClosed:
            pass
        except AssertionError as failure:
            self._failure = failure
        finally:
            self._came.set()

    def _take(self, raw: str | bytes) -> None:
        assert isinstance(raw, str), raw
        frame = check_frame(raw)
        self.frames.append(frame)
        self.cursor = frame.get("cursor", self.cursor)
        self._came.set()


def _matches(frame: Frame, what: str | Predicate, fields: Mapping[str, Any]) -> bool:
    fits = frame["type"] == what if isinstance(what, str) else what(frame)
    return fits and all(_field(frame, name) == value for name, value in fields.items())


def _field(frame: Frame, name: str) -> Any:
    """A field of the frame, or of what the frame is about."""
    for place in (frame, frame.get("message"), frame.get("room"), frame.get("user")):
        if isinstance(place, dict) and name in place:
            return place[name]
    return None
