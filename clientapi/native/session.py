"""What one client may send, and what its frames mean: frames in, calls or refusals out.

Pure: the clock is an argument, and nothing is sent here.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from clientapi.errors import Problem, frame_problem
from schema.wire.client_frames import ClientFrame, parse_client_frame
from schema.wire.errors import CloseCode, ErrorCode

MAX_REF_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection. `frames_per_second` is an average, `frames_burst` what comes at once."""

    max_frame_bytes: int
    frames_per_second: float
    frames_burst: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A frame that cannot be used. The client is told why, and the connection stays."""

    frame: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Farewell:
    """The connection ends, after the frame."""

    code: CloseCode
    frame: dict[str, Any]


Outcome = ClientFrame | Refusal | Farewell


class Session:
    """One connection's frames: their size and shape, and how fast they come.

    Frames are paid from a bucket of `frames_burst` that fills at `frames_per_second`. A frame that
    cannot be paid is refused; a client that goes on until as many were refused as the bucket
    holds, without pausing long enough to let it fill, is flooding and is disconnected.
    """

    __slots__ = ("_as_of", "_in_bucket", "_limits", "_refused")

    def __init__(self, limits: Limits, *, now: float) -> None:
        self._limits = limits
        self._in_bucket = float(limits.frames_burst)
        self._as_of = now
        self._refused = 0

    def text(self, raw: bytes, now: float) -> Outcome:
        """A text frame came. now: seconds of a clock that never runs backwards."""
        if len(raw) > self._limits.max_frame_bytes:
            return self._too_big()
        if not self._pay(now):
            return self._unpaid(ref_of(raw))
        try:
            return parse_client_frame(raw)
        except ValidationError as error:
            return Refusal(frame_problem(error).frame(ref_of(raw)))

    def binary(self, now: float) -> Outcome:
        """A binary frame came: there are none in this protocol."""
        if not self._pay(now):
            return self._unpaid(None)
        return _refused(ErrorCode.INVALID_FRAME, "Frames are text: JSON in UTF-8")

    def control(self, now: float) -> Refusal | Farewell | None:
        """A ping came, or a pong that nobody asked for. They cost what frames cost."""
        return None if self._pay(now) else self._unpaid(None)

    def _pay(self, now: float) -> bool:
        limits = self._limits
        filled = self._in_bucket + (now - self._as_of) * limits.frames_per_second
        self._as_of = now
        if filled >= limits.frames_burst:
            filled = float(limits.frames_burst)
            self._refused = 0
        if filled < 1:
            self._in_bucket = filled
            return False
        self._in_bucket = filled - 1
        return True

    def _unpaid(self, ref: str | None) -> Refusal | Farewell:
        self._refused += 1
        missing = 1 - self._in_bucket
        problem = Problem(
            code=ErrorCode.RATE_LIMITED,
            message="Too many frames",
            retry_after_ms=max(1, round(missing / self._limits.frames_per_second * 1000)),
        )
        if self._refused > self._limits.frames_burst:
            return Farewell(CloseCode.FLOODING, problem.frame(ref))
        return Refusal(problem.frame(ref))

    def _too_big(self) -> Farewell:
        sentence = f"A frame has at most {self._limits.max_frame_bytes} bytes"
        problem = Problem(code=ErrorCode.TOO_LARGE, message=sentence)
        return Farewell(CloseCode.TOO_BIG, problem.frame())


def ref_of(raw: bytes) -> str | None:
    """The `ref` of a frame that could not be used, if one can be read."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    ref = frame.get("ref") if isinstance(frame, dict) else None
    return ref if isinstance(ref, str) and 0 < len(ref) <= MAX_REF_LENGTH else None


def _refused(code: ErrorCode, sentence: str) -> Refusal:
    return Refusal(Problem(code=code, message=sentence).frame())
