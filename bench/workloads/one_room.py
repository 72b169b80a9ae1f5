"""One room with a thousand people who all listen: how soon does the last one know?"""

import gc
from collections.abc import Sequence

from bench.audience import Audience, numbered
from bench.deliveries import Flaws, flaw_figures, flaws_of
from bench.figures import NONE, Figure, latency_figures
from bench.lab import Lab
from bench.metering import Meter, usage_figures
from bench.population import make_room, register
from bench.schedule import Message, play
from bench.texts import texts

MEMBERS = 1000
MESSAGES = 20
RATE = 2.0
PATIENCE_S = 10.0


async def measure(lab: Lab) -> list[Figure]:
    async with lab.foyer() as server:
        people = await register(server.address, MEMBERS)
        room = await make_room(server.address, people)
        written = texts(seed=2)
        messages = [
            Message(number, room, numbered(number, next(written)))
            for number in range(lab.count(MESSAGES))
        ]
        async with Audience(server.address, people) as audience:
            await audience.quiet()
            gc.freeze()
            meter = Meter(server.pid)
            due = await play(audience, messages, rate=RATE)
            await audience.hears(len(messages) * MEMBERS, patience_s=PATIENCE_S)
            usage, errors = meter.read(), audience.errors.total() + audience.closed
    in_order = range(len(messages))
    flaws = sum((flaws_of(in_order, each.numbers) for each in audience.listeners), Flaws())
    return [
        Figure("messages", len(messages)),
        Figure("deliveries", audience.deliveries),
        *latency_figures("any member", audience.latencies(due.moments), p95_ms=60),
        *latency_figures("last member", _until_last(audience, due.moments), p95_ms=60),
        *flaw_figures(flaws),
        Figure("errors", errors, target=NONE),
        *latency_figures("generator late", due.lateness),
        *usage_figures(usage, len(messages)),
    ]


def _until_last(audience: Audience, moments: Sequence[float]) -> list[float]:
    """Seconds of each message that came to anybody until it came to the last who heard it."""
    last = [0.0] * len(moments)
    for listener in audience.listeners:
        for number, time in zip(listener.numbers, listener.times, strict=True):
            last[number] = max(last[number], time)
    return [time - moment for time, moment in zip(last, moments, strict=True) if time]
