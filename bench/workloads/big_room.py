"""A room with ten thousand members: a message must not cost more than in a small one.

What counts here is not time but rows: written for a message and for a join, and read to load the
room after a restart.
"""

from itertools import pairwise
from time import perf_counter

from bench.database import Rows, opened, settled_rows
from bench.figures import NONE, Figure, at_most, latency_figures
from bench.lab import Lab
from bench.population import Address, Person, make_room, register
from bench.rest import RESTClient

MEMBERS = 10_000
JOINS = 20
MESSAGES = 100
MOST_ROWS_TO_LOAD = 100
STATE_TABLES = ("room_state", "memberships", "state_forks", "state_fork_entries", "event_auth")


async def measure(lab: Lab) -> list[Figure]:
    joins, messages = lab.count(JOINS), lab.count(MESSAGES)
    async with lab.foyer() as server, opened(lab.data_dir) as db:
        people = await register(server.address, MEMBERS + 2 * joins)
        members, newcomers = people[:MEMBERS], people[MEMBERS:]
        began = perf_counter()
        room = await make_room(server.address, members, kind="channel", public=True)
        made_s = perf_counter() - began
        small = await make_room(server.address, members[:2], kind="channel", public=True)
        counted = [await settled_rows(db)]
        join_s = await _join(server.address, room, newcomers[:joins])
        counted.append(await settled_rows(db))
        await _join(server.address, small, newcomers[:joins])
        counted.append(await settled_rows(db))
        send_s = await _write(server.address, room, members[:messages])
        counted.append(await settled_rows(db))
    in_big, in_small, by_messages = (after - before for before, after in pairwise(counted))
    loading, second = await _rows_to_load(lab, room, members[-1])
    return [
        Figure("members", MEMBERS),
        Figure("time to make the room", made_s, "s"),
        *latency_figures("join", join_s),
        Figure("rows per join", _written(in_big) / joins),
        Figure("rows per join in a small room", _written(in_small) / joins),
        Figure(
            "more rows per join than in a small room",
            (_written(in_big) - _written(in_small)) / joins,
            target=NONE,
        ),
        *latency_figures("message", send_s),
        Figure("rows per message", _written(by_messages) / messages),
        Figure(
            "state rows per message",
            sum(by_messages.inserted[table] for table in STATE_TABLES) / messages,
            target=NONE,
        ),
        Figure("rows read for the first message", loading, target=at_most(MOST_ROWS_TO_LOAD)),
        Figure("rows read for the second message", second, target=at_most(MOST_ROWS_TO_LOAD)),
    ]


async def _join(address: Address, room: str, newcomers: list[Person]) -> list[float]:
    """One after another; the seconds that each took."""
    seconds = []
    async with RESTClient(address) as client:
        for newcomer in newcomers:
            began = perf_counter()
            await client.call("POST", f"/api/rooms/{room}/join", token=newcomer.token)
            seconds.append(perf_counter() - began)
    return seconds


async def _write(address: Address, room: str, members: list[Person]) -> list[float]:
    """A message of each, one after another; the seconds that each took."""
    seconds = []
    async with RESTClient(address) as client:
        for member in members:
            began = perf_counter()
            path, body = f"/api/rooms/{room}/messages", {"content": "Good morning"}
            await client.call("POST", path, body, token=member.token)
            seconds.append(perf_counter() - began)
    return seconds


async def _rows_to_load(lab: Lab, room: str, member: Person) -> tuple[int, int]:
    """Rows that a server that just started reads for a first message, and for a second one."""
    async with lab.foyer() as server, opened(lab.data_dir) as db:
        counted = [await settled_rows(db)]
        for _ in range(2):
            await _write(server.address, room, [member])
            counted.append(await settled_rows(db))
    first, second = (after - before for before, after in pairwise(counted))
    return first.read.total(), second.read.total()


def _written(rows: Rows) -> int:
    return rows.inserted.total() + rows.updated.total() + rows.deleted.total()
