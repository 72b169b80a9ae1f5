"""Writing to many: what is written is whole, in order, and never more than a client may have."""

import pytest

from clientapi.native.connection import Backlog, Connection
from clientapi.native.fanout import Fanout
from clientapi.native.framing import json_frame, text_frame, type_of
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
    counter = Metrics().frames_out
    return Fanout(max_pending_bytes=limit, on_slow=slow.append, frames_out=counter)


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

    def test_gathered_frames_are_one_write(self):
        one, other = connection(Socket()), connection(Socket())
        written = fanout([])
        frames = [json_frame({"type": "pong", "ref": str(number)}) for number in range(3)]
        written.gather()
        written.write([one, other], frames[0])
        written.write([one], frames[1])
        written.write([one, other], frames[2])
        assert one.sink.writes == []
        written.flush()
        assert one.sink.writes == [b"".join(frames)]
        assert other.sink.writes == [frames[0] + frames[2]]

    def test_gathered_frames_do_not_get_round_the_limit(self):
        slow = []
        one = connection(Socket())
        written = fanout(slow, limit=100_000)
        written.gather()
        for _ in range(20):
            written.write([one], json_frame({"type": "pong", "ref": "x" * 30_000}))
        written.flush()
        assert one in slow
        assert one.sink.get_write_buffer_size() < 200_000


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
