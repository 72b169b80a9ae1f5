"""Which devices have messages waiting, in memory: so that a sync which acknowledges nothing asks
the database nothing.

A sync says with its token what its device has; that is deleted then, and not before, so that an
answer which was lost is given again.
Source: C-S API v1.19 "Send-to-Device messaging", "Server behaviour".
"""

from collections import OrderedDict
from collections.abc import Sequence

from homeserver.errors import Unavailable
from homeserver.requester import Requester
from homeserver.storage import to_device
from homeserver.storage.database import Database
from homeserver.storage.to_device import ToDeviceRow
from homeserver.streams.to_device import ToDeviceTail
from homeserver.values import value

CAPACITY = 50_000


@value
class _Waiting:
    """Positions between which messages may wait; 0 for none. done: up to here they were fetched."""

    oldest: int = 0
    newest: int = 0
    done: int = 0


class Inboxes:
    """Of devices that have synced; bounded, and those not used for the longest leave first."""

    def __init__(self, *, database: Database, tail: ToDeviceTail, capacity: int = CAPACITY) -> None:
        self._database = database
        self._tail = tail
        self._capacity = capacity
        self._of: OrderedDict[int, _Waiting] = OrderedDict()

    def start(self) -> None:
        """Follows what is sent from now on."""
        self._tail.subscribe(self._sent)

    async def acknowledge(self, by: Requester, upto: int) -> int:
        """The device has what was sent up to a position. Returns up to where it has said so, now or
        before: with an older token, nothing that is deleted is told again. Raises Unavailable.
        """
        session_nid = by.session_nid
        known = self._of.get(session_nid)
        if session_nid > 0 and upto and (known is None or 0 < known.oldest <= upto):
            await self._delete(session_nid, upto)
        elif known is not None:
            self._of.move_to_end(session_nid)
        return self._note_done(session_nid, upto)

    async def _delete(self, session_nid: int, upto: int) -> None:
        before = self._of.get(session_nid, _Waiting())
        # What is sent while the database works is noted here.
        self._keep(session_nid, _Waiting(done=before.done))
        try:
            async with self._database.connection() as db:
                newest = await to_device.acknowledge(db, session_nid, upto)
        except Unavailable:
            self._of.pop(session_nid, None)
            raise
        if newest is not None:
            meanwhile = self._of.get(session_nid, before)
            oldest, newest = min(upto + 1, newest), max(newest, meanwhile.newest)
            self._keep(session_nid, _Waiting(oldest, newest, meanwhile.done))

    def _note_done(self, session_nid: int, upto: int) -> int:
        """A position that is not there yet is of another database."""
        known = self._of.get(session_nid)
        if known is None or upto > self._tail.position:
            return upto
        if upto > known.done:
            self._of[session_nid] = _Waiting(known.oldest, known.newest, upto)
        return max(upto, known.done)

    def _sent(self, batch: Sequence[ToDeviceRow]) -> None:
        for row in batch:
            known = self._of.get(row.session_nid)
            if known is not None:
                oldest = known.oldest or row.position
                self._of[row.session_nid] = _Waiting(oldest, row.position, known.done)

    def _keep(self, session_nid: int, waiting: _Waiting) -> None:
        self._of[session_nid] = waiting
        self._of.move_to_end(session_nid)
        if len(self._of) > self._capacity:
            self._of.popitem(last=False)
