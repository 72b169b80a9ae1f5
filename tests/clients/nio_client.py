"""matrix-nio, with its own loop, its own models of rooms and its schemas of every event."""

import asyncio
from typing import Any, TypeVar

import nio

from tests.clients.client import PASSWORD, Client
from tests.clients.screen_client import ScreenClient
from tests.clients.seen import the

R = TypeVar("R")

_WAIT_MS = 30_000
_BAD = (nio.BadEvent, nio.UnknownBadEvent)


class NioClient(ScreenClient):
    """`nio`: the library's client. What the library models, it is asked for."""

    def __init__(self, *, url: str, name: str, tag: str) -> None:
        super().__init__(url=url, name=name, tag=tag)
        self.nio = self._new()
        self._loop: asyncio.Task[None] | None = None
        self._has_begun = False

    async def registers(self) -> None:
        _done(await self.nio.register(self.localpart, PASSWORD))
        self.user_id = self.nio.user_id
        _done(await self.nio.set_displayname(self.name))

    async def logs_in(self) -> None:
        await self.nio.close()
        self.nio = self._new()
        _done(await self.nio.login(PASSWORD))
        self.user_id = self.nio.user_id

    async def starts(self) -> None:
        self.nio.add_event_callback(self._hears, nio.Event)
        self.nio.add_event_callback(self._is_invited, nio.InviteEvent)
        self.nio.add_ephemeral_callback(self._hears_ephemeral, nio.EphemeralEvent)
        self.nio.add_presence_callback(self._hears_presence, nio.PresenceEvent)
        self.nio.add_response_callback(self._has_synced, nio.SyncResponse)
        self.nio.add_response_callback(self._has_failed, nio.ErrorResponse)
        self._syncs_as("online")
        await self._looks(bool, "has_synced")

    def _syncs_as(self, status: str) -> None:
        """Each sync says again what the person is."""
        self._loop = asyncio.create_task(
            self.nio.sync_forever(timeout=_WAIT_MS, set_presence=status)
        )

    async def has_synced(self) -> bool:
        return self._has_begun

    async def stops(self) -> None:
        """Asks for nothing more by itself."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def closes(self) -> None:
        await self.stops()
        await self.nio.close()
        assert not self.complaints, self.complaints

    # Rooms

    async def creates(self, room: str, *invited: Client) -> None:
        _done(await self.nio.room_create(name=room, invite=[each.user_id for each in invited]))
        await self.has(room)

    async def invites(self, room: str, person: Client) -> None:
        _done(await self.nio.room_invite(self.room(room), person.user_id))

    async def accepts(self, room: str) -> None:
        room_id = the(key for key, name in self.invited.items() if name == room)
        _done(await self.nio.join(room_id))
        await self.has(room)

    async def leaves(self, room: str) -> None:
        _done(await self.nio.room_leave(self.room(room)))

    async def removes(self, room: str, person: Client) -> None:
        _done(await self.nio.room_kick(self.room(room), person.user_id))

    async def sends(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        _done(await self.nio.room_send(room_id, event_type, content))

    async def sets(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        _done(await self.nio.room_put_state(room_id, event_type, content))

    async def redacts(self, room_id: str, event_id: str) -> None:
        _done(await self.nio.room_redact(room_id, event_id))

    # Of the moment

    async def reads(self, room: str, text: str) -> None:
        event_id = self.screen(room).find(text).event_id
        _done(await self.nio.room_read_markers(self.room(room), event_id, event_id))

    async def types(self, room: str) -> None:
        _done(await self.nio.room_typing(self.room(room), typing_state=True, timeout=_WAIT_MS))

    async def stops_typing(self, room: str) -> None:
        _done(await self.nio.room_typing(self.room(room), typing_state=False))

    async def is_now(self, status: str) -> None:
        await self.stops()
        _done(await self.nio.set_presence(status))
        self._syncs_as(status)

    # What the library's own models show

    def modelled(self, room: str) -> nio.MatrixRoom:
        return self.nio.rooms[self.room(room)]

    async def replacement(self, room_id: str) -> str | None:
        """Where an upgraded room goes on."""
        return self.nio.rooms[room_id].replacement_room

    async def topic(self, room: str) -> str | None:
        return self.modelled(room).topic

    async def members(self, room: str) -> list[str]:
        found = self.modelled(room).users.values()
        return sorted(each.name for each in found if not each.invited)

    async def writing(self, room: str) -> list[str]:
        found = self.modelled(room)
        return sorted(found.user_name(each) or each for each in found.typing_users)

    async def unread(self, room: str) -> int:
        return self.modelled(room).unread_notifications

    async def presence(self, person: str) -> str | None:
        return the(
            user.presence
            for room in self.nio.rooms.values()
            for user in room.users.values()
            if user.name == person
        )

    # What comes

    def _new(self) -> nio.AsyncClient:
        return nio.AsyncClient(self.url, self.localpart)

    async def _hears(self, room: nio.MatrixRoom, event: nio.Event) -> None:
        if isinstance(event, _BAD):
            self.complaints.append(f"{event.source}")
        self.takes(room.room_id, event.source)

    async def _is_invited(self, room: nio.MatrixInvitedRoom, event: nio.InviteEvent) -> None:
        if isinstance(event, nio.InviteNameEvent):
            self.invited[room.room_id] = event.name

    async def _hears_ephemeral(self, room: nio.MatrixRoom, event: nio.EphemeralEvent) -> None:
        screen = self.screens.get(room.room_id)
        if screen is not None and isinstance(event, nio.ReceiptEvent):
            screen.receipts |= {
                each.user_id: each.event_id
                for each in event.receipts
                if each.receipt_type == "m.read"
            }

    async def _hears_presence(self, event: nio.PresenceEvent) -> None:
        self.statuses[event.user_id] = event.presence

    async def _has_synced(self, response: nio.SyncResponse) -> None:
        for room_id in response.rooms.leave:
            self.is_out(room_id)
        self._has_begun = True
        self.rings()

    async def _has_failed(self, response: nio.ErrorResponse) -> None:
        """The library would ask again at once, for ever."""
        self.complaints.append(str(response))
        self.nio.stop_sync_forever()
        self.rings()


def _done(response: R) -> R:
    """Raises AssertionError for an error, or an answer that the library does not understand."""
    assert not isinstance(response, nio.ErrorResponse), response
    return response
