"""End-to-end encryption, wired: keys, messages to devices, and their streams.

The server carries keys and messages that it cannot read; what they mean is the clients' affair.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from e2e.cross_signing import CrossSigning
from e2e.dehydrated_devices import DehydratedDevices
from e2e.device_keys import DeviceKeys
from e2e.device_lists import DeviceLists
from e2e.key_backup import KeyBackup
from e2e.key_checking import KeyChecking
from e2e.one_time_keys import OneTimeKeys
from e2e.stocks import Stocks
from e2e.to_device import ToDevice
from e2e.upkeep import Upkeep
from homeserver.clock import Clock
from homeserver.config import EncryptionConfig
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.streams.device_lists import DeviceListTail, device_list_tail, follow_sessions
from homeserver.streams.to_device import ToDeviceTail, to_device_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """Streams, then actions and views."""

    device_list_tail: DeviceListTail
    to_device_tail: ToDeviceTail
    stocks: Stocks
    key_checking: KeyChecking
    device_keys: DeviceKeys
    one_time_keys: OneTimeKeys
    cross_signing: CrossSigning
    device_lists: DeviceLists
    key_backup: KeyBackup
    dehydrated_devices: DehydratedDevices
    to_device: ToDevice
    upkeep: Upkeep

    async def start(self) -> None:
        """The tails begin where the database stands. Raises Unavailable."""
        await self.device_list_tail.start()
        await self.to_device_tail.start()

    def poll(self) -> None:
        """Announcements may have been missed."""
        self.device_list_tail.poll()
        self.to_device_tail.poll()
        self.stocks.forget_all()

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled."""
        return (
            self.device_list_tail.run,
            self.to_device_tail.run,
            self.key_checking.run,
            self.one_time_keys.run,
            self.upkeep.run,
        )


def build_encryption(
    *,
    settings: EncryptionConfig,
    server_name: ServerName,
    database: Database,
    bus: Bus,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
) -> Encryption:
    """Builds every object once, by name."""
    device_lists = device_list_tail(database=database)
    device_lists.listen(bus)
    follow_sessions(device_lists, bus)
    to_device = to_device_tail(database=database)
    to_device.listen(bus)
    stocks = Stocks(database=database, bus=bus)
    checking = KeyChecking()
    device_keys = DeviceKeys(
        database=database, checking=checking, stocks=stocks, bus=bus, server_name=server_name
    )
    return Encryption(
        device_list_tail=device_lists,
        to_device_tail=to_device,
        stocks=stocks,
        key_checking=checking,
        device_keys=device_keys,
        cross_signing=CrossSigning(database=database, bus=bus),
        device_lists=DeviceLists(database=database),
        key_backup=KeyBackup(database=database),
        dehydrated_devices=DehydratedDevices(
            database=database,
            device_keys=device_keys,
            announce=bus.announce,
            clock=clock,
            random_bytes=random_bytes,
        ),
        upkeep=Upkeep(
            database=database,
            bus=bus,
            clock=clock,
            stale_after_days=settings.stale_device_days,
        ),
        to_device=ToDevice(database=database, tail=to_device, bus=bus, clock=clock),
        one_time_keys=OneTimeKeys(database=database, stocks=stocks, server_name=server_name),
    )
