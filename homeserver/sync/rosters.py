"""Active users, in memory: their rooms, whom they ignore, and their requests that wait.

Maintained by the tails, so who is caught up is served without a look at the database. A roster is
loaded when its user syncs; what happens to him while it is loaded has it loaded again.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence

from homeserver.errors import Unavailable
from homeserver.events.content import membership_of
from homeserver.identifiers import RoomID, UserID
from homeserver.requester import Requester
from homeserver.storage import sync_reads
from homeserver.storage.database import Database
from homeserver.streams.account_settings import IgnoredUsers
from homeserver.streams.presence import PresenceStream
from homeserver.streams.tail import Committed
from homeserver.sync.token import SyncToken
from homeserver.sync.waiting import Waiter

CAPACITY = 20_000
_ATTEMPTS = 5
_MAX_NEWS = 5_000
_NOBODY: "frozenset[Roster]" = frozenset()
_MEMBER = "m.room.member"


class Roster:
    """One user. rooms: where he is joined, by number. ignored: whom he ignores.

    known_from: position of the stream of events from which on `rooms` says what happened to him;
    before it he may have come and gone. news_of: presence that he has not been told of, the number
    of the newest change by user, the newest last. devices_of: the same for changes of devices.
    """

    __slots__ = (
        "devices_floor",
        "devices_of",
        "ignored",
        "is_valid",
        "known_from",
        "news_floor",
        "news_of",
        "rooms",
        "user_id",
        "user_nid",
        "waiters",
    )

    def __init__(
        self,
        by: Requester,
        *,
        rooms: dict[int, RoomID],
        ignored: frozenset[UserID],
        known_from: int,
    ) -> None:
        self.user_nid = by.user_nid
        self.user_id = by.user_id
        self.rooms = rooms
        self.ignored = ignored
        self.known_from = known_from
        self.news_floor = 0
        self.news_of: OrderedDict[int, int] = OrderedDict()
        self.devices_floor = 0
        self.devices_of: OrderedDict[UserID, int] = OrderedDict()
        self.waiters: dict[Waiter, None] = {}
        self.is_valid = True

    def wake(self, checked: SyncToken) -> None:
        """There may be news for him. checked: where the streams stood before it."""
        for waiter in self.waiters:
            waiter.wake(checked)

    def hear_of(self, user_nid: int, number: int) -> None:
        """Somebody whose presence he is told of has changed it."""
        self.news_of[user_nid] = number
        self.news_of.move_to_end(user_nid)
        if len(self.news_of) > _MAX_NEWS:
            _, self.news_floor = self.news_of.popitem(last=False)

    def news_since(self, number: int) -> list[int] | None:
        """Whose presence changed after a number; None: that is not known."""
        if number < self.news_floor:
            return None
        found = []
        for user_nid in reversed(self.news_of):
            if self.news_of[user_nid] <= number:
                break
            found.append(user_nid)
        return found

    def hear_of_devices(self, user_id: UserID, position: int) -> None:
        """The devices of somebody whom he shares a room with, or his own, have changed. To be told
        in the order of the positions.
        """
        self.devices_of[user_id] = position
        self.devices_of.move_to_end(user_id)
        if len(self.devices_of) > _MAX_NEWS:
            _, self.devices_floor = self.devices_of.popitem(last=False)

    def devices_since(self, position: int) -> list[UserID] | None:
        """Whose devices changed after a position; None: that is not known."""
        if position < self.devices_floor:
            return None
        found = []
        for user_id in reversed(self.devices_of):
            if self.devices_of[user_id] <= position:
                break
            found.append(user_id)
        return found


class Rosters:
    """All of them, bounded: those not used for the longest leave first, unless somebody waits."""

    def __init__(
        self,
        *,
        database: Database,
        ignored: IgnoredUsers,
        presence: PresenceStream,
        capacity: int = CAPACITY,
    ) -> None:
        self._database = database
        self._ignored = ignored
        self._presence = presence
        self._capacity = capacity
        self._of: OrderedDict[int, Roster] = OrderedDict()
        self._by_id: dict[UserID, Roster] = {}
        self._rooms: dict[int, set[Roster]] = {}
        self._loading: Counter[UserID] = Counter()
        self._changes = 0
        """Of memberships of users who are being loaded."""
        self.told_devices = 0
        """The newest change of devices of which all rosters that it concerns have heard."""

    def __iter__(self) -> Iterator[Roster]:
        return iter(self._of.values())

    def peek(self, user_nid: int) -> Roster | None:
        roster = self._of.get(user_nid)
        if roster is not None:
            self._of.move_to_end(user_nid)
        return roster

    def by_id(self, user_id: str | None) -> Roster | None:
        return None if user_id is None else self._by_id.get(UserID(user_id))

    def in_room(self, room_nid: int) -> Collection[Roster]:
        """Those who are joined to a room. Not to be kept: it changes."""
        return self._rooms.get(room_nid, _NOBODY)

    async def of(self, by: Requester) -> Roster:
        """Raises Unavailable."""
        for _ in range(_ATTEMPTS):
            roster = self.peek(by.user_nid) or await self._load(by)
            if roster is not None:
                return roster
        raise Unavailable("Your rooms are changing too fast; please try again.")

    def follow(self, batch: Sequence[Committed]) -> list[Roster]:
        """Takes over memberships; returns those to whom something happened but a new profile."""
        moved = []
        for committed in batch:
            event = committed.stored.event
            if event.type != _MEMBER or event.state_key is None:
                continue
            user_id = UserID(event.state_key)
            if user_id in self._loading:
                self._changes += 1
            roster = self._by_id.get(user_id)
            if roster is not None and self._moves(roster, committed):
                moved.append(roster)
        return moved

    def follow_ignored(self, user_nid: int) -> None:
        """Somebody changed whom he ignores."""
        roster = self._of.get(user_nid)
        if roster is not None:
            roster.ignored = self._ignored.peek(user_nid) or frozenset()

    def drop(self, roster: Roster) -> None:
        """What it says may be wrong: the next sync of its user loads it again."""
        roster.is_valid = False
        if self._of.get(roster.user_nid) is roster:
            del self._of[roster.user_nid]
            del self._by_id[roster.user_id]
        for room_nid in roster.rooms:
            self._leave(roster, room_nid)

    def _moves(self, roster: Roster, committed: Committed) -> bool:
        """Whether his membership changed, beyond his name and picture."""
        room = committed.room
        if membership_of(committed.stored.event) == "join":
            if room.room_nid in roster.rooms and committed.prev_membership == "join":
                return False
            roster.rooms[room.room_nid] = room.room_id
            self._rooms.setdefault(room.room_nid, set()).add(roster)
        elif roster.rooms.pop(room.room_nid, None) is not None:
            self._leave(roster, room.room_nid)
        roster.known_from = max(roster.known_from, committed.position)
        return True

    def _leave(self, roster: Roster, room_nid: int) -> None:
        members = self._rooms.get(room_nid)
        if members is not None:
            members.discard(roster)
            if not members:
                del self._rooms[room_nid]

    async def _load(self, by: Requester) -> Roster | None:
        """None: something happened to him meanwhile."""
        changes = self._changes
        self._loading[by.user_id] += 1
        try:
            roster = await self._read(by)
        finally:
            self._loading[by.user_id] -= 1
            if not self._loading[by.user_id]:
                del self._loading[by.user_id]
        known = self._of.get(by.user_nid)
        if known is None and changes == self._changes:
            self._keep(roster)
            return roster
        return known

    async def _read(self, by: Requester) -> Roster:
        ignored = await self._ignored.of(by.user_nid)
        async with self._database.snapshot() as db:
            positions = await sync_reads.positions(db)
            rooms = await sync_reads.joined_rooms(db, by.user_nid)
        return Roster(
            by,
            rooms=rooms,
            ignored=self._ignored.peek(by.user_nid) or ignored,
            known_from=positions.events,
        )

    def _keep(self, roster: Roster) -> None:
        """What changed while it was read may have been told to the others already, and is to be
        looked up.
        """
        roster.devices_floor = self.told_devices
        roster.news_floor = self._presence.position
        self._of[roster.user_nid] = roster
        self._by_id[roster.user_id] = roster
        for room_nid in roster.rooms:
            self._rooms.setdefault(room_nid, set()).add(roster)
        if len(self._of) > self._capacity:
            self._make_room()

    def _make_room(self) -> None:
        """Who waits stays; there are never more of them than connections."""
        for roster in self._of.values():
            if not roster.waiters:
                self.drop(roster)
                return
