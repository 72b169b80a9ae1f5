"""When and from where each session was last used: noted in memory, written once in a while."""

from itertools import islice

from homeserver.addresses import parse_address
from homeserver.clock import Clock
from homeserver.storage import sessions
from homeserver.storage.database import Database
from homeserver.storage.sessions import Seen

_BATCH = 1000
_MAX_PENDING = 100_000


class Sightings:
    """A request only notes that a session was used; `flush`, once a minute, writes what was noted.

    What is noted and not yet written is lost in a crash: it says when somebody was last seen, to
    the minute.
    """

    def __init__(self, *, database: Database, clock: Clock, lifetime_ms: int) -> None:
        """lifetime_ms: how long a session that cannot be refreshed lasts without being used."""
        self._database = database
        self._lifetime_ms = lifetime_ms
        self._clock = clock
        self._pending: dict[int, Seen] = {}

    def note(self, session_nid: int, address: str | None) -> None:
        """address: what the client's address is believed to be, as text."""
        if session_nid in self._pending or len(self._pending) >= _MAX_PENDING:
            return
        self._pending[session_nid] = Seen(
            session_nid=session_nid, at_ms=self._clock.now_ms(), address=parse_address(address)
        )

    async def flush(self) -> None:
        """Write what was noted. Raises Unavailable; what was not written is noted still."""
        while batch := dict(islice(self._pending.items(), _BATCH)):
            await self._database.retrying(
                lambda db: sessions.mark_seen(db, batch.values(), lifetime_ms=self._lifetime_ms)
            )
            for session_nid in batch:
                del self._pending[session_nid]
