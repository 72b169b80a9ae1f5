"""Where plays are performed: a server, and people who come with whatever client."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

from tests.clients.client import Client
from tests.clients.js_client import JsClient, Node, SlidingClient
from tests.clients.mautrix_client import MautrixClient
from tests.clients.native_client import NativeClient
from tests.clients.nio_client import NioClient

MATRIX = ("nio", "mautrix", "js")
"""Clients of the Matrix API with a loop on `/sync`."""

_NAMES = ("alice", "bob", "carol", "dave", "erin")


class Stage:
    """People who are on the stage have an account, and a client that runs."""

    def __init__(self, url: str) -> None:
        self._node = Node()
        self._people: list[Client] = []
        self.url = url
        self.tag = token_hex(3)
        self._clients: dict[str, Callable[[str], Client]] = {
            "nio": lambda name: NioClient(url=url, name=name, tag=self.tag),
            "mautrix": lambda name: MautrixClient(url=url, name=name, tag=self.tag),
            "native": lambda name: NativeClient(url=url, name=name, tag=self.tag),
            "js": lambda name: JsClient(url=url, name=name, tag=self.tag, node=self._node),
            "sliding": lambda name: SlidingClient(
                url=url, name=name, tag=self.tag, node=self._node
            ),
        }

    async def cast(self, *kinds: str) -> Sequence[Client]:
        """One person with each of these clients: Alice, Bob, Carol, …"""
        people = [await self.enters(kind, name) for kind, name in zip(kinds, _NAMES, strict=False)]
        for each in people:
            await each.starts()
        return people

    async def enters(self, kind: str, name: str) -> Client:
        """Somebody whose client does not run yet."""
        person = self._clients[kind](name)
        self._people.append(person)
        await person.registers()
        return person

    async def comes_back(self, kind: str, person: Client) -> Client:
        """The same person with another device, which has only the password."""
        again = self._clients[kind](person.name)
        again.localpart, again.name = person.localpart, person.name
        self._people.append(again)
        await again.logs_in()
        await again.starts()
        return again

    async def room(self, name: str, people: Sequence[Client]) -> None:
        """A room that the first one makes and the others come to."""
        first, *others = people
        await first.creates(name, *others)
        for each in others:
            await each.shows([name], "invitations")
            await each.accepts(name)
        everybody = sorted(each.name for each in people)
        for each in people:
            await each.shows(everybody, "members", name)

    async def closes(self) -> None:
        """Every client understood everything."""
        for each in self._people:
            await each.closes()

    async def clears(self) -> None:
        await self._node.closes()


@asynccontextmanager
async def stage(url: str) -> AsyncIterator[Stage]:
    """See the top of the module."""
    built = Stage(url)
    try:
        yield built
        await built.closes()
    finally:
        await built.clears()
