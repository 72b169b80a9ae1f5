"""`message.delivered`: when the first device of another member has really received a message.

After a message was written, up to two connections of other members are pinged; an answer proves
the receipt of everything that was written before the ping. If none comes soon, others are asked;
the answers to heartbeats prove as well. What is kept is bounded: of a message that nobody received
for long, the delivery is not told.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from clientapi.native.audience import Audience, Listener
from clientapi.native.connection import Connection
from clientapi.native.fanout import Fanout
from clientapi.native.framing import json_frame
from clientapi.native.heartbeat import Pings
from clientapi.native.later import Later
from homeserver.clock import Clock
from homeserver.streams.tail import Committed
from homeserver.values import value
from schema.wire.times import timestamp

PROBES = 2
MAX_ATTEMPTS = 3
_LOOKED_AT = 16
_MAX_ROOMS = 2048
_MAX_PER_ROOM = 32
_MAX_DUE = 20_000
_GATHERED_S = 0.1
"""How long after a message others are asked: a ping and its answer cost as much as a message, and
nobody sees a tenth of a second in a tick."""


@value
class Delivery:
    """A user has received everything in a room up to an event."""

    user_nid: int
    room_nid: int
    event_nid: int
    position: int


@dataclass(slots=True, eq=False)
class _Pending:
    """A message that no other member is known to have."""

    uuid: UUID
    sender_nid: int
    room_nid: int
    event_nid: int
    position: int
    attempts: int = 0
    delivered: bool = False


class Deliveries:
    """Messages on their way.

    on_delivered: told of each delivery, at once; must not block.
    """

    def __init__(
        self,
        *,
        audience: Audience,
        pings: Pings,
        fanout: Fanout,
        clock: Clock,
        on_delivered: Callable[[Delivery], None],
        patience_s: float,
    ) -> None:
        self._audience = audience
        self._pings = pings
        self._fanout = fanout
        self._clock = clock
        self._on_delivered = on_delivered
        self._patience_s = patience_s
        self._rooms: OrderedDict[int, deque[_Pending]] = OrderedDict()
        self._due: deque[tuple[float, _Pending]] = deque(maxlen=_MAX_DUE)
        self._unasked: deque[_Pending] = deque(maxlen=_MAX_DUE)
        self._later = Later(self._ask)

    def stop(self) -> None:
        self._later.cancel()

    def written(self, messages: Sequence[Committed]) -> None:
        """These messages have just been written to everybody who hears them."""
        for committed in messages:
            facts = committed.stored.facts
            pending = _Pending(
                uuid=facts.uuid,
                sender_nid=facts.sender_nid,
                room_nid=facts.room_nid,
                event_nid=facts.event_nid,
                position=committed.position,
            )
            self._keep(pending)
            self._unasked.append(pending)
        if messages:
            self._later.ask(_GATHERED_S)

    def answered(self, connection: Connection) -> None:
        """The answer to a ping came: everything written before the ping has been received."""
        listener = self._audience.user(connection.by.user_nid)
        if listener is not None:
            for room_nid in self._rooms_of_interest(listener):
                self._prove(room_nid, listener, connection)
        if connection.ping_again:
            self._pings.send(connection)

    def tick(self) -> None:
        """Asks others where nobody answered."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            _, pending = self._due.popleft()
            if not pending.delivered:
                self._probe(pending)

    def _ask(self) -> None:
        """One ping asks for all that was written to a connection in the meantime."""
        while self._unasked:
            pending = self._unasked.popleft()
            if not pending.delivered:
                self._probe(pending)

    def _keep(self, pending: _Pending) -> None:
        room = self._rooms.get(pending.room_nid)
        if room is None:
            room = self._rooms[pending.room_nid] = deque(maxlen=_MAX_PER_ROOM)
            if len(self._rooms) > _MAX_ROOMS:
                self._rooms.popitem(last=False)
        room.append(pending)

    def _probe(self, pending: _Pending) -> None:
        for connection in self._recipients(pending):
            self._pings.send(connection)
        pending.attempts += 1
        if pending.attempts < MAX_ATTEMPTS:
            self._due.append((self._clock.monotonic() + self._patience_s, pending))

    def _recipients(self, pending: _Pending) -> list[Connection]:
        """Those without a ping on the way first: one that does not answer is not asked again."""
        idle: list[Connection] = []
        busy: list[Connection] = []
        for connection in islice(self._audience.in_room(pending.room_nid), _LOOKED_AT):
            if connection.by.user_nid == pending.sender_nid or not connection.is_live:
                continue
            (idle if connection.pinged_at is None else busy).append(connection)
            if len(idle) == PROBES:
                break
        return (idle + busy)[:PROBES]

    def _rooms_of_interest(self, listener: Listener) -> list[int]:
        if len(self._rooms) < len(listener.rooms):
            return [room_nid for room_nid in self._rooms if room_nid in listener.rooms]
        return [room_nid for room_nid in listener.rooms if room_nid in self._rooms]

    def _prove(self, room_nid: int, listener: Listener, connection: Connection) -> None:
        """Messages from before the connection, or before the membership, were not written to it."""
        begin = max(connection.heard_from, listener.rooms[room_nid])
        end = connection.ping_position
        waiting = self._rooms[room_nid]
        received = [
            pending
            for pending in waiting
            if begin < pending.position <= end and pending.sender_nid != listener.user_nid
        ]
        if not received:
            return
        for pending in received:
            self._tell(pending)
        left = [pending for pending in waiting if not pending.delivered]
        if left:
            self._rooms[room_nid] = deque(left, maxlen=_MAX_PER_ROOM)
        else:
            del self._rooms[room_nid]
        last = received[-1]
        self._on_delivered(Delivery(listener.user_nid, room_nid, last.event_nid, last.position))

    def _tell(self, pending: _Pending) -> None:
        pending.delivered = True
        frame = {
            "type": "message.delivered",
            "message_id": pending.uuid,
            "delivered_at": timestamp(self._clock.now_ms()),
        }
        self._fanout.write(self._audience.of_user(pending.sender_nid), json_frame(frame))
