"""A thousand people in twenty rooms, a hundred messages a second: how soon does everybody know?

An open loop: each message has a moment at which it is due, whatever became of those before it, and
its latency counts from that moment to its arrival at each member, the sender included.
"""

import gc
from dataclasses import dataclass

from bench.audience import Audience, numbered
from bench.deliveries import Flaws, flaw_figures, flaws_of
from bench.figures import NONE, Figure, latency_figures
from bench.lab import Lab
from bench.metering import Meter, usage_figures
from bench.population import Address, Person, groups_of, make_room, register
from bench.schedule import Message, play
from bench.texts import texts
from bench.timeline import numbers_in

CONNECTIONS = 1000
MEMBERS = 50
RATE = 100.0
SECONDS = 60.0
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Hall:
    """A room and where its members stand in the audience."""

    room: str
    first: int
    members: tuple[Person, ...]


async def measure(lab: Lab) -> list[Figure]:
    async with lab.foyer() as server:
        people = await register(server.address, CONNECTIONS)
        halls = await _halls(server.address, people)
        async with Audience(server.address, people) as audience:
            await audience.quiet()
            messages = _messages(halls, lab.count(round(RATE * SECONDS)))
            gc.freeze()
            meter = Meter(server.pid)
            due = await play(audience, messages, rate=RATE)
            await audience.hears(len(messages) * MEMBERS, patience_s=PATIENCE_S)
            usage, errors = meter.read(), audience.errors.total() + audience.closed
            flaws = await _flaws(server.address, audience, halls)
    return [
        Figure("messages", len(messages)),
        Figure("deliveries", audience.deliveries),
        *latency_figures("latency", audience.latencies(due.moments), p95_ms=20, p99_ms=50),
        *flaw_figures(flaws),
        Figure("errors", errors, target=NONE),
        *latency_figures("generator late", due.lateness),
        *usage_figures(usage, len(messages)),
    ]


async def _halls(address: Address, people: list[Person]) -> list[Hall]:
    halls: list[Hall] = []
    for members in groups_of(MEMBERS, people):
        room = await make_room(address, members)
        halls.append(Hall(room, len(halls) * MEMBERS, tuple(members)))
    return halls


def _messages(halls: list[Hall], count: int) -> list[Message]:
    """Room after room, and in each room member after member."""
    written = texts(seed=1)
    messages = []
    for number in range(count):
        turn, place = divmod(number, len(halls))
        sender = halls[place].first + turn % MEMBERS
        messages.append(Message(sender, halls[place].room, numbered(number, next(written))))
    return messages


async def _flaws(address: Address, audience: Audience, halls: list[Hall]) -> Flaws:
    """What each member heard, against the room's timeline as it is stored.

    A message that was sent and is not stored is lost for every member.
    """
    flaws = Flaws()
    for hall in halls:
        stored = await numbers_in(address, hall.room, hall.members[0])
        for listener in audience.listeners[hall.first : hall.first + MEMBERS]:
            flaws += flaws_of(stored, listener.numbers)
    return flaws
