"""What happened for one device since it was told last, in memory: so that who is caught up is told
without a look at the database. Bounded: beyond that it is looked up.
"""

from e2e.device_lists import DeviceListChanges
from homeserver.identifiers import UserID
from homeserver.storage.one_time_keys import Stock
from homeserver.storage.to_device import ToDeviceRow
from homeserver.sync.encryption_news import EncryptionNews
from homeserver.sync.encryption_reading import MAX_TO_DEVICE, fitting
from homeserver.sync.token import SyncToken

MAX_BYTES = 262_144
"""Of messages to the device."""
MAX_PEOPLE = 1_000

Message = ToDeviceRow


class Gathered:
    """must_read: not everything that happened is here. is_stock_new: keys were handed out, or came.

    It begins as something that must be read.
    """

    __slots__ = ("_bytes", "_changed", "_left", "_rows", "is_stock_new", "must_read")

    def __init__(self) -> None:
        self.must_read = True
        self.is_stock_new = False
        self._rows: list[ToDeviceRow] = []
        self._bytes = 0
        self._changed: set[UserID] = set()
        self._left: set[UserID] = set()

    @property
    def is_empty(self) -> bool:
        return not (
            self.must_read or self.is_stock_new or self._rows or self._changed or self._left
        )

    def read_all(self) -> None:
        """Everything is read now; what comes from here on counts."""
        self._give_up()
        self.must_read = self.is_stock_new = False

    def hears(self, row: ToDeviceRow) -> None:
        """A message to the device."""
        if not self.must_read:
            self._rows.append(row)
            self._bytes += len(row.event)
            if len(self._rows) > MAX_TO_DEVICE or self._bytes > MAX_BYTES:
                self.must_be_read()

    def hears_of(self, user_id: UserID) -> None:
        """Somebody's devices changed, or he came to a room."""
        if not self.must_read:
            self._left.discard(user_id)
            self._changed.add(user_id)
            if len(self._changed) > MAX_PEOPLE:
                self.must_be_read()

    def hears_no_more_of(self, user_id: UserID) -> None:
        """Somebody shares no room any more."""
        if not self.must_read:
            self._changed.discard(user_id)
            self._left.add(user_id)
            if len(self._left) > MAX_PEOPLE:
                self.must_be_read()

    def must_be_read(self) -> None:
        self._give_up()
        self.must_read = True

    def take(
        self, since: SyncToken, now: SyncToken, stock: Stock, *, max_bytes: int
    ) -> EncryptionNews:
        """What is to be told after a token, up to where the streams stand; the database may have
        been read farther.
        """
        rows = [row for row in self._rows if row.position > since.to_device]
        told = rows[: fitting([row.event for row in rows], max_bytes)]
        self._rows = rows[len(told) :]
        self._bytes = sum(len(row.event) for row in self._rows)
        changes = DeviceListChanges(frozenset(self._changed), frozenset(self._left))
        self._changed.clear()
        self._left.clear()
        self.is_stock_new = False
        upto = told[-1].position if self._rows else max(since.to_device, now.to_device)
        token = SyncToken(
            events=max(since.events, now.events),
            to_device=upto,
            device_lists=max(since.device_lists, now.device_lists),
        )
        return EncryptionNews(token, [row.event for row in told], changes, stock)

    def _give_up(self) -> None:
        self._rows.clear()
        self._bytes = 0
        self._changed.clear()
        self._left.clear()
