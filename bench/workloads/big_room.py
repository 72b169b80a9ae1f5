"""A room with ten thousand members: a message must not cost more than in a small one.

What counts here is not time but rows: written for a message and for a join, and read to load the
room after a restart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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
ROOM_TABLES = (*STATE_TABLES, "events", "relations", "room_heads", "stream_positions")
"""What an append may write. When somebody was last seen, and the like, is written elsewhere."""
LOADED_TABLES = (*STATE_TABLES, "events", "rooms", "room_heads", "users")
"""What a room is loaded from. Positions of streams and cursors are read in the background, too."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What joins and messages took, in seconds each and in rows together."""

    made_s: float
    join_s: list[float]
    send_s: list[float]
    joins: Rows
    joins_in_small_room: Rows
    messages: Rows


async def measure(lab: Lab) -> list[Figure]:
    joins, messages = lab.count(JOINS), lab.count(MESSAGES)
    async with lab.foyer() as server, opened(lab.data_dir) as db:
        people = await register(server.address, MEMBERS + 2 * joins)
        members, newcomers = people[:MEMBERS], people[MEMBERS:]
        began = perf_counter()
        room = await make_room(server.address, members, kind="channel", public=True)
        made_s = perf_counter() - began
        small = await make_room(server.address, members[:2], kind="channel", public=True)
        await db.execute("ANALYZE")  # as autovacuum does within a minute
        counted = [await settled_rows(db)]
        join_s = await _join(server.address, room, newcomers[:joins])
        counted.append(await settled_rows(db))
        await _join(server.address, small, newcomers[joins:])
        counted.append(await settled_rows(db))
        send_s = await _write(server.address, room, members[:messages])
        counted.append(await settled_rows(db))
    changes = Changes(made_s, join_s, send_s, *(b - a for a, b in pairwise(counted)))
    return _figures(changes, await _rows_to_load(lab, room, members[-1]))


def _figures(changes: Changes, loading: tuple[int, int]) -> list[Figure]:
    joins, messages = len(changes.join_s), len(changes.send_s)
    per_join = _written(changes.joins, ROOM_TABLES) / joins
    per_join_in_small = _written(changes.joins_in_small_room, ROOM_TABLES) / joins
    return [
        Figure("members", MEMBERS),
        Figure("time to make the room", changes.made_s, "s"),
        *latency_figures("join", changes.join_s),
        Figure("rows per join", per_join, target=at_most(per_join_in_small)),
        Figure("rows per join in a small room", per_join_in_small),
        Figure("rows read per join", _read(changes.joins) / joins),
        Figure("rows read per join in a small room", _read(changes.joins_in_small_room) / joins),
        *latency_figures("message", changes.send_s),
        Figure("rows per message", _written(changes.messages, ROOM_TABLES) / messages),
        Figure(
            "state rows per message",
            _written(changes.messages, STATE_TABLES) / messages,
            target=NONE,
        ),
        Figure("rows read for the first message", loading[0], target=at_most(MOST_ROWS_TO_LOAD)),
        Figure("rows read for the second message", loading[1], target=at_most(MOST_ROWS_TO_LOAD)),
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
    return _read(first), _read(second)


def _read(rows: Rows) -> int:
    return sum(rows.read[table] for table in LOADED_TABLES)


def _written(rows: Rows, tables: Iterable[str]) -> int:
    changes = (rows.inserted, rows.updated, rows.deleted)
    return sum(change[table] for change in changes for table in tables)
