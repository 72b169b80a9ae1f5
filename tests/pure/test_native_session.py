"""Frames of native clients: seed section 1, "Client → Server Events"."""

import json
from uuid import UUID, uuid4

import pytest

from clientapi.native.session import Farewell, Limits, Refusal, Session
from schema.wire import client_frames as frames
from schema.wire.errors import CloseCode

ROOM = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
MESSAGE = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
LIMITS = Limits(max_frame_bytes=1000, frames_per_second=10.0, frames_burst=5)


def session(limits: Limits = LIMITS) -> Session:
    return Session(limits, now=0.0)


def text(value) -> bytes:
    return json.dumps(value).encode()


def refused(outcome) -> dict:
    assert isinstance(outcome, Refusal)
    return outcome.frame


class TestFramesOfTheSeed:
    def test_a_message_is_sent(self):
        call = session().text(
            text({"type": "message.send", "room_id": str(ROOM), "content": "Hello world"}), 0.0
        )
        assert call == frames.MessageSend(
            type="message.send", room_id=ROOM, content="Hello world", reply_to=None
        )

    def test_a_message_answers_another(self):
        raw = {
            "type": "message.send",
            "room_id": str(ROOM),
            "content": "Hello world",
            "reply_to": str(MESSAGE),
        }
        call = session().text(text(raw), 0.0)
        assert isinstance(call, frames.MessageSend)
        assert call.reply_to == MESSAGE

    @pytest.mark.parametrize(
        ("raw", "model"),
        [
            ({"type": "typing.start", "room_id": str(ROOM)}, frames.TypingStart),
            ({"type": "typing.stop", "room_id": str(ROOM)}, frames.TypingStop),
            (
                {"type": "message.read", "room_id": str(ROOM), "message_id": str(MESSAGE)},
                frames.MessageRead,
            ),
            ({"type": "ping"}, frames.Ping),
        ],
    )
    def test_every_other_frame_is_understood(self, raw, model):
        assert isinstance(session().text(text(raw), 0.0), model)

    @pytest.mark.parametrize("status", ["online", "away", "busy", "offline"])
    def test_there_are_four_statuses(self, status):
        call = session().text(text({"type": "presence.update", "status": status}), 0.0)
        assert isinstance(call, frames.PresenceUpdate)
        assert call.status == status


class TestRef:
    def test_it_comes_with_the_call(self):
        call = session().text(text({"type": "ping", "ref": "7"}), 0.0)
        assert isinstance(call, frames.Ping)
        assert call.ref == "7"

    def test_a_refused_frame_has_it_in_its_error(self):
        frame = {"type": "message.send", "room_id": str(ROOM), "ref": "my-ref"}
        assert refused(session().text(text(frame), 0.0))["ref"] == "my-ref"

    def test_an_unknown_frame_has_it_in_its_error(self):
        error = refused(session().text(text({"type": "message.sing", "ref": "a"}), 0.0))
        assert (error["code"], error["ref"]) == ("UNKNOWN_FRAME", "a")

    @pytest.mark.parametrize("ref", [5, None, "", "x" * 65, ["a"]])
    def test_one_that_is_none_is_not_echoed(self, ref):
        error = refused(session().text(text({"type": "nothing", "ref": ref}), 0.0))
        assert "ref" not in error


class TestBadFrames:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"hello",
            b"{",
            b'{"type": "ping"',
            b'"ping"',
            b"[]",
            b"null",
            b"{}",
            b'{"kind": "ping"}',
            b"\xff\xfe",
            b'{"type": "ping", "ref": "\xff"}',
            b'{"type":' * 5000,
        ],
    )
    def test_what_is_no_frame_is_refused(self, raw):
        big = Limits(max_frame_bytes=100_000, frames_per_second=10, frames_burst=5)
        assert refused(session(big).text(raw, 0.0))["code"] == "INVALID_FRAME"

    def test_a_binary_frame_is_refused(self):
        assert refused(session().binary(0.0))["code"] == "INVALID_FRAME"

    @pytest.mark.parametrize("name", ["message.new", "hello", "PING", "", 5, None, {}])
    def test_other_types_are_unknown(self, name):
        error = refused(session().text(text({"type": name}), 0.0))
        assert error["code"] in ("UNKNOWN_FRAME", "INVALID_FRAME")

    @pytest.mark.parametrize(
        ("frame", "code", "field"),
        [
            ({"type": "message.send", "content": "x"}, "INVALID_INPUT", "room_id"),
            ({"type": "message.send", "room_id": str(ROOM)}, "INVALID_INPUT", "content"),
            (
                {"type": "message.send", "room_id": str(ROOM), "content": 5},
                "INVALID_INPUT",
                "content",
            ),
            (
                {"type": "message.send", "room_id": str(ROOM), "content": "  "},
                "INVALID_INPUT",
                "content",
            ),
            ({"type": "presence.update", "status": "asleep"}, "INVALID_INPUT", "status"),
            ({"type": "typing.start", "room_id": 5}, "INVALID_INPUT", "room_id"),
            (
                {"type": "message.send", "room_id": str(ROOM), "content": "x", "replyto": "y"},
                "INVALID_INPUT",
                "replyto",
            ),
        ],
    )
    def test_a_field_that_cannot_be_used_is_named(self, frame, code, field):
        error = refused(session().text(text(frame), 0.0))
        assert (error["code"], error["field"]) == (code, field)

    def test_an_identifier_that_cannot_be_one_names_nothing(self):
        frame = {"type": "typing.start", "room_id": "the kitchen"}
        error = refused(session().text(text(frame), 0.0))
        assert (error["code"], error["message"]) == ("INVALID_ROOM", "Room not found")

    def test_a_bad_frame_changes_nothing_for_the_next(self):
        one = session()
        one.text(b"nonsense", 0.0)
        assert isinstance(one.text(b'{"type":"ping"}', 0.0), frames.Ping)


class TestSize:
    def test_a_frame_may_have_the_limit(self):
        ping = b'{"type":"ping"}'
        raw = ping + b" " * (LIMITS.max_frame_bytes - len(ping))
        assert isinstance(session().text(raw, 0.0), frames.Ping)

    def test_a_larger_one_ends_the_connection(self):
        outcome = session().text(b" " * (LIMITS.max_frame_bytes + 1), 0.0)
        assert isinstance(outcome, Farewell)
        assert outcome.code is CloseCode.TOO_BIG
        assert outcome.frame["code"] == "TOO_LARGE"


class TestFlooding:
    PING = b'{"type":"ping"}'

    def test_a_burst_is_taken(self):
        one = session()
        for _ in range(LIMITS.frames_burst):
            assert isinstance(one.text(self.PING, 0.0), frames.Ping)

    def test_beyond_it_frames_are_refused_with_a_time(self):
        one = self._spent()
        error = refused(one.text(b'{"type":"ping","ref":"r"}', 0.0))
        assert (error["code"], error["ref"]) == ("RATE_LIMITED", "r")
        assert error["retry_after_ms"] == 100

    def test_after_that_time_one_is_taken_again(self):
        one = self._spent()
        assert isinstance(one.text(self.PING, 0.11), frames.Ping)
        assert isinstance(one.text(self.PING, 0.12), Refusal)

    def test_a_steady_client_is_never_refused(self):
        one = self._spent()
        for tick in range(1, 200):
            assert isinstance(one.text(self.PING, tick * 0.1001), frames.Ping)

    def test_going_on_ends_the_connection(self):
        one = self._spent()
        outcomes = [one.text(self.PING, 0.0) for _ in range(LIMITS.frames_burst + 1)]
        assert all(isinstance(each, Refusal) for each in outcomes[:-1])
        assert isinstance(outcomes[-1], Farewell)
        assert outcomes[-1].code is CloseCode.FLOODING

    def test_a_pause_is_forgiven(self):
        one = self._spent()
        for _ in range(LIMITS.frames_burst):
            one.text(self.PING, 0.0)
        assert isinstance(one.text(self.PING, 10.0), frames.Ping)
        for _ in range(LIMITS.frames_burst - 1):
            one.text(self.PING, 10.0)
        assert isinstance(one.text(self.PING, 10.0), Refusal)

    def test_bad_frames_and_pings_cost_the_same(self):
        one = session()
        one.text(b"nonsense", 0.0)
        one.binary(0.0)
        assert one.control(0.0) is None
        assert one.control(0.0) is None
        one.text(self.PING, 0.0)
        assert isinstance(one.control(0.0), Refusal)

    def _spent(self) -> Session:
        one = session()
        for _ in range(LIMITS.frames_burst):
            one.text(self.PING, 0.0)
        return one


def test_rooms_and_messages_have_names_of_their_own():
    """Two frames of one kind with other identifiers are other calls."""
    one = session()
    first, second = (
        one.text(text({"type": "typing.start", "room_id": str(uuid4())}), 0.0) for _ in range(2)
    )
    assert first != second
