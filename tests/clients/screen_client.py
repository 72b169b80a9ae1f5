"""A client whose library passes events on: what it shows is on screens of ours."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from tests.clients import contents
from tests.clients.client import Client
from tests.clients.screen import Screen
from tests.clients.seen import the


class ScreenClient(Client):
    """Screens of the rooms that the person is in, by room ID."""

    def __init__(self, *, url: str, name: str, tag: str) -> None:
        super().__init__(url=url, name=name, tag=tag)
        self.screens: dict[str, Screen] = {}
        self.invited: dict[str, str] = {}
        """Names of the rooms that the person is invited to."""
        self.statuses: dict[str, str] = {}

    @abstractmethod
    async def sends(self, room_id: str, event_type: str, content: dict[str, Any]) -> None: ...

    @abstractmethod
    async def redacts(self, room_id: str, event_id: str) -> None: ...

    @abstractmethod
    async def sets(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        """State with the empty state key."""

    def room(self, name: str) -> str:
        """The ID of a room by its name. Raises StopIteration."""
        return the(room_id for room_id, each in self.screens.items() if each.name == name)

    def screen(self, name: str) -> Screen:
        return self.screens[self.room(name)]

    def user(self, person: str) -> str:
        """The ID of somebody by his name, as one of the rooms has it."""
        return the(
            user_id
            for each in self.screens.values()
            for user_id, name in each.members.items()
            if name == person
        )

    def takes(self, room_id: str, event: Mapping[str, Any]) -> None:
        """An event of a room that the person is in."""
        self.invited.pop(room_id, None)
        self.screens.setdefault(room_id, Screen()).takes(event)

    def is_out(self, room_id: str) -> None:
        """The person is not in the room any more, or not invited."""
        self.invited.pop(room_id, None)
        self.screens.pop(room_id, None)

    # Messages

    async def says(self, room: str, text: str) -> None:
        await self.sends(self.room(room), "m.room.message", contents.text(text))

    async def edits(self, room: str, text: str, new: str) -> None:
        event_id = self.screen(room).find(text).event_id
        await self.sends(self.room(room), "m.room.message", contents.edit(event_id, new))

    async def replies(self, room: str, to: str, text: str) -> None:
        event_id = self.screen(room).find(to).event_id
        await self.sends(self.room(room), "m.room.message", contents.reply(event_id, text))

    async def says_in_thread(self, room: str, root: str, text: str) -> None:
        event_id = self.screen(room).find(root).event_id
        content = contents.in_thread(event_id, event_id, text)
        await self.sends(self.room(room), "m.room.message", content)

    async def reacts(self, room: str, text: str, key: str) -> None:
        event_id = self.screen(room).find(text).event_id
        await self.sends(self.room(room), "m.reaction", contents.reaction(event_id, key))

    async def takes_back(self, room: str, text: str, key: str) -> None:
        event_id = self.screen(room).reaction_of(text, key, self.user_id)
        await self.redacts(self.room(room), event_id)

    async def deletes(self, room: str, text: str) -> None:
        await self.redacts(self.room(room), self.screen(room).find(text).event_id)

    async def sets_topic(self, room: str, topic: str) -> None:
        await self.sets(self.room(room), "m.room.topic", {"topic": topic})

    # What it shows

    async def rooms(self) -> list[str]:
        return sorted(each.name or "" for each in self.screens.values())

    async def invitations(self) -> list[str]:
        return sorted(self.invited.values())

    async def topic(self, room: str) -> str | None:
        return self.screen(room).topic

    async def members(self, room: str) -> list[str]:
        return sorted(self.screen(room).members.values())

    async def texts(self, room: str) -> list[str]:
        return self.screen(room).main()

    async def thread(self, room: str, root: str) -> list[str]:
        return self.screen(room).thread(self.screen(room).find(root).event_id)

    async def replied_to(self, room: str, text: str) -> str | None:
        screen = self.screen(room)
        reply_to = screen.find(text).reply_to
        return screen.messages[reply_to].body if reply_to else None

    async def reactions(self, room: str, text: str) -> dict[str, int]:
        return self.screen(room).counts(text)

    async def has_read(self, room: str, person: str, text: str) -> bool:
        return self.screen(room).has_read(self.user(person), text)

    async def writing(self, room: str) -> list[str]:
        screen = self.screen(room)
        return sorted(screen.members[each] for each in screen.writing)

    async def unread(self, room: str) -> int:
        return self.screen(room).unread

    async def presence(self, person: str) -> str | None:
        return self.statuses.get(self.user(person))
