"""Who is here: the statuses of all devices of a user, seen as one.

A native connection is here until it closes, and says itself how its user is. A Matrix device is
here for a while after each sync, and its user is idle after a while without doing anything. What
other processes say of a user (`sharing`) counts like one more device.
Source: seed section 1 (online, away, busy, offline); C-S API v1.19 "Presence".
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.storage import presence
from homeserver.storage.database import Database
from homeserver.streams.people import Person
from homeserver.streams.serials import Serials
from homeserver.streams.tail import Committed, EventTail

TICK_S = 0.25
SAVE_S = 5.0
TOLD_EVERY_S = 1.0
"""Those who sync are told of changes together, at most so often."""

KEPT_CHANGES = 10_000
MAX_MESSAGES = 50_000
"""Status messages in memory: of those who were here last."""
MAX_GONE = 10_000

# Over several devices, the one that says most counts.
_RANK = {"busy": 3, "online": 2, "away": 1, "offline": 0}

Listener = Callable[[Person, str, int], None]
"""Who, status, last seen in milliseconds."""
ChangesListener = Callable[[set[int]], None]
"""Users (user_nid) whose state changed."""


@dataclass(frozen=True, slots=True)
class OwnState:
    """How somebody is by the devices of this process alone. message: as a tuple of one, if it was
    changed here; None: it was not.
    """

    user_nid: int
    status: str
    last_active_ms: int | None
    message: tuple[str | None] | None = None


OwnListener = Callable[[Sequence[OwnState]], None]


@dataclass(frozen=True, slots=True)
class PresenceState:
    """How somebody is. status: online, away, busy, offline. last_active_ms: None if not known."""

    status: str
    status_msg: str | None = None
    last_active_ms: int | None = None

    @property
    def currently_active(self) -> bool:
        """Who is online has done something within the time after which he would be idle."""
        return self.status == "online"


@dataclass(slots=True)
class _Device:
    """ends_at: when a device that syncs is gone unless it syncs again; None for a connection."""

    status: str
    ends_at: float | None = None

    def status_now(self, *, idle: bool) -> str:
        """idle: whether the user has done nothing for a while. A connection says so itself."""
        if idle and self.ends_at is not None and self.status == "online":
            return "away"
        return self.status


@dataclass(slots=True)
class _Here:
    """A user with devices, or one who has just left. Times in seconds of the monotonic clock.

    leaves_at: the last connection closed, and whoever comes back until then was never away.
    due_at: when it is to be looked at again. own: the status by the devices here; elsewhere: what
    other processes say, by their names. told: the best of them.
    """

    person: Person
    active_at: float
    last_active_ms: int
    devices: dict[int, _Device] = field(default_factory=dict)
    own: str = "offline"
    elsewhere: dict[str, str] = field(default_factory=dict)
    told: str = "offline"
    leaves_at: float | None = None
    due_at: float | None = None


class PresenceStream:
    """Statuses in memory; the time that somebody was last seen, and messages, in the database.

    A device is named by a number: connections by theirs, sessions of the Matrix API by the
    negative of theirs.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        tail: EventTail,
        enabled: bool,
        offline_after_s: float,
        idle_after_s: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._enabled = enabled
        self._offline_after_s = offline_after_s
        self._idle_after_s = idle_after_s
        self._here: dict[int, _Here] = {}
        self._due: list[tuple[float, int]] = []
        self._gone: OrderedDict[int, int] = OrderedDict()
        self._messages: OrderedDict[int, str] = OrderedDict()
        self._unsaved: dict[int, tuple[str, int]] = {}
        self._unsaved_messages: dict[int, str | None] = {}
        self._listeners: list[Listener] = []
        self._own_listeners: list[OwnListener] = []
        self._own_changes: set[int] = set()
        self._own_messages: set[int] = set()
        self._changed: set[int] = set()
        self._changes_listeners: list[ChangesListener] = []
        self._serials = Serials(kept=KEPT_CHANGES)
        tail.subscribe(self._happened)

    async def start(self) -> None:
        """What people said of how they are is remembered. Raises Unavailable."""
        if self._enabled:
            async with self._database.connection() as db:
                self._messages.update(await presence.messages(db, MAX_MESSAGES))

    def subscribe(self, listener: Listener) -> None:
        """Told of each change of a status at once."""
        self._listeners.append(listener)

    def subscribe_changes(self, listener: ChangesListener) -> None:
        """Told of changes together, at most once a second; the position has grown."""
        self._changes_listeners.append(listener)

    def subscribe_own(self, listener: OwnListener) -> None:
        """Told soon of what changes by the devices of this process."""
        self._own_listeners.append(listener)

    @property
    def position(self) -> int:
        """Grows at most once a second; begins anew with each process."""
        return self._serials.position

    def changed_since(self, position: int) -> set[int] | None:
        """Users whose state changed after a position. None: that is not known (any more)."""
        return self._serials.since(position)

    def state(self, user_nid: int) -> PresenceState:
        message = self._messages.get(user_nid)
        here = self._here.get(user_nid)
        if here is None:
            return PresenceState("offline", message, self._gone.get(user_nid))
        return PresenceState(here.told, message, here.last_active_ms)

    def status(self, user_nid: int) -> str:
        here = self._here.get(user_nid)
        return "offline" if here is None else here.told

    def here(self) -> list[int]:
        """Everybody who is not offline, by number."""
        return [user_nid for user_nid, here in self._here.items() if here.told != "offline"]

    def gone(self) -> list[int]:
        """Those who were here and left, the last of them; by number."""
        return [*self._gone]

    def own(self) -> list[OwnState]:
        """Everybody who has devices here."""
        return [
            self._own_state(user_nid)
            for user_nid, here in self._here.items()
            if here.own != "offline"
        ]

    def hear(self, person: Person, peer: str, state: OwnState) -> None:
        """What another process says of a user."""
        if not self._enabled:
            return
        if state.message is not None:
            self._put_message(person.user_nid, state.message[0])
        here = self._here.get(person.user_nid)
        if here is None:
            if state.status == "offline":
                return
            here = _Here(person, self._clock.monotonic(), state.last_active_ms or 0)
            self._here[person.user_nid] = here
        here.last_active_ms = max(here.last_active_ms, state.last_active_ms or 0)
        if state.status == "offline":
            here.elsewhere.pop(peer, None)
        else:
            here.elsewhere[peer] = state.status
        self._settle(here)

    def of_peer(self, peer: str) -> set[int]:
        """Of whom another process has said that they are there."""
        return {user_nid for user_nid, here in self._here.items() if peer in here.elsewhere}

    def lose(self, peer: str, user_nids: Iterable[int]) -> None:
        """They are at that process no more."""
        for user_nid in user_nids:
            here = self._here.get(user_nid)
            if here is not None and here.elsewhere.pop(peer, None) is not None:
                self._settle(here)

    def set(self, person: Person, connection: int, status: str) -> None:
        """A connection opens or says how its user is."""
        if not self._enabled:
            return
        here = self._arrive(person)
        here.devices[connection] = _Device(status)
        self._settle(here)

    def closed(self, user_nid: int, connection: int) -> None:
        """A connection is gone; whoever comes back soon has never been away."""
        here = self._here.get(user_nid)
        if here is None:
            return
        here.devices.pop(connection, None)
        if not here.devices:
            here.leaves_at = self._clock.monotonic() + self._offline_after_s
            self._note(here)
        self._settle(here)

    def synced(self, person: Person, device: int, status: str, *, stays_s: float) -> None:
        """A device syncs, and is here for so long if it does not sync again.

        Who is busy does not stop being busy by syncing.
        """
        if not self._enabled:
            return
        ends_at = self._clock.monotonic() + stays_s
        here = self._here.get(person.user_nid)
        known = None if here is None else here.devices.get(device)
        if known is not None and known.status in (status, "busy"):
            known.ends_at = max(ends_at, known.ends_at or ends_at)
            return
        self.says(person, device, status, stays_s=stays_s)

    def says(self, person: Person, device: int, status: str, *, stays_s: float) -> None:
        """A device that syncs says how its user is, who did so just now."""
        if not self._enabled:
            return
        here = self._arrive(person)
        ends_at = self._clock.monotonic() + stays_s
        known = here.devices.get(device)
        if known is not None and known.ends_at is not None:
            ends_at = max(ends_at, known.ends_at)
        here.devices[device] = _Device(status, ends_at)
        if status in ("online", "busy"):
            self._acts(here)
        self._settle(here)

    def set_message(self, user_nid: int, message: str | None) -> None:
        """What a user says of how he is; None: nothing."""
        if self._enabled and self._put_message(user_nid, message):
            self._unsaved_messages[user_nid] = message
            self._own_messages.add(user_nid)

    def _put_message(self, user_nid: int, message: str | None) -> bool:
        """Whether that is something new."""
        if self._messages.get(user_nid) == message:
            return False
        if message is None:
            del self._messages[user_nid]
        else:
            self._messages[user_nid] = message
            if len(self._messages) > MAX_MESSAGES:
                self._messages.popitem(last=False)
        self._changed.add(user_nid)
        return True

    async def last_seen(self, user_nid: int) -> int | None:
        """Milliseconds since the epoch; now for somebody who is here. Raises Unavailable."""
        if self.status(user_nid) != "offline":
            return self._clock.now_ms()
        if user_nid in self._unsaved:
            return self._unsaved[user_nid][1]
        async with self._database.connection() as db:
            return await presence.last_seen(db, user_nid)

    async def run(self) -> None:
        """Lets people leave and saves when they were seen, until cancelled."""
        save_at = tell_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            self.pass_time()
            self.tell_own_changes()
            if now >= tell_at:
                tell_at = now + TOLD_EVERY_S
                self.tell_changes()
            if now >= save_at:
                save_at = now + SAVE_S
                await self.save()

    def pass_time(self) -> None:
        """Looks at everybody for whom it is time."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            due_at, user_nid = heappop(self._due)
            here = self._here.get(user_nid)
            if here is not None and here.due_at == due_at:
                here.due_at = None
                self._settle(here)

    def tell_own_changes(self) -> None:
        """What changed here is told to those who tell other processes."""
        changed, self._own_changes = self._own_changes, set()
        messages, self._own_messages = self._own_messages, set()
        if changed or messages:
            states = [
                self._own_state(user_nid, with_message=user_nid in messages)
                for user_nid in changed | messages
            ]
            for listener in self._own_listeners:
                listener(states)

    def tell_changes(self) -> None:
        """What changed since the last time has a number now."""
        changed, self._changed = self._changed, set()
        if changed:
            self._serials.changed(changed)
            for listener in self._changes_listeners:
                listener(changed)

    async def save(self) -> None:
        """Writes what is not in the database yet; keeps it for later if that is away."""
        unsaved, self._unsaved = self._unsaved, {}
        messages, self._unsaved_messages = self._unsaved_messages, {}
        if not unsaved and not messages:
            return
        try:
            async with self._database.transaction() as db:
                await presence.save(db, unsaved)
                await presence.save_messages(db, messages, self._clock.now_ms())
        except Unavailable:
            self._unsaved = unsaved | self._unsaved
            self._unsaved_messages = messages | self._unsaved_messages

    def _arrive(self, person: Person) -> _Here:
        here = self._here.get(person.user_nid)
        if here is None:
            here = _Here(person, self._clock.monotonic(), self._clock.now_ms())
            self._here[person.user_nid] = here
        here.leaves_at = None
        return here

    def _acts(self, here: _Here) -> None:
        here.active_at = self._clock.monotonic()
        here.last_active_ms = self._clock.now_ms()

    def _happened(self, batch: Sequence[Committed]) -> None:
        """Who sends something is active, and no longer idle at that device."""
        if not self._here:
            return
        for committed in batch:
            here = self._here.get(committed.sender.user_nid)
            if here is None:
                continue
            self._acts(here)
            device = here.devices.get(-(committed.stored.facts.session_nid or 0))
            if device is not None and device.status == "away":
                device.status = "online"
            if here.told == "away":
                self._settle(here)

    def _settle(self, here: _Here) -> None:
        """Forgets devices that are gone, tells what changed, and looks again when it is time."""
        now = self._clock.monotonic()
        gone = [
            number
            for number, device in here.devices.items()
            if device.ends_at is not None and device.ends_at <= now
        ]
        for number in gone:
            del here.devices[number]
        has_left = not here.devices and (here.leaves_at is None or here.leaves_at <= now)
        if here.devices:
            self._owns(here, self._status(here, now))
        elif has_left:
            self._owns(here, "offline")
        if has_left and not here.elsewhere:
            self._leave(here)
            return
        self._tell(here, max((here.own, *here.elsewhere.values()), key=_RANK.__getitem__))
        self._look_again(here, now)

    def _owns(self, here: _Here, status: str) -> None:
        if status != here.own:
            here.own = status
            self._own_changes.add(here.person.user_nid)

    def _own_state(self, user_nid: int, *, with_message: bool = False) -> OwnState:
        message = (self._messages.get(user_nid),) if with_message else None
        here = self._here.get(user_nid)
        if here is None:
            return OwnState(user_nid, "offline", self._gone.get(user_nid), message)
        return OwnState(user_nid, here.own, here.last_active_ms, message)

    def _status(self, here: _Here, now: float) -> str:
        idle = now >= here.active_at + self._idle_after_s
        statuses = [device.status_now(idle=idle) for device in here.devices.values()]
        return max(statuses, key=_RANK.__getitem__)

    def _leave(self, here: _Here) -> None:
        user_nid = here.person.user_nid
        self._tell(here, "offline")
        del self._here[user_nid]
        self._gone[user_nid] = here.last_active_ms
        self._gone.move_to_end(user_nid)
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    def _look_again(self, here: _Here, now: float) -> None:
        times = [each.ends_at for each in here.devices.values() if each.ends_at is not None]
        if times and (idle_at := here.active_at + self._idle_after_s) > now:
            times.append(idle_at)
        if here.leaves_at is not None and here.leaves_at > now:
            times.append(here.leaves_at)
        if times and (here.due_at is None or min(times) < here.due_at):
            here.due_at = min(times)
            heappush(self._due, (here.due_at, here.person.user_nid))

    def _tell(self, here: _Here, status: str) -> None:
        if status == here.told:
            return
        here.told = status
        self._changed.add(here.person.user_nid)
        last_seen = self._note(here) if here.devices or not here.elsewhere else self._clock.now_ms()
        for listener in self._listeners:
            listener(here.person, status, last_seen)

    def _note(self, here: _Here) -> int:
        now_ms = self._clock.now_ms()
        self._unsaved[here.person.user_nid] = (here.told, now_ms)
        return now_ms
