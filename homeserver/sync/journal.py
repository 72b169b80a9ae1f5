"""What happened lately, in memory: the tails' rows by room and by user, and who waits for them.

Everything that is told to somebody passes here once: it is kept where it will be looked for, what
it makes outdated is forgotten, and those whom it concerns are woken.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from homeserver.errors import Unavailable
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import ServerName, UserID, server_of
from homeserver.storage import sync_reads
from homeserver.storage.account_data import AccountDataRow
from homeserver.storage.database import Database
from homeserver.storage.receipts import ReadRow
from homeserver.storage.to_device import ToDeviceRow
from homeserver.streams.account_data import RING_SIZE as ACCOUNT_DATA_RING
from homeserver.streams.account_data import AccountDataTail
from homeserver.streams.account_settings import IGNORED_USER_LIST
from homeserver.streams.device_lists import DeviceListTail
from homeserver.streams.people import Person
from homeserver.streams.presence import PresenceStream
from homeserver.streams.receipts import RING_SIZE as RECEIPTS_RING
from homeserver.streams.receipts import ReceiptTail
from homeserver.streams.tail import RING_SIZE, Committed, EventTail
from homeserver.streams.to_device import RING_SIZE as TO_DEVICE_RING
from homeserver.streams.to_device import ToDeviceTail
from homeserver.streams.typing import TypingStream
from homeserver.sync.bodies import Bodies
from homeserver.sync.device_list_news import DeviceListNews
from homeserver.sync.members import MemberEvents
from homeserver.sync.recent import Recent
from homeserver.sync.rosters import Roster, Rosters
from homeserver.sync.summaries import Summaries
from homeserver.sync.token import SyncToken

_RETRY_S = 0.5
_REDACTION = "m.room.redaction"


@dataclass(slots=True)
class News:
    """What happened to somebody, by room number. presence, devices: of whom.
    to_device: messages to the device that asks.
    """

    events: dict[int, Sequence[Committed]] = field(default_factory=dict)
    receipts: dict[int, Sequence[ReadRow]] = field(default_factory=dict)
    typing: set[int] = field(default_factory=set)
    account_data: Sequence[AccountDataRow] = ()
    presence: Sequence[int] = ()
    to_device: Sequence[ToDeviceRow] = ()
    devices: Sequence[UserID] = ()

    @property
    def is_empty(self) -> bool:
        return not (
            self.events
            or self.receipts
            or self.typing
            or self.account_data
            or self.presence
            or self.to_device
            or self.devices
        )


NOTHING = News()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tails:
    """The streams that clients are told of."""

    events: EventTail
    receipts: ReceiptTail
    account_data: AccountDataTail
    to_device: ToDeviceTail
    device_lists: DeviceListTail
    typing: TypingStream
    presence: PresenceStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is kept of rooms and events, and must hear when it is outdated."""

    bodies: Bodies
    summaries: Summaries
    members: MemberEvents


class Journal:
    """Follows the tails from `start` on. boot: the process, see `SyncToken`."""

    def __init__(
        self,
        *,
        tails: Tails,
        memory: Memory,
        rosters: Rosters,
        database: Database,
        server_name: ServerName,
        max_presence_members: int,
        boot: str,
    ) -> None:
        self._tails = tails
        self._memory = memory
        self._rosters = rosters
        self._database = database
        self._server_name = server_name
        self._max_presence_members = max_presence_members
        self._boot = boot
        self._events: Recent[Committed] = Recent(key=_room_of, capacity=RING_SIZE)
        self._receipts: Recent[ReadRow] = Recent(key=_room_of_receipt, capacity=RECEIPTS_RING)
        self._account_data: Recent[AccountDataRow] = Recent(
            key=_owner_of, capacity=ACCOUNT_DATA_RING
        )
        self._to_device: Recent[ToDeviceRow] = Recent(key=_device_of, capacity=TO_DEVICE_RING)
        self._device_lists = DeviceListNews(
            tail=tails.device_lists, rosters=rosters, database=database
        )
        self._now = SyncToken(events=0)
        self._position = 0
        self._changed: set[int] = set()
        self._changed_upto = 0
        self._change = asyncio.Event()
        self.told_presence = 0
        """The newest change of presence that everybody whom it concerns knows of."""

    def start(self) -> None:
        """The streams must have been started."""
        tails = self._tails
        self._position = tails.events.position
        self._events.start(self._position)
        self._receipts.start(tails.receipts.position)
        self._account_data.start(tails.account_data.position)
        self._to_device.start(tails.to_device.position)
        self._device_lists.start()
        self.told_presence = tails.presence.position
        tails.events.subscribe(self._happened)
        tails.receipts.subscribe(self._read)
        tails.account_data.subscribe(self._put)
        tails.to_device.subscribe(self._sent)
        tails.typing.subscribe(self._wrote)
        tails.presence.subscribe_changes(self._came_or_went)

    @property
    def now(self) -> SyncToken:
        """Where all streams stand. Of events, what has passed here: other followers of the tail,
        who may come first, have people stop typing.
        """
        tails, now = self._tails, self._now
        if (
            now.events == self._position
            and now.receipts == tails.receipts.position
            and now.account_data == tails.account_data.position
            and now.to_device == tails.to_device.position
            and now.device_lists == self._device_lists.position
            and now.typing == tails.typing.position
            and now.presence == self.told_presence
            and now.boot == self._boot
        ):
            return now
        self._now = SyncToken(
            events=self._position,
            receipts=tails.receipts.position,
            account_data=tails.account_data.position,
            to_device=tails.to_device.position,
            device_lists=self._device_lists.position,
            boot=self._boot,
            typing=tails.typing.position,
            presence=self.told_presence,
        )
        return self._now

    def news(self, roster: Roster, since: SyncToken, session_nid: int) -> News | None:
        """What happened to somebody after a place, and to the device of a session; None: that must
        be looked up.
        """
        now = self.now
        if since.boot != self._boot or since.events < roster.known_from:
            return None
        if since == now:
            return NOTHING
        if not self._reaches(since, now):
            return None
        typing = self._typing_since(roster, since)
        presence = roster.news_since(since.presence)
        events = self._events_since(roster, since.events)
        devices = roster.devices_since(since.device_lists)
        if typing is None or presence is None or events is None or devices is None:
            return None
        return News(
            events=events,
            receipts=self._receipts_since(roster, since.receipts),
            typing=typing,
            account_data=self._account_data.of(roster.user_nid, since.account_data),
            presence=presence,
            to_device=self._to_device.of(session_nid, since.to_device),
            devices=devices,
        )

    def has_reached(self, token: SyncToken) -> bool:
        """Whether the streams stand there, or farther."""
        now = self.now
        return (
            now.events >= token.events
            and now.receipts >= token.receipts
            and now.account_data >= token.account_data
            and now.to_device >= token.to_device
            and now.device_lists >= token.device_lists
        )

    async def follow_devices(self) -> None:
        """Finds out whom changes of devices concern, until cancelled."""
        while True:
            for roster in await self._device_lists.next():
                roster.wake(replace(self.now, device_lists=0))

    async def run(self) -> None:
        """Finds out whom changes of presence concern, until cancelled."""
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            upto = self._changed_upto
            try:
                await self._tell_presence(changed, upto)
            except Unavailable:
                self._changed |= changed
                await asyncio.sleep(_RETRY_S)
                self._change.set()

    def _reaches(self, since: SyncToken, now: SyncToken) -> bool:
        """Whether everything after a place is in memory; nothing is known of the future."""
        return (
            self._events.covers(since.events)
            and self._receipts.covers(since.receipts)
            and self._account_data.covers(since.account_data)
            and self._to_device.covers(since.to_device)
            and since.events <= now.events
            and since.receipts <= now.receipts
            and since.account_data <= now.account_data
            and since.to_device <= now.to_device
            and since.device_lists <= now.device_lists
        )

    def _events_since(self, roster: Roster, after: int) -> dict[int, Sequence[Committed]] | None:
        found: dict[int, Sequence[Committed]] = {}
        for room_nid in roster.rooms.keys() & self._events.changed(after):
            if not self._events.knows(room_nid, after):
                return None
            found[room_nid] = self._events.of(room_nid, after)
        return found

    def _receipts_since(self, roster: Roster, after: int) -> dict[int, Sequence[ReadRow]]:
        found: dict[int, Sequence[ReadRow]] = {}
        for room_nid in roster.rooms.keys() & self._receipts.changed(after):
            rows = [
                row
                for row in self._receipts.of(room_nid, after)
                if not row.is_private or row.reader_nid == roster.user_nid
            ]
            if rows:
                found[room_nid] = rows
        return found

    def _typing_since(self, roster: Roster, since: SyncToken) -> set[int] | None:
        if since.typing == self._tails.typing.position:
            return set()
        changed = self._tails.typing.changed_since(since.typing)
        return None if changed is None else changed & roster.rooms.keys()

    def _happened(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            self._check(committed)
            self._events.add((committed,))
        memory = self._memory
        memory.bodies.follow(batch)
        memory.summaries.follow(batch)
        memory.members.follow(batch)
        concerned = self._rosters.follow(batch)
        self._position = batch[-1].position
        checked = replace(self.now, events=batch[0].position - 1)
        for room_nid in {committed.room.room_nid for committed in batch}:
            for roster in self._rosters.in_room(room_nid):
                roster.wake(checked)
        for roster in concerned:
            roster.wake(checked)

    def _check(self, committed: Committed) -> None:
        """Forgets what an event makes untrue."""
        room_nid, position = committed.room.room_nid, committed.position
        if not self._continues(committed):
            self._doubt(room_nid, position)
        redacted = committed.stored.event.redacts
        if committed.stored.event.type == _REDACTION and redacted is not None:
            recent = self._events.of(room_nid, 0)
            if any(each.stored.event.event_id == redacted for each in recent):
                self._events.forget(room_nid, position - 1)

    def _continues(self, committed: Committed) -> bool:
        """Whether the room's state changed by nothing but its events, one after the other.

        Where the graph forks, state is settled between branches, and only the database knows how.
        """
        facts = committed.stored.facts
        if facts.fork_nid is not None:
            return False
        recent = self._events.of(committed.room.room_nid, 0)
        if not recent:
            return server_of(committed.stored.event.sender) == self._server_name
        last = recent[-1].stored
        return facts.state_version == (last.facts.state_version or 0) + last.event.is_state

    def _doubt(self, room_nid: int, position: int) -> None:
        """All that is known of a room is looked up again."""
        self._events.forget(room_nid, position)
        self._memory.summaries.forget(room_nid)
        self._memory.members.forget_room(room_nid)
        for roster in tuple(self._rosters.in_room(room_nid)):
            self._rosters.drop(roster)
            roster.wake(replace(self.now, events=position - 1))

    def _read(self, batch: Sequence[ReadRow]) -> None:
        self._receipts.add(batch)
        checked = replace(self.now, receipts=batch[0].position - 1)
        for room_nid in {row.room_nid for row in batch if not row.is_private}:
            for roster in self._rosters.in_room(room_nid):
                roster.wake(checked)
        self._wake({row.reader_nid for row in batch if row.is_private}, checked)

    def _put(self, batch: Sequence[AccountDataRow]) -> None:
        self._account_data.add(batch)
        for row in batch:
            if row.type == IGNORED_USER_LIST:
                self._rosters.follow_ignored(row.user_nid)
        checked = replace(self.now, account_data=batch[0].position - 1)
        self._wake({row.user_nid for row in batch}, checked)

    def _sent(self, batch: Sequence[ToDeviceRow]) -> None:
        self._to_device.add(batch)
        checked = replace(self.now, to_device=batch[0].position - 1)
        self._wake({row.user_nid for row in batch}, checked)

    def _wrote(self, room: RoomRecord, _person: Person, _active: bool) -> None:  # noqa: FBT001
        now = self.now
        checked = replace(now, typing=max(now.typing - 1, 0))
        for roster in self._rosters.in_room(room.room_nid):
            roster.wake(checked)

    def _came_or_went(self, changed: set[int]) -> None:
        self._changed |= changed
        self._changed_upto = self._tails.presence.position
        self._change.set()

    async def _tell_presence(self, changed: set[int], upto: int) -> None:
        readers = {roster.user_nid for roster in self._rosters}
        found: dict[int, set[int]] = {}
        if readers and changed:
            found = await self._concerned(changed, readers)
        checked = self.now
        self.told_presence = upto
        for reader_nid, people in found.items():
            roster = self._rosters.peek(reader_nid)
            if roster is not None:
                # "The updates to the presence status of other users."
                for user_nid in people - {reader_nid}:
                    roster.hear_of(user_nid, upto)
                    roster.wake(checked)

    async def _concerned(self, changed: set[int], readers: set[int]) -> dict[int, set[int]]:
        """Who of the readers shares a room with whom, if it is not too large for that."""
        limit = self._max_presence_members
        async with self._database.connection() as db:
            rooms = await sync_reads.rooms_of_many(db, changed)
            small = await sync_reads.members_of_small(db, rooms, max_members=limit)
        found: dict[int, set[int]] = {}
        for room_nid, members in small.items():
            for reader in readers.intersection(members):
                found.setdefault(reader, set()).update(rooms[room_nid])
        return found

    def _wake(self, user_nids: set[int], checked: SyncToken) -> None:
        for user_nid in user_nids:
            roster = self._rosters.peek(user_nid)
            if roster is not None:
                roster.wake(checked)


def _room_of(committed: Committed) -> int:
    return committed.stored.facts.room_nid


def _room_of_receipt(row: ReadRow) -> int:
    return row.room_nid


def _owner_of(row: AccountDataRow) -> int:
    return row.user_nid


def _device_of(row: ToDeviceRow) -> int:
    return row.session_nid
