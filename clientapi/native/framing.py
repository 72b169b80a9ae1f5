"""WebSocket frames of a server as bytes, made once however many sockets they go to.

Source: RFC 6455, 5.2 (header; a server does not mask) and 5.5 (control frames).
"""

from typing import Any

import orjson

_TEXT = 0x81  # FIN and opcode 1
_PING = 0x89
_PONG = 0x8A

_MAX_SHORT = 125
_MAX_MEDIUM = 0xFFFF
_MEDIUM_MARK = bytes((_TEXT, 126))
_LONG_MARK = bytes((_TEXT, 127))
_NUMBER_BYTES = 8
_TYPE = b'"type":"'


def json_frame(value: dict[str, Any]) -> bytes:
    """A text frame of JSON, with `type` as its first member. UUIDs may stand in it."""
    return text_frame(orjson.dumps(value))


def type_of(frame: bytes) -> str:
    """The `type` of a frame of `json_frame`, or of the first one of several."""
    begin = frame.index(_TYPE) + len(_TYPE)
    return frame[begin : frame.index(b'"', begin)].decode()


def text_frame(payload: bytes) -> bytes:
    """A whole text frame. payload: UTF-8."""
    length = len(payload)
    if length <= _MAX_SHORT:
        return bytes((_TEXT, length)) + payload
    if length <= _MAX_MEDIUM:
        return _MEDIUM_MARK + length.to_bytes(2, "big") + payload
    return _LONG_MARK + length.to_bytes(8, "big") + payload


def ping_frame(number: int) -> bytes:
    """A ping whose answer carries the number."""
    return bytes((_PING, _NUMBER_BYTES)) + number.to_bytes(_NUMBER_BYTES, "big")


def pong_frame(payload: bytes) -> bytes:
    """The answer to a client's ping. payload: at most 125 bytes, as every control frame."""
    return bytes((_PONG, len(payload))) + payload


def number_of(pong: bytes) -> int | None:
    """The number of the ping that a pong answers; None if it answers none of ours."""
    return int.from_bytes(pong, "big") if len(pong) == _NUMBER_BYTES else None
