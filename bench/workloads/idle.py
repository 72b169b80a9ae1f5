"""What the server takes when nothing happens: time to start, memory, memory of a connection."""

from bench.audience import Audience
from bench.figures import NONE, Figure, at_most
from bench.lab import Lab
from bench.metering import Meter, rss_bytes, usage_figures
from bench.population import Person, groups_of, make_room, register

CONNECTIONS = 5000
MEMBERS = 50
MIB = 1024 * 1024


async def measure(lab: Lab) -> list[Figure]:
    """The connections are each of another person, fifty in a room."""
    people: list[Person] = []
    async with lab.foyer() as server:
        fresh = [
            Figure("ready, fresh database", server.ready_s, "s", at_most(6)),
            Figure(
                "memory after the first start", rss_bytes(server.pid) / MIB, "MiB", at_most(120)
            ),
        ]
        people += await register(server.address, CONNECTIONS)
        for members in groups_of(MEMBERS, people):
            await make_room(server.address, members)
    async with lab.foyer() as server:
        started = rss_bytes(server.pid)
        ready = Figure("ready, existing database", server.ready_s, "s", at_most(3))
        async with Audience(server.address, people) as audience:
            await audience.quiet()
            meter, connected = Meter(server.pid), rss_bytes(server.pid)
            await audience.hears(1, patience_s=lab.seconds(30))
            usage = meter.read()
            later = rss_bytes(server.pid)
            closed = audience.closed
    return [
        *fresh,
        ready,
        Figure("memory after a later start", started / MIB, "MiB", at_most(120)),
        Figure("connections", CONNECTIONS),
        Figure("closed", closed, target=NONE),
        Figure(
            "memory per connection", (connected - started) / CONNECTIONS / 1024, "KiB", at_most(60)
        ),
        Figure(
            "memory per connection, later",
            (later - started) / CONNECTIONS / 1024,
            "KiB",
            at_most(60),
        ),
        *usage_figures(usage, 0),
    ]
