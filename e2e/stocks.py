"""How many one-time keys devices have to hand out, in memory: every sync tells its device."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

from homeserver.storage import one_time_keys
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Stock
from homeserver.streams.bus import Bus

CAPACITY = 50_000
TOPIC = "one-time-keys"
KeyStock = Stock
EMPTY = Stock({}, ())
_SESSIONS_OF_AN_ANNOUNCEMENT = 300


class Stocks:
    """Bounded; those not asked for the longest leave first. By number of the session."""

    def __init__(self, *, database: Database, bus: Bus, capacity: int = CAPACITY) -> None:
        self._database = database
        self._bus = bus
        self._capacity = capacity
        self._known: OrderedDict[int, Stock] = OrderedDict()
        self._loading: Counter[int] = Counter()
        self._outdated: set[int] = set()
        """Of those being loaded: what is read of them may not be kept."""
        bus.subscribe(TOPIC, self._changed)

    def peek(self, session_nid: int) -> Stock | None:
        """What is in memory. Who asks without a device has nothing."""
        if session_nid <= 0:
            return EMPTY
        known = self._known.get(session_nid)
        if known is not None:
            self._known.move_to_end(session_nid)
        return known

    async def of(self, session_nid: int) -> Stock:
        """Raises Unavailable."""
        known = self.peek(session_nid)
        if known is not None:
            return known
        self._loading[session_nid] += 1
        try:
            async with self._database.connection() as db:
                stock = await one_time_keys.stock(db, session_nid)
            if session_nid not in self._outdated:
                self._keep(session_nid, stock)
        finally:
            self._loading[session_nid] -= 1
            if not self._loading[session_nid]:
                del self._loading[session_nid]
                self._outdated.discard(session_nid)
        return stock

    def announce(self, session_nids: Iterable[int]) -> None:
        """Tells all processes that devices have other keys now."""
        ordered: Sequence[str] = [str(nid) for nid in sorted(set(session_nids))]
        for some in _batches(ordered):
            self._bus.announce(TOPIC, " ".join(some))

    def forget_all(self) -> None:
        """For when announcements may have been missed."""
        self._outdated.update(self._loading)
        self._known.clear()

    def _changed(self, payload: str) -> None:
        for session_nid in map(int, payload.split()):
            self._known.pop(session_nid, None)
            if session_nid in self._loading:
                self._outdated.add(session_nid)

    def _keep(self, session_nid: int, stock: Stock) -> None:
        self._known[session_nid] = stock
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


def _batches(ordered: Sequence[str]) -> Iterable[Sequence[str]]:
    size = _SESSIONS_OF_AN_ANNOUNCEMENT
    return (ordered[start : start + size] for start in range(0, len(ordered), size))
