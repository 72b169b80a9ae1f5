"""Somebody in two hundred encrypted rooms, with five thousand devices around, who syncs.

What counts is what a sync costs the server; that it asks a fixed number of queries is shown by
tests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter
from typing import Any
from urllib.parse import quote

import orjson

from bench.encryption_load import Device, make_device
from bench.figures import Figure, percentile
from bench.lab import Lab
from bench.metering import Meter
from bench.population import Address, Person, make_room, register
from bench.rest import RESTClient

PEOPLE = 1_000
DEVICES_EACH = 5
ROOMS = 200
IN_A_ROOM = 25
REPEATS = 20
_AT_ONCE = 8
_API = "/_matrix/client/v3"
_SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
_PASSWORD = "eight characters and more"
_LAZY = quote('{"room":{"state":{"lazy_load_members":true}}}')
_WINDOW = {
    "lists": {"all": {"ranges": [[0, 19]], "timeline_limit": 1, "required_state": []}},
    "extensions": {"e2ee": {"enabled": True}, "to_device": {"enabled": True}},
}

Ask = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Cost:
    """What requests of one kind took."""

    seconds: list[float] = field(default_factory=list)
    server: float = 0.0
    postgres: float = 0.0

    def figures(self, name: str) -> list[Figure]:
        count = len(self.seconds)
        return [
            Figure(f"{name}: p50", 1000 * percentile(sorted(self.seconds), 0.5), "ms"),
            Figure(f"{name}: CPU of the server", 1000 * self.server / count, "ms"),
            Figure(f"{name}: CPU of Postgres", 1000 * self.postgres / count, "ms"),
        ]


async def measure(lab: Lab) -> list[Figure]:
    costs: dict[str, Cost] = {}
    async with lab.foyer() as server:
        reader, *people = await register(server.address, PEOPLE + 1)
        devices = await _equip(server.address, people)
        await _make_rooms(server.address, reader, people)
    # Started again, so that its memory holds nothing of them.
    async with lab.foyer() as server, RESTClient(server.address) as client:
        alice = _Reader(client, reader, server.pid, costs)
        await alice.measures(devices, lab.count(REPEATS))
    return list(chain(*(cost.figures(name) for name, cost in costs.items())))


class _Reader:
    """One device, and what its requests cost."""

    def __init__(
        self, client: RESTClient, person: Person, pid: int, costs: dict[str, Cost]
    ) -> None:
        self._client = client
        self._token = person.token
        self._pid = pid
        self._costs = costs
        self._since = ""
        self._pos = ""

    async def measures(self, devices: Sequence[Device], repeats: int) -> None:
        await self._costing("first sync after a start", self._begins)
        for _ in range(repeats):
            await self._costing("first sync", self._begins)
        await self._syncs()
        await self._slides()
        for _ in range(repeats):
            await self._costing("nothing new", self._syncs)
            await self._costing("sliding, nothing new", self._slides)
        ids = sorted({device.user_id for device in devices})
        first = [devices[0]]
        for number in range(repeats):
            await self._change(first, f"one {number}")
            await self._hears(1)
            await self._costing("one user's devices changed", self._syncs)
            await self._costing("sliding, one user's devices changed", self._slides)
        before = self._since
        await self._change(devices[::DEVICES_EACH], "all")
        await self._hears(PEOPLE)
        for _ in range(repeats):
            self._since = before
            await self._costing("everybody's devices changed", self._syncs)
        await self._costing("sliding, everybody's devices changed", self._slides)
        for _ in range(repeats):
            await self._costing("everybody's keys", lambda: self._queries(ids))

    async def _costing(self, name: str, ask: Ask) -> None:
        meter, began = Meter(self._pid), perf_counter()
        await ask()
        cost = self._costs.setdefault(name, Cost())
        cost.seconds.append(perf_counter() - began)
        usage = meter.read()
        cost.server += usage.server
        cost.postgres += usage.postgres

    async def _begins(self) -> None:
        answer = await self._call("GET", f"{_API}/sync?filter={_LAZY}")
        assert len(answer["rooms"]["join"]) == ROOMS
        self._since = answer["next_batch"]

    async def _syncs(self) -> Any:
        answer = await self._call("GET", f"{_API}/sync?filter={_LAZY}&since={self._since}")
        self._since = answer["next_batch"]
        return answer

    async def _hears(self, count: int) -> None:
        """Waits until so many changes can be told; the next sync from there tells them."""
        since = self._since
        while True:
            path = f"{_API}/sync?filter={_LAZY}&since={since}&timeout=1000"
            told = (await self._call("GET", path)).get("device_lists", {"changed": []})
            if len(told["changed"]) >= count:
                return

    async def _slides(self) -> None:
        query = f"?pos={self._pos}" if self._pos else ""
        answer = await self._call("POST", f"{_SLIDING}{query}", _WINDOW)
        self._pos = answer["pos"]

    async def _queries(self, user_ids: Sequence[str]) -> None:
        wanted = {"device_keys": {user_id: [] for user_id in user_ids}}
        answer = await self._call("POST", f"{_API}/keys/query", wanted)
        assert sum(map(len, answer["device_keys"].values())) == PEOPLE * DEVICES_EACH

    async def _change(self, devices: Sequence[Device], name: str) -> None:
        """Devices are called otherwise, which is told like new keys."""
        for device in devices:
            path = f"{_API}/devices/{device.device_id}"
            await self._client.call("PUT", path, {"display_name": name}, token=device.token)

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        return await self._client.call(method, path, body, token=self._token)


async def _equip(address: Address, people: Sequence[Person]) -> list[Device]:
    """Everybody logs in on five devices, and each publishes its keys."""
    numbers = iter(range(len(people)))

    async def some(client: RESTClient) -> list[Device]:
        found = []
        for number in numbers:
            first = await _publish(client, people[number].token)
            login = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": first.user_id},
                "password": _PASSWORD,
            }
            found.append(first)
            for _ in range(DEVICES_EACH - 1):
                answer = await client.call("POST", f"{_API}/login", login)
                found.append(await _publish(client, answer["access_token"]))
        return found

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RESTClient(address)) for _ in range(_AT_ONCE)]
        return list(chain(*await asyncio.gather(*map(some, clients))))


async def _publish(client: RESTClient, token: str) -> Device:
    who = await client.call("GET", f"{_API}/account/whoami", token=token)
    device = make_device(who["user_id"], who["device_id"], token, uploads=0)
    body = orjson.loads(device.identity)
    await client.call("POST", f"{_API}/keys/upload", body, token=token)
    return device


async def _make_rooms(address: Address, owner: Person, people: Sequence[Person]) -> None:
    """Everybody is in five of them."""
    numbers = iter(range(ROOMS))
    content = {"algorithm": "m.megolm.v1.aes-sha2"}

    async def some() -> None:
        for number in numbers:
            begin = number * IN_A_ROOM % len(people)
            await make_room(address, [owner, *people[begin : begin + IN_A_ROOM]])

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    async with RESTClient(address) as client:
        joined = await client.call("GET", f"{_API}/joined_rooms", token=owner.token)
        for room_id in joined["joined_rooms"]:
            path = f"{_API}/rooms/{quote(room_id)}/state/m.room.encryption/"
            await client.call("PUT", path, content, token=owner.token)
