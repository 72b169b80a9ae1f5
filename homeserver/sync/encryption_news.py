"""What concerns encryption, for who is told of everything else by other ways: native devices.

The same as `/sync` says of it, with tokens of the same kind.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from e2e.device_lists import NO_CHANGES, DeviceListChanges, load_changes
from e2e.stocks import Stocks
from homeserver.requester import Requester
from homeserver.storage import sync_reads
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Stock
from homeserver.sync.encryption_reading import waiting_messages
from homeserver.sync.inboxes import Inboxes
from homeserver.sync.reading import within
from homeserver.sync.token import SyncToken
from homeserver.values import value

MAX_BYTES = 262_144
"""Of the messages to a device that are told at once; one of them in any case."""


@value
class EncryptionNews:
    """to_device: events as JSON. token: up to where this is all. stock: what the device has to
    hand out. is_all: False where messages wait that are not among these.
    """

    token: SyncToken
    to_device: Sequence[bytes]
    device_lists: DeviceListChanges
    stock: Stock
    is_all: bool = True

    def tells_more_than(self, told: "EncryptionNews") -> bool:
        """Whether somebody who was told that wants to know this."""
        return bool(self.to_device or self.device_lists or self.stock != told.stock)


class EncryptionSync:
    """Reads what a device is told, and takes what it says it has."""

    def __init__(self, *, database: Database, inboxes: Inboxes, stocks: Stocks) -> None:
        self._database = database
        self._inboxes = inboxes
        self._stocks = stocks

    async def acknowledge(self, by: Requester, token: SyncToken) -> SyncToken:
        """The device has what came with a token: messages to it are deleted. Returns the token, or
        one farther if it has said so before. Raises Unavailable.
        """
        done = await self._inboxes.acknowledge(by, token.to_device)
        return token if done == token.to_device else replace(token, to_device=done)

    async def since(
        self, by: Requester, since: SyncToken | None, *, max_bytes: int = MAX_BYTES
    ) -> EncryptionNews:
        """What is new after a token that was acknowledged; None: what waits. Of whose devices
        changed only who has a token is told. Raises Unavailable.
        """
        async with self._database.snapshot() as db:
            now = await sync_reads.positions(db)
            since = within(since, now)
            messages, told = await waiting_messages(
                db,
                by.session_nid,
                after=0 if since is None else since.to_device,
                upto=now.to_device,
                max_bytes=max_bytes,
            )
            changes = NO_CHANGES
            if since is not None:
                changes = await load_changes(
                    db, by, events=since.events, device_lists=since.device_lists
                )
        token = SyncToken(events=now.events, to_device=told, device_lists=now.device_lists)
        is_all = told == now.to_device
        return EncryptionNews(token, messages, changes, await self.stock(by), is_all)

    def peek_stock(self, by: Requester) -> Stock | None:
        """What is in memory of the keys that the device has to hand out."""
        return self._stocks.peek(by.session_nid)

    async def stock(self, by: Requester) -> Stock:
        """Raises Unavailable."""
        return await self._stocks.of(by.session_nid)

    async def rooms_of(self, user_nids: Collection[int]) -> dict[int, set[int]]:
        """The users by the rooms that they are in. Raises Unavailable."""
        async with self._database.connection() as db:
            return await sync_reads.rooms_of_many(db, user_nids)
