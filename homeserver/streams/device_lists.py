"""The tail of changes of devices: whose keys to look at again."""

from homeserver.storage import device_lists, streams
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_lists import DEVICE_LISTS, DeviceListRow
from homeserver.streams.bus import Bus
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail

RING_SIZE = 2_000

DeviceListTail = Tail[DeviceListRow]


def device_list_tail(*, database: Database) -> DeviceListTail:
    """Of each user only the newest change stays; it counts for those before it."""

    async def read(db: Connection, position: int) -> Stretch[DeviceListRow]:
        rows = await device_lists.after_position(db, position, READ_LIMIT)
        if len(rows) == READ_LIMIT:
            return Stretch(rows, rows[-1].position)
        return Stretch(rows, await newest(db))

    async def newest(db: Connection) -> int:
        return await streams.current(db, DEVICE_LISTS)

    return Tail(
        database=database, topic=DEVICE_LISTS, read=read, newest=newest, ring_size=RING_SIZE
    )


def follow_sessions(tail: DeviceListTail, bus: Bus) -> None:
    """Devices that end are told of as sessions, and may have had keys."""
    bus.subscribe("session-revoked", lambda _uuid: tail.poll())
