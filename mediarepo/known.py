"""What mxc:// URIs name, in memory, of what was uploaded or looked up lately.

It is remembered for a minute at most: media never changes, and that something was removed or put
into quarantine is announced (`mediarepo.arrivals`).
"""

from collections import OrderedDict
from uuid import UUID

from homeserver.clock import Clock
from homeserver.storage.media import MediaRecord

_REMEMBERED_MS = 60_000
_MAX_REMEMBERED = 10_000


class KnownMedia:
    """Media that have a file, by UUID. changes: counts what was announced."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[MediaRecord, int]] = OrderedDict()
        self.changes = 0

    def get(self, uuid: UUID) -> MediaRecord | None:
        found, until_ms = self._known.get(uuid, (None, 0))
        return found if self._clock.now_ms() < until_ms else None

    def remember(self, found: MediaRecord, changes: int) -> None:
        """changes: when it was read; what changed since may not be remembered."""
        if found.file is None or changes != self.changes:
            return
        self._known[found.uuid] = found, self._clock.now_ms() + _REMEMBERED_MS
        self._known.move_to_end(found.uuid)
        if len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, uuid: UUID | None) -> None:
        """It changed; None: anything may have."""
        self.changes += 1
        if uuid is None:
            self._known.clear()
        else:
            self._known.pop(uuid, None)
