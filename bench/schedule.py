"""Messages at a fixed rate, whatever becomes of them."""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from bench.audience import Audience, send_frame


@dataclass(frozen=True, slots=True)
class Message:
    """sender: which of the listeners says it."""

    sender: int
    room: str
    content: str


@dataclass(frozen=True, slots=True)
class Due:
    """When each message was due, and how many seconds later it was really sent."""

    moments: "array[float]" = field(default_factory=lambda: array("d"))
    lateness: "array[float]" = field(default_factory=lambda: array("d"))


async def play(audience: Audience, messages: Sequence[Message], *, rate: float) -> Due:
    """rate: messages a second."""
    frames = [send_frame(message.room, message.content) for message in messages]
    due, begin = Due(), perf_counter()
    for number, (message, frame) in enumerate(zip(messages, frames, strict=True)):
        moment = begin + number / rate
        await _until(moment)
        due.moments.append(moment)
        due.lateness.append(perf_counter() - moment)
        audience.listeners[message.sender].say(frame)
    return due


async def _until(moment: float) -> None:
    """Never returns early, as a timer of the loop, which counts in milliseconds, may."""
    while (wait := moment - perf_counter()) > 0:  # noqa: ASYNC110 - time is what it waits for
        await asyncio.sleep(wait)
