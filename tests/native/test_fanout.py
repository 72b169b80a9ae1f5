"""Writing to many: what is written is whole, in order, and never more than a client may have."""

import asyncio

import pytest

from clientapi.native.connection import Backlog, Connection
from clientapi.native.fanout import Fanout, FrameCounts
from clientapi.native.framing import json_frame, text_frame, type_of
from clientapi.native.outbox import Outbox, Turn
from homeserver.metrics import Metrics


class Socket(Backlog):
    """A transport that keeps what it is given."""

    def __init__(self, *, closing: bool = False) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = closing

    def write(self, data: bytes, /) -> None:
        self.writes.append(data)
        super().write(data)

    def is_closing(self) -> bool:
        return self.closing


def connection(sink) -> Connection:
    made = Connection(number=1, by=None, session=None)
    made.sink = sink
    return made


def fanout(slow, limit=100_000) -> Fanout:
    counts = FrameCounts(Metrics().frames_out)
    return Fanout(max_pending_bytes=limit, on_slow=slow.append, frames_out=counts)


FRAME = json_frame({"type": "pong"})


class TestWriting:
    def test_everybody_who_is_there_gets_it(self):
        sockets = [Socket(), Socket(closing=True), Socket()]
        fanout([]).write([connection(each) for each in sockets], FRAME)
        assert [each.writes for each in sockets] == [[FRAME], [], [FRAME]]

    def test_who_has_too_much_waiting_is_told_of_and_gets_nothing(self):
        slow = []
        lazy, quick = connection(Socket()), connection(Socket())
        lazy.sink.write(b"x" * 101)
        fanout(slow, limit=100).write([lazy, quick], FRAME)
        assert slow == [lazy]
        assert len(lazy.sink.writes) == 1
        assert quick.sink.writes == [FRAME]


class TestAnOutbox:
    """What one turn of the event loop has for a client is one write."""

    async def test_frames_of_one_turn_go_together_and_in_order(self):
        socket = Socket()
        outbox = Outbox(socket, Turn())
        for frame in (b"one", b"two", b"three"):
            outbox.write(frame)
        assert socket.writes == []
        assert outbox.get_write_buffer_size() == len(b"onetwothree")
        await turns(3)
        assert socket.writes == [b"onetwothree"]

    async def test_what_somebody_says_who_was_woken_in_the_turn_goes_along(self):
        socket = Socket()
        outbox = Outbox(socket, Turn())
        committed = asyncio.get_running_loop().create_future()

        async def answer():
            await committed
            outbox.write(b"sent")

        answering = asyncio.create_task(answer())
        await turns(1)
        outbox.write(b"new ")
        committed.set_result(None)
        await answering
        await turns(3)
        assert socket.writes == [b"new sent"]

    async def test_too_much_is_not_held(self):
        socket = Socket()
        outbox = Outbox(socket, Turn())
        for _ in range(3):
            outbox.write(b"x" * 30_000)
        assert socket.writes == [b"x" * 90_000]

    async def test_nothing_is_written_to_who_has_gone(self):
        socket = Socket()
        outbox = Outbox(socket, Turn())
        outbox.write(b"frame")
        socket.closing = True
        await turns(3)
        assert socket.writes == []


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class TestFrames:
    """RFC 6455, 5.2."""

    @pytest.mark.parametrize(
        ("length", "header"),
        [
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ],
    )
    def test_the_length_has_the_shortest_form(self, length, header):
        assert text_frame(b"x" * length) == header + b"x" * length

    def test_the_type_can_be_read_from_the_bytes(self):
        frame = json_frame({"type": "message.new", "message": {"content": '"type":"other"'}})
        assert type_of(frame) == "message.new"
