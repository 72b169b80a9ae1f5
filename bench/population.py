"""Accounts and rooms, made as any client makes them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from bench.rest import RESTClient

_AT_ONCE = 8
_PASSWORD = "eight characters and more"

Address = tuple[str, int]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. uuid: the native identifier."""

    uuid: str
    token: str


async def register(address: Address, count: int) -> list[Person]:
    """New accounts on a fresh server."""
    numbers = iter(range(count))

    async def register_some(client: RESTClient) -> list[Person]:
        return [await _register(client, number) for number in numbers]

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RESTClient(address)) for _ in range(_AT_ONCE)]
        return list(chain(*await asyncio.gather(*map(register_some, clients))))


async def _register(client: RESTClient, number: int) -> Person:
    account = {
        "email": f"person{number}@example.org",
        "password": _PASSWORD,
        "name": f"Person {number}",
    }
    answer = await client.call("POST", "/api/auth/register", account)
    return Person(answer["user"]["id"], answer["token"])


async def make_room(
    address: Address, members: Sequence[Person], *, kind: str = "group", **more: Any
) -> str:
    """The identifier of a new room with these members, made by the first of them."""
    owner, *others = members
    room = {"type": kind, "members": [each.uuid for each in others], **more}
    if kind != "direct":
        room.setdefault("name", "Room")
    async with RESTClient(address) as client:
        answer = await client.call("POST", "/api/rooms", room, token=owner.token)
    return str(answer["id"])


def groups_of(size: int, items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
