"""What everybody can do in an encrypted room, whatever they write with.

`our_user.py`, `js_user.py`, `nio_user.py` and `mautrix_user.py` are people; each waits until its
library shows what is asked for.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support.olm_session import unique

LIBRARIES = ("ours", "js", "nio", "mautrix")


@dataclass(frozen=True)
class Heard:
    """A message that was encrypted and could be read. session: of Megolm."""

    sender: str
    session: str
    content: Mapping[str, Any]


class Person(Protocol):
    user_id: str
    device_id: str

    async def joins(self, room_id: str) -> None: ...

    async def says(self, room_id: str, text: str) -> str:
        """The event's ID."""

    async def hears(self, room_id: str, text: str) -> Heard: ...

    async def cannot_read(self, room_id: str, event_id: str) -> None:
        """It is there, and its key is not."""

    async def sends_file(self, room_id: str, name: str, data: bytes) -> None:
        """Encrypted and uploaded by the library's own means."""

    async def reads_file(self, room_id: str, name: str) -> bytes: ...

    async def sees_member(self, room_id: str, user_id: str, membership: str = "join") -> None: ...

    async def sees_devices(self, user_id: str, number: int) -> None:
        """So many of a user's devices that encrypt."""


Entering = Callable[[str, str, Path], AbstractAsyncContextManager[Person]]


@asynccontextmanager
async def of_each_library(url: str, directory: Path) -> AsyncIterator[dict[str, Person]]:
    """A new account with each."""
    async with AsyncExitStack() as stack:
        people = {}
        for library in LIBRARIES:
            entering = enters(library, url, unique(library), directory)
            people[library] = await stack.enter_async_context(entering)
        yield people


def enters(
    library: str, url: str, localpart: str, directory: Path
) -> AbstractAsyncContextManager[Any]:
    """A new account."""
    from tests.e2e import js_user, mautrix_user, nio_user, our_user  # noqa: PLC0415 - they need us

    match library:
        case "ours":
            return our_user.OurUser.enters(url, localpart, directory)
        case "js":
            return js_user.JsUser.enters(url, localpart)
        case "nio":
            return nio_user.NioUser.enters(url, localpart, directory)
        case _:
            return mautrix_user.MautrixUser.enters(url, localpart)
