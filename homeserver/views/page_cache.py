"""Pages of messages that were read lately, as JSON: who scrolls up reads what others read.

Kept are full pages of messages on which nothing hangs, for members who were there all the time. For
them only the transaction IDs of what they sent themselves depend on the reader, and nothing changes
but the age of the events, until something in the room is redacted, edited, referred to or answered
in a thread; then the room's pages go.
"""

from collections import OrderedDict
from collections.abc import Sequence

import orjson

from homeserver.client_event import JsonObject
from homeserver.events.canonical_json import compact
from homeserver.identifiers import UserID
from homeserver.messages import REDACTION_TYPE, relation_of
from homeserver.streams.tail import Committed, EventTail
from homeserver.values import value
from homeserver.views.history import ReadableRoom

MAX_BYTES = 16 * 2**20
_AROUND_EVENT_BYTES = 150
"""What Python needs for an event beside its JSON."""
_UNSIGNED = b',"unsigned":{"membership":"join","age":'

Key = tuple[int, int, int, int, bool]
"""Room, after, up to, size, forwards."""


@value
class Kept:
    """A message: its JSON up to its age, when it was sent, and for the session that sent it, its
    transaction ID as JSON."""

    head: bytes
    sent_at: int
    session_nid: int | None
    txn_id: bytes | None

    def json(self, session_nid: int, now_ms: int) -> bytes:
        if self.txn_id is None or self.session_nid != session_nid:
            return b"%b%d}}" % (self.head, now_ms - self.sent_at)
        return b'%b%d,"transaction_id":%b}}' % (self.head, now_ms - self.sent_at, self.txn_id)

    @property
    def size(self) -> int:
        return len(self.head) + len(self.txn_id or b"") + _AROUND_EVENT_BYTES


@value
class Outline:
    """What is to be known of a page beside its events. start, end: places; end None: there is no
    more. newest_version: of the state before its newest event.
    """

    start: int
    end: int | None
    newest_version: int
    senders: frozenset[UserID]


@value
class CachedPage:
    """versions: of the state before its events."""

    outline: Outline
    messages: Sequence[Kept]
    versions: frozenset[int]

    def is_for(self, room: ReadableRoom) -> bool:
        return is_member_throughout(room, self.versions)

    def events(self, session_nid: int, now_ms: int) -> list[orjson.Fragment]:
        """For the session that reads."""
        return [orjson.Fragment(each.json(session_nid, now_ms)) for each in self.messages]

    @property
    def size(self) -> int:
        return sum(each.size for each in self.messages)


def is_member_throughout(room: ReadableRoom, versions: frozenset[int]) -> bool:
    return all(room.membership_before(version) == "join" for version in versions)


def kept(message: JsonObject, session_nid: int | None, txn_id: str | None) -> Kept:
    """A rendered message. session_nid, txn_id: who sent it, over the Matrix API."""
    plain = {key: part for key, part in message.items() if key != "unsigned"}
    return Kept(
        head=orjson.dumps(plain)[:-1] + _UNSIGNED,
        sent_at=message["origin_server_ts"],
        session_nid=session_nid,
        txn_id=None if txn_id is None else compact(orjson.dumps(txn_id)),
    )


class PageCache:
    """changes: how often something kept may have become wrong; what was read before such a moment
    is not put in after it."""

    def __init__(self, *, tail: EventTail, max_bytes: int = MAX_BYTES) -> None:
        self.changes = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pages: OrderedDict[Key, CachedPage] = OrderedDict()
        self._of_room: dict[int, set[Key]] = {}
        tail.subscribe(self._happened)

    def get(self, key: Key) -> CachedPage | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: Key, page: CachedPage, *, changes: int) -> None:
        """changes: as they were before the page was read."""
        if changes != self.changes or key in self._pages:
            return
        self._pages[key] = page
        self._of_room.setdefault(key[0], set()).add(key)
        self._bytes += page.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._pages)))

    def _happened(self, batch: Sequence[Committed]) -> None:
        for committed in batch:
            event = committed.stored.event
            if event.type == REDACTION_TYPE or relation_of(event) is not None:
                self.changes += 1
                for key in [*self._of_room.get(committed.room.room_nid, ())]:
                    self._drop(key)

    def _drop(self, key: Key) -> None:
        self._bytes -= self._pages.pop(key).size
        of_room = self._of_room[key[0]]
        of_room.discard(key)
        if not of_room:
            del self._of_room[key[0]]
