"""Whose devices somebody must look at again, and whose are no more his affair.

He is told of those with whom he shares a room, encrypted or not: which rooms will be encrypted
nobody knows, and a list that a client does not keep costs it nothing.
Source: C-S API v1.19 "Tracking the device list for a user", "Extensions to /sync"; `keys.yaml`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import device_lists, sync_reads
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_lists import Crossing
from homeserver.storage.sync_reads import Movement, OwnRoom
from homeserver.values import value

_OUTSIDE = frozenset({"invite", "knock"})


@value
class DeviceListChanges:
    """changed: those whose keys are to be read again. left: those who share no room any more."""

    changed: frozenset[UserID] = frozenset()
    left: frozenset[UserID] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.left)


NO_CHANGES = DeviceListChanges()


@dataclass(frozen=True, slots=True)
class Moves:
    """What happened to memberships in rooms that the reader is or was in: who came, who went, and
    the rooms that he himself came to or left.
    """

    came: frozenset[UserID]
    gone: frozenset[UserID]
    entered: frozenset[int] = frozenset()
    departed: frozenset[int] = frozenset()


def moves(crossings: Iterable[Crossing], reader: UserID, joined: Collection[int]) -> Moves:
    """Pure. joined: rooms that the reader is in now. What happened in others counts only if he was
    in them before.
    """
    rows = [each for each in crossings if each.was_in != each.is_in]
    own = {each.room_nid: each.is_in for each in rows if each.user_id == reader}
    entered = frozenset(nid for nid, is_in in own.items() if is_in)
    departed = frozenset(own) - entered
    stayed = frozenset(joined) - entered
    others = [each for each in rows if each.user_id != reader]
    return Moves(
        came=frozenset(each.user_id for each in others if each.is_in and each.room_nid in stayed),
        gone=frozenset(
            each.user_id for each in others if each.was_in and each.room_nid in stayed | departed
        ),
        entered=entered,
        departed=departed,
    )


async def changes_since(
    db: Connection,
    by: Requester,
    own: Mapping[int, OwnRoom],
    moved: Mapping[int, Movement],
    *,
    after: int,
) -> DeviceListChanges:
    """own: rooms that he is in or left since then. moved: since a position of the events.
    after: a position of the device lists. At most four queries.
    """
    changed = frozenset(await device_lists.changed(db, by.user_nid, after=after))
    versions = {
        nid: moved[nid].version_then
        for nid, room in own.items()
        if room.membership not in _OUTSIDE
        and nid in moved
        and moved[nid].version_then < moved[nid].version
    }
    if not versions:
        return DeviceListChanges(changed)
    joined = [nid for nid, room in own.items() if room.membership == "join"]
    found = moves(await device_lists.crossings(db, versions), by.user_id, joined)
    came, gone = found.came, found.gone
    if found.entered:
        came |= await device_lists.newly_shared(db, by.user_nid, [*found.entered])
    if found.departed:
        gone |= await device_lists.joined_members(db, [*found.departed])
    gone -= {by.user_id}
    left = gone - await device_lists.sharing(db, by.user_nid, gone) if gone else gone
    return DeviceListChanges((changed | came) - left, left)


class DeviceLists:
    """Reads of device lists."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def between(self, by: Requester, *, events: int, device_lists: int) -> DeviceListChanges:
        """What changed after positions of two streams. Raises Unavailable."""
        async with self._database.snapshot() as db:
            return await load_changes(db, by, events=events, device_lists=device_lists)

    async def no_longer_shared(self, by: Requester, gone: Collection[UserID]) -> frozenset[UserID]:
        """Those who share no room with the reader. Raises Unavailable."""
        async with self._database.connection() as db:
            return frozenset(gone) - await device_lists.sharing(db, by.user_nid, gone)


async def load_changes(
    db: Connection, by: Requester, *, events: int, device_lists: int
) -> DeviceListChanges:
    """The same as `changes_since`, for who knows nothing of the rooms yet."""
    rooms = await sync_reads.own_rooms(db, by.user_nid, after=events, with_left=False)
    own = {room.room_nid: room for room in rooms}
    moved = await sync_reads.movements(db, dict.fromkeys(own, events)) if own else {}
    return await changes_since(db, by, own, moved, after=device_lists)
