"""matrix-js-sdk, run by Node: what it shows comes from its own models."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from itertools import count
from pathlib import Path
from typing import Any

from tests.clients.client import PASSWORD, Client
from tests.clients.seen import NotSeenYet

_DRIVER = Path(__file__).parent / "js" / "driver.mjs"
_LONGEST_LINE = 16 * 2**20


class Node:
    """A process in which any number of people have the library."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._people: dict[str, JsClient] = {}

    async def enters(self, person: "JsClient") -> None:
        if self._process is None:
            # What the library logs is shown by pytest if a test fails.
            self._process = await asyncio.create_subprocess_exec(
                "node", str(_DRIVER), stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
            )
            self._reader = asyncio.create_task(self._read(self._process))
        self._people[person.name] = person
        await self.asks(person.name, "enters", person.url)

    async def asks(self, who: str, verb: str, *given: Any) -> Any:
        """Raises AssertionError with what the library raised."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "who": who, "do": verb, "with": given})
        self._process.stdin.write(line.encode() + b"\n")
        return await answer

    async def closes(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reader

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            message = json.loads(line)
            if "changed" in message:
                self._people[message["who"]].rings()
            else:
                self._is_answered(message)
        for answer in self._asked.values():
            answer.set_exception(AssertionError("Node ended"))

    def _is_answered(self, message: dict[str, Any]) -> None:
        answer = self._asked.pop(message["id"])
        if "error" in message:
            failure = NotSeenYet if message["unseen"] else AssertionError
            answer.set_exception(failure(message["error"]))
        else:
            answer.set_result(message["is"])


class JsClient(Client):
    """`js`: by `/sync`; `sliding`: by simplified sliding sync."""

    sliding = False

    def __init__(self, *, url: str, name: str, tag: str, node: Node) -> None:
        super().__init__(url=url, name=name, tag=tag)
        self._node = node

    async def asks(self, verb: str, *given: Any) -> Any:
        return await self._node.asks(self.name, verb, *given)

    async def registers(self) -> None:
        await self._node.enters(self)
        self.user_id = await self.asks("registers", self.localpart, PASSWORD, self.name)

    async def logs_in(self) -> None:
        await self._node.enters(self)
        self.user_id = await self.asks("logsIn", self.localpart, PASSWORD)

    async def starts(self) -> None:
        await self.asks("starts", self.sliding)

    async def closes(self) -> None:
        refusals = await self.asks("stops")
        assert not refusals, refusals

    # Rooms

    async def creates(self, room: str, *invited: Client, **more: Any) -> None:
        await self.asks("creates", room, [each.user_id for each in invited], more)

    async def invites(self, room: str, person: Client) -> None:
        await self.asks("invites", room, person.user_id)

    async def accepts(self, room: str) -> None:
        await self.asks("accepts", room)

    async def leaves(self, room: str) -> None:
        await self.asks("leaves", room)

    async def removes(self, room: str, person: Client) -> None:
        await self.asks("removes", room, person.user_id)

    async def sets_topic(self, room: str, topic: str) -> None:
        await self.asks("setsTopic", room, topic)

    # Messages

    async def says(self, room: str, text: str) -> None:
        await self.asks("says", room, text)

    async def edits(self, room: str, text: str, new: str) -> None:
        await self.asks("edits", room, text, new)

    async def replies(self, room: str, to: str, text: str) -> None:
        await self.asks("replies", room, to, text)

    async def says_in_thread(self, room: str, root: str, text: str) -> None:
        await self.asks("saysInThread", room, root, text)

    async def reacts(self, room: str, text: str, key: str) -> None:
        await self.asks("reacts", room, text, key)

    async def takes_back(self, room: str, text: str, key: str) -> None:
        await self.asks("takesBack", room, text, key)

    async def deletes(self, room: str, text: str) -> None:
        await self.asks("deletes", room, text)

    # Of the moment

    async def reads(self, room: str, text: str) -> None:
        await self.asks("reads", room, text)

    async def types(self, room: str) -> None:
        await self.asks("types", room, True)

    async def stops_typing(self, room: str) -> None:
        await self.asks("types", room, False)

    async def is_now(self, status: str) -> None:
        await self.asks("isNow", status)

    # What it shows

    async def rooms(self) -> list[str]:
        return list(await self.asks("rooms", "join"))

    async def invitations(self) -> list[str]:
        return list(await self.asks("rooms", "invite"))

    async def knocks(self) -> list[str]:
        return list(await self.asks("rooms", "knock"))

    async def state(self, room: str, event_type: str, state_key: str) -> Any:
        return await self.asks("state", room, event_type, state_key)

    async def inviter_of(self, room: str) -> str | None:
        """Who invited to a chat with him alone."""
        return await self.asks("inviterOf", room)

    async def topic(self, room: str) -> str | None:
        return await self.asks("topic", room)

    async def members(self, room: str) -> list[str]:
        return list(await self.asks("members", room))

    async def last(self, room: str) -> str | None:
        return await self.asks("last", room)

    async def texts(self, room: str) -> list[str]:
        return list(await self.asks("texts", room))

    async def thread(self, room: str, root: str) -> list[str]:
        return list(await self.asks("thread", room, root))

    async def replied_to(self, room: str, text: str) -> str | None:
        return await self.asks("repliedTo", room, text)

    async def reactions(self, room: str, text: str) -> dict[str, int]:
        return dict(await self.asks("reactions", room, text))

    async def has_read(self, room: str, person: str, text: str) -> bool:
        return bool(await self.asks("hasRead", room, person, text))

    async def writing(self, room: str) -> list[str]:
        return list(await self.asks("writing", room))

    async def unread(self, room: str) -> int:
        return int(await self.asks("unread", room))

    async def unread_in_thread(self, room: str, root: str) -> int:
        return int(await self.asks("unreadInThread", room, root))

    async def presence(self, person: str) -> str | None:
        return await self.asks("presence", person)


class SlidingClient(JsClient):
    sliding = True
