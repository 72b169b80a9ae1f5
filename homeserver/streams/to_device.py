"""The tail of messages to devices."""

from homeserver.storage import streams, to_device
from homeserver.storage.database import Connection, Database
from homeserver.storage.to_device import TO_DEVICE, ToDeviceRow
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail

RING_SIZE = 1_000
"""Messages may have 64 KiB each, though hardly any has more than two."""

ToDeviceTail = Tail[ToDeviceRow]


def to_device_tail(*, database: Database) -> ToDeviceTail:
    """Messages to all devices of this server. Those that were fetched already are gone."""

    async def read(db: Connection, position: int) -> Stretch[ToDeviceRow]:
        rows = await to_device.after_position(db, position, READ_LIMIT)
        if len(rows) == READ_LIMIT:
            return Stretch(rows, rows[-1].position)
        return Stretch(rows, await newest(db))

    async def newest(db: Connection) -> int:
        return await streams.current(db, TO_DEVICE)

    return Tail(database=database, topic=TO_DEVICE, read=read, newest=newest, ring_size=RING_SIZE)
