"""Frames on their way to a client: those of one turn of the event loop are written together.

A write is a call of the kernel, which takes longer than everything else that is done for a frame;
and who sends a message gets `message.new` and `message.sent` at the same moment.
"""

import asyncio

_MAX_HELD_BYTES = 65_536


class Turn:
    """The outboxes that were given something in this turn of the event loop."""

    __slots__ = ("_outboxes",)

    def __init__(self) -> None:
        self._outboxes: list[Outbox] = []

    def add(self, outbox: "Outbox") -> None:
        if not self._outboxes:
            asyncio.get_running_loop().call_soon(self._let_others_speak)
        self._outboxes.append(outbox)

    def _let_others_speak(self) -> None:
        """Who was woken in the meantime answers first, so that the answer goes along."""
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        outboxes, self._outboxes = self._outboxes, []
        for outbox in outboxes:
            outbox.flush()


class Outbox:
    """In front of a client's transport. What is held counts as waiting for the client."""

    __slots__ = ("_frames", "_held", "_transport", "_turn")

    def __init__(self, transport: asyncio.Transport, turn: Turn) -> None:
        self._transport = transport
        self._turn = turn
        self._frames: list[bytes] = []
        self._held = 0

    def write(self, data: bytes, /) -> None:
        """Soon; or now, if there is too much of it to be held."""
        if not self._frames:
            self._turn.add(self)
        self._frames.append(data)
        self._held += len(data)
        if self._held >= _MAX_HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is held, if the client is still there."""
        frames, self._frames, self._held = self._frames, [], 0
        if frames and not self._transport.is_closing():
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def get_write_buffer_size(self) -> int:
        return self._held + self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        """Ends the connection; what is held is lost."""
        self._transport.abort()
