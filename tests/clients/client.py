"""What a person can do with any client, and what the client then shows.

    alice, bob = await stage.cast("nio", "js")
    await alice.creates("Lunch", bob)
    await bob.accepts("Lunch")
    await alice.says("Lunch", "hello")
    await bob.shows(["hello"], "texts", "Lunch")

Rooms, messages and people are called what a person calls them: by name, by text. Each client finds
them in what it has itself, so that nothing is compared but what is on the screens.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from tests.clients.seen import NotSeenYet
from tests.support.devices import PATIENCE_S

PASSWORD = "correct horse battery staple"

_people = count(1)


class Client(ABC):
    """A person with a client. `user_id`: the Matrix user ID."""

    def __init__(self, *, url: str, name: str, tag: str) -> None:
        number = next(_people)
        self.url = url
        self.localpart = f"{name}-{tag}{number}"
        self.name = f"{name.capitalize()} {tag}{number}"
        self.user_id = ""
        self.complaints: list[str] = []
        """What the client could not read or do, by itself."""
        self._bell = asyncio.Event()

    def rings(self) -> None:
        """Something came: whoever waits looks again."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def shows(self, wanted: Any, look: str, *arguments: Any) -> None:
        """Waits until the client shows this. look: name of one of the methods that look."""
        await self._looks(lambda seen: bool(seen == wanted), look, *arguments)

    async def has(self, room: str) -> None:
        """Waits until the room is there."""
        await self._looks(lambda seen: room in seen, "rooms")

    async def _looks(self, suffices: Callable[[Any], bool], look: str, *arguments: Any) -> None:
        """Looks again whenever something came."""
        seen = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    assert not self.complaints, self.complaints
                    bell = self._bell
                    with suppress(NotSeenYet):
                        seen = await getattr(self, look)(*arguments)
                        if suffices(seen):
                            return
                    await bell.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name}: {look}{arguments} is {seen}") from None

    # Coming and going

    @abstractmethod
    async def registers(self) -> None:
        """Makes an account with the person's name, and is logged in."""

    @abstractmethod
    async def logs_in(self) -> None:
        """A new session, with the password."""

    @abstractmethod
    async def starts(self) -> None:
        """Returns when the client has everything that there is so far, and listens."""

    @abstractmethod
    async def closes(self) -> None:
        """Raises AssertionError if the client could not understand something."""

    # Rooms

    @abstractmethod
    async def creates(self, room: str, *invited: "Client") -> None: ...

    @abstractmethod
    async def invites(self, room: str, person: "Client") -> None: ...

    @abstractmethod
    async def accepts(self, room: str) -> None:
        """Joins a room that the person was invited to."""

    @abstractmethod
    async def leaves(self, room: str) -> None: ...

    @abstractmethod
    async def removes(self, room: str, person: "Client") -> None: ...

    @abstractmethod
    async def sets_topic(self, room: str, topic: str) -> None: ...

    # Messages

    @abstractmethod
    async def says(self, room: str, text: str) -> None: ...

    @abstractmethod
    async def edits(self, room: str, text: str, new: str) -> None: ...

    @abstractmethod
    async def replies(self, room: str, to: str, text: str) -> None: ...

    @abstractmethod
    async def says_in_thread(self, room: str, root: str, text: str) -> None: ...

    @abstractmethod
    async def reacts(self, room: str, text: str, key: str) -> None: ...

    @abstractmethod
    async def takes_back(self, room: str, text: str, key: str) -> None:
        """A reaction of his own."""

    @abstractmethod
    async def deletes(self, room: str, text: str) -> None: ...

    # Of the moment

    @abstractmethod
    async def reads(self, room: str, text: str) -> None: ...

    @abstractmethod
    async def types(self, room: str) -> None: ...

    @abstractmethod
    async def stops_typing(self, room: str) -> None: ...

    @abstractmethod
    async def is_now(self, status: str) -> None:
        """status: online, unavailable or offline."""

    # What the client shows

    @abstractmethod
    async def rooms(self) -> list[str]: ...

    @abstractmethod
    async def invitations(self) -> list[str]: ...

    @abstractmethod
    async def topic(self, room: str) -> str | None: ...

    @abstractmethod
    async def members(self, room: str) -> list[str]:
        """Names in order."""

    @abstractmethod
    async def texts(self, room: str) -> list[str]:
        """The timeline without threads, as it is after edits and deletions."""

    @abstractmethod
    async def thread(self, room: str, root: str) -> list[str]: ...

    @abstractmethod
    async def replied_to(self, room: str, text: str) -> str | None: ...

    @abstractmethod
    async def reactions(self, room: str, text: str) -> dict[str, int]: ...

    @abstractmethod
    async def has_read(self, room: str, person: str, text: str) -> bool: ...

    @abstractmethod
    async def writing(self, room: str) -> list[str]: ...

    @abstractmethod
    async def unread(self, room: str) -> int: ...

    @abstractmethod
    async def presence(self, person: str) -> str | None: ...


async def all_show(clients: Sequence[Client], wanted: Any, look: str, *arguments: Any) -> None:
    """Each of them does, sooner or later."""
    for each in clients:
        await each.shows(wanted, look, *arguments)
