"""Keys of devices under load, on any Matrix homeserver: uploads and claims of one-time keys.

    python -m bench.encryption_load --base-url http://127.0.0.1:8008 --server-pid PID

Devices publish a hundred one-time keys with each upload; then everybody claims a key at once. Keys
are real, signed by the devices that they are of, and made before the clock starts. Nothing is told
from one homeserver to another: it needs open registration, and no rate limits.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from secrets import token_bytes, token_hex
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop
from nacl.bindings import crypto_box_keypair

from bench import report
from bench.figures import percentile
from bench.metering import Meter, Usage
from bench.rest import Answer, RESTClient, head
from homeserver.events import base64
from homeserver.events.signing import SigningKey, sign_json

DEVICES = 100
KEYS_OF_AN_UPLOAD = 100
UPLOADS_EACH = 2
UPLOADERS = 8
CLAIMS_AT_ONCE = 1_000
WAVES = 2
"""How often so many claim at once."""
CLAIMERS = 8
SMALL_CLAIMS = 1_000
"""By few at a time."""
ALGORITHM = "signed_curve25519"
_API = "/_matrix/client/v3"
_PASSWORD = "eight characters and more"

Json = dict[str, Any]
Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A homeserver. postgres_pid: None where its Postgres is among its descendants."""

    base_url: str
    server_pid: int
    postgres_pid: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base_url)
        assert parts.hostname is not None
        return parts.hostname, parts.port or 80

    def meter(self) -> Meter:
        return Meter(self.server_pid, self.postgres_pid)


@dataclass(frozen=True, slots=True)
class Device:
    """A device with an account of its own, and the bodies that it will upload."""

    user_id: str
    device_id: str
    token: str
    identity: bytes
    uploads: Sequence[bytes]


@dataclass(slots=True)
class Measured:
    """What one measurement saw. errors: answers that are wrong."""

    usage: Usage
    seconds: list[float]
    errors: int = 0

    def figures(self) -> dict[str, float]:
        ordered, count = sorted(self.seconds), len(self.seconds)
        return {
            "rate": count / self.usage.seconds,
            "p50_ms": 1000 * percentile(ordered, 0.5),
            "p95_ms": 1000 * percentile(ordered, 0.95),
            "server_cpu_ms": 1000 * self.usage.server / count,
            "postgres_cpu_ms": 1000 * self.usage.postgres / count,
            "load_cpu_ms": 1000 * self.usage.generator / count,
            "other_cores": self.usage.others / self.usage.seconds,
        }


@dataclass(slots=True)
class Findings:
    """Measurements of several turns, by name."""

    turns: dict[str, list[Measured]] = field(default_factory=dict)

    def add(self, turn: dict[str, Measured]) -> None:
        for name, measured in turn.items():
            self.turns.setdefault(name, []).append(measured)

    def summaries(self) -> dict[str, Summary]:
        """Medians of the turns, as the homeserver benchmark writes its own."""
        return {name: _summary(several) for name, several in self.turns.items()}


def _summary(several: Sequence[Measured]) -> Summary:
    figures = [each.figures() for each in several]
    medians = {name: {"median": median(each[name] for each in figures)} for name in figures[0]}
    return {**medians, "error_count": sum(each.errors for each in several)}


async def take_turn(target: Target) -> dict[str, Measured]:
    """With devices that the homeserver has not seen before."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(RESTClient(target.address))
            for _ in range(CLAIMS_AT_ONCE)
        ]
        devices = await _devices(clients[:UPLOADERS])
        uploads = [(each.token, body) for each in devices for body in each.uploads]
        found = {
            f"one-time keys uploaded c={UPLOADERS}": await _uploads(
                target, clients[:UPLOADERS], uploads
            )
        }
        given: set[str] = set()
        found[f"one-time keys claimed c={CLAIMERS}"] = await _claims(
            target, clients[:CLAIMERS], devices, SMALL_CLAIMS, given
        )
        found[f"one-time keys claimed c={CLAIMS_AT_ONCE}"] = await _claims(
            target, clients, devices, WAVES * CLAIMS_AT_ONCE, given
        )
        return found


async def _uploads(
    target: Target, clients: Sequence[RESTClient], uploads: Iterable[tuple[str, bytes]]
) -> Measured:
    requests = [(head("POST", f"{_API}/keys/upload", token), body) for token, body in uploads]

    def is_right(answer: Answer) -> bool:
        return answer.status == 200 and ALGORITHM in answer.body.decode()

    return await _measured(target, clients, requests, is_right)


async def _claims(
    target: Target,
    clients: Sequence[RESTClient],
    devices: Sequence[Device],
    count: int,
    given: set[str],
) -> Measured:
    """Each wants one key, of another device than itself, and counts as wrong without one that
    nobody was given before.
    """
    claimers, wanted = cycle(devices), islice(cycle(devices), 1, None)
    requests = []
    for claimer, of in islice(zip(claimers, wanted, strict=False), count):
        body = {"one_time_keys": {of.user_id: {of.device_id: ALGORITHM}}}
        requests.append((head("POST", f"{_API}/keys/claim", claimer.token), orjson.dumps(body)))

    def is_right(answer: Answer) -> bool:
        keys = _keys_in(answer)
        fresh = len(keys) == 1 and given.isdisjoint(keys)
        given.update(keys)
        return fresh

    return await _measured(target, clients, requests, is_right)


def _keys_in(answer: Answer) -> list[str]:
    """The public keys of an answer to a claim."""
    if answer.status != 200:
        return []
    found = orjson.loads(answer.body)["one_time_keys"]
    return [
        key["key"] for of_user in found.values() for of in of_user.values() for key in of.values()
    ]


async def _measured(
    target: Target,
    clients: Sequence[RESTClient],
    requests: Sequence[tuple[bytes, bytes]],
    is_right: Callable[[Answer], bool],
) -> Measured:
    """A closed loop: each connection sends the next request when it has its answer. What the
    answers say is looked at when all are there.
    """
    waiting = iter(requests)
    seconds: list[float] = []
    answers: list[Answer] = []

    async def sends(client: RESTClient) -> None:
        for request_head, body in waiting:
            began = perf_counter()
            answers.append(await client.request(request_head, body))
            seconds.append(perf_counter() - began)

    meter = target.meter()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(sends(client))
    usage = meter.read()
    return Measured(usage, seconds, sum(not is_right(answer) for answer in answers))


async def _devices(clients: Sequence[RESTClient]) -> list[Device]:
    """Accounts with a device each, whose identity keys are published."""
    run, numbers = token_hex(4), iter(range(DEVICES))

    async def some(client: RESTClient) -> list[Device]:
        return [await _device(client, f"keys-{run}-{number}") for number in numbers]

    return [each for found in await asyncio.gather(*map(some, clients)) for each in found]


async def _device(client: RESTClient, name: str) -> Device:
    account = {"username": name, "password": _PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = await client.call("POST", f"{_API}/register", account)
    device = make_device(answer["user_id"], answer["device_id"], answer["access_token"])
    path = f"{_API}/keys/upload"
    await client.call("POST", path, orjson.loads(device.identity), token=device.token)
    return device


def make_device(user_id: str, device_id: str, token: str, *, uploads: int = UPLOADS_EACH) -> Device:
    """With all the keys that it will upload."""
    key = SigningKey.from_seed(token_bytes(32), f"ed25519:{device_id}")
    names = iter(range(uploads * KEYS_OF_AN_UPLOAD))

    def one_time_keys() -> Json:
        return {
            f"{ALGORITHM}:AAAA{number:04}": sign_json({"key": _curve25519()}, user_id, key)
            for number in islice(names, KEYS_OF_AN_UPLOAD)
        }

    identity = {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            f"curve25519:{device_id}": _curve25519(),
            f"ed25519:{device_id}": base64.encode(key.verify_key.raw),
        },
    }
    return Device(
        user_id,
        device_id,
        token,
        orjson.dumps({"device_keys": sign_json(identity, user_id, key)}),
        [orjson.dumps({"one_time_keys": one_time_keys()}) for _ in range(uploads)],
    )


def _curve25519() -> str:
    """A public key."""
    public, _ = crypto_box_keypair()
    return base64.encode(public)


def table(summaries: dict[str, Summary]) -> str:
    """Markdown."""
    columns = (
        ("rate", "a second"),
        ("p50_ms", "p50 ms"),
        ("p95_ms", "p95 ms"),
        ("server_cpu_ms", "CPU of the server, ms"),
        ("postgres_cpu_ms", "of its PostgreSQL, ms"),
        ("load_cpu_ms", "of the load, ms"),
        ("other_cores", "other cores"),
    )
    lines = [
        f"| | {' | '.join(title for _, title in columns)} | errors |",
        f"| --- |{' --- |' * (len(columns) + 1)}",
    ]
    for name, summary in summaries.items():
        cells = [f"{summary[key]['median']:,.3g}" for key, _ in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {summary['error_count']} |")
    return "\n".join(lines)


async def _measure(target: Target, turns: int) -> Findings:
    findings = Findings()
    for _ in range(turns):
        findings.add(await take_turn(target))
    return findings


def main() -> int:
    """The exit status: 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.encryption_load", description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--postgres-pid", type=int, help="unless the server is its ancestor")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    target = Target(options.base_url, options.server_pid, options.postgres_pid)
    summaries = uvloop.run(_measure(target, options.repeat)).summaries()
    print(f"{report.machine()}; median of {options.repeat}\n\n{table(summaries)}")
    return 1 if any(each["error_count"] for each in summaries.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
