"""mautrix as a client: its typed events, its store of the state, its own loop."""

import logging
from collections.abc import Callable
from typing import Any

from mautrix.api import HTTPAPI, Method, Path
from mautrix.client import Client as Mautrix
from mautrix.client import InternalEventType, MemoryStateStore
from mautrix.client.syncer import SyncStream
from mautrix.types import Event, EventType, Membership, PresenceState, RoomCreatePreset

from tests.clients.client import PASSWORD, Client
from tests.clients.screen import Screen
from tests.clients.screen_client import ScreenClient
from tests.clients.seen import the

_WAIT_MS = 30_000


class _Complaints(logging.Handler):
    """Takes what the library says that it could not read or do."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.getMessage())


class MautrixClient(ScreenClient):
    """`mautrix`: the library's client."""

    def __init__(self, *, url: str, name: str, tag: str) -> None:
        super().__init__(url=url, name=name, tag=tag)
        log = logging.getLogger(f"mautrix.{self.localpart}")
        log.addHandler(_Complaints(self._complains))
        self._has_begun = False
        self.store = MemoryStateStore()
        self.mautrix = Mautrix(base_url=url, state_store=self.store, log=log)

    @property
    def api(self) -> HTTPAPI:
        return self.mautrix.api

    async def registers(self) -> None:
        body = {
            "username": self.localpart,
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = await self.api.request(Method.POST, Path.v3.register, body)
        self.api.token = answer["access_token"]
        self._is(answer["user_id"])
        await self.mautrix.set_displayname(self.name)

    async def logs_in(self) -> None:
        answer = await self.mautrix.login(self.localpart, password=PASSWORD)
        self._is(answer.user_id)

    async def starts(self) -> None:
        self.mautrix.add_event_handler(EventType.ALL, self._hears, wait_sync=True)
        synced = InternalEventType.SYNC_SUCCESSFUL
        self.mautrix.add_event_handler(synced, self._has_synced, wait_sync=True)
        self.mautrix.start(None)
        await self._looks(bool, "has_synced")

    async def has_synced(self) -> bool:
        return self._has_begun

    async def closes(self) -> None:
        self.mautrix.stop()
        await self.api.session.close()
        assert not self.complaints, self.complaints

    # Rooms

    async def creates(self, room: str, *invited: Client) -> None:
        await self.mautrix.create_room(
            preset=RoomCreatePreset.PRIVATE,
            name=room,
            invitees=[each.user_id for each in invited],
        )
        await self.has(room)

    async def invites(self, room: str, person: Client) -> None:
        await self.mautrix.invite_user(self.room(room), person.user_id)

    async def accepts(self, room: str) -> None:
        room_id = the(key for key, name in self.invited.items() if name == room)
        await self.mautrix.join_room(room_id)
        await self.has(room)

    async def leaves(self, room: str) -> None:
        await self.mautrix.leave_room(self.room(room))

    async def removes(self, room: str, person: Client) -> None:
        await self.mautrix.kick_user(self.room(room), person.user_id)

    async def sends(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        await self.mautrix.send_message_event(room_id, EventType.find(event_type), content)

    async def sets(self, room_id: str, event_type: str, content: dict[str, Any]) -> None:
        await self.mautrix.send_state_event(room_id, EventType.find(event_type), content)

    async def redacts(self, room_id: str, event_id: str) -> None:
        await self.mautrix.redact(room_id, event_id)

    # Of the moment

    async def reads(self, room: str, text: str) -> None:
        event_id = self.screen(room).find(text).event_id
        await self.mautrix.set_fully_read_marker(self.room(room), event_id, event_id)

    async def types(self, room: str) -> None:
        await self.mautrix.set_typing(self.room(room), _WAIT_MS)

    async def stops_typing(self, room: str) -> None:
        await self.mautrix.set_typing(self.room(room), 0)

    async def is_now(self, status: str) -> None:
        self.mautrix.presence = PresenceState(status)
        await self.mautrix.set_presence(PresenceState(status))

    # What the library's own store shows

    async def members(self, room: str) -> list[str]:
        found = self.store.members[self.room(room)].values()
        return sorted(each.displayname for each in found if each.membership is Membership.JOIN)

    # What comes

    def _complains(self, complaint: str) -> None:
        self.complaints.append(complaint)
        self.rings()

    def _is(self, user_id: str) -> None:
        self.user_id = user_id
        self.mautrix.mxid = user_id

    async def _hears(self, event: Event) -> None:
        room_id = getattr(event, "room_id", None)
        if event.type is EventType.TYPING:
            self.screens[room_id].writing = list(event.content.user_ids)
        elif event.type is EventType.RECEIPT:
            self._hears_receipts(room_id, event.content)
        elif event.source & SyncStream.INVITED_ROOM:
            self.invited[room_id] = _name(event.unsigned.invite_room_state)
        elif event.source & SyncStream.LEFT_ROOM:
            self.is_out(room_id)
        elif event.type.is_message or event.type.is_state:
            self.takes(room_id, event.serialize())
        self.rings()

    def _hears_receipts(self, room_id: str, content: Any) -> None:
        for event_id, receipts in content.items():
            for kind, readers in receipts.items():
                if str(kind) == "m.read":
                    self.screens[room_id].receipts |= dict.fromkeys(readers, event_id)

    async def _has_synced(self, event: dict[str, Any]) -> None:
        """The library has no models of presence and counts."""
        self._has_begun = True
        answer = event["data"]
        for each in answer.get("presence", {}).get("events", []):
            self.statuses[each["sender"]] = each["content"]["presence"]
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            counts = room.get("unread_notifications", {})
            screen = self.screens.setdefault(room_id, Screen())
            screen.unread = counts.get("notification_count", screen.unread)
        self.rings()


def _name(state: list[Any]) -> str:
    return the(each.content.name for each in state if each.type is EventType.ROOM_NAME)
