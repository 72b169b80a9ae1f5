"""Pages of messages that were read lately, as JSON: who scrolls up reads what others read.

Kept are full pages of messages on which nothing hangs, for members who were there all the time. For
them only the transaction IDs of what they sent themselves depend on the reader, and nothing changes
but the age of the events, until something in the room is redacted, edited, referred to or answered
in a thread; then the room's pages go.
"""

from collections import OrderedDict
from collections.abc import Sequence

import orjson

from homeserver.identifiers import UserID
from homeserver.message_json import Message
from homeserver.messages import REDACTION_TYPE, relation_of
from homeserver.streams.tail import Committed, EventTail
from homeserver.values import value
from homeserver.views.history import ReadableRoom

MAX_BYTES = 8 * 2**20
_AROUND_EVENT_BYTES = 150
"""What Python needs for an event beside its JSON."""

Key = tuple[int, int, int, int, bool]
"""Room, after, up to, size, forwards."""


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
    messages: Sequence[Message]
    versions: frozenset[int]

    def is_for(self, room: ReadableRoom) -> bool:
        return is_member_throughout(room, self.versions)

    def events(self, session_nid: int, now_ms: int) -> list[orjson.Fragment]:
        """For the session that reads."""
        return [orjson.Fragment(each.json(session_nid, now_ms)) for each in self.messages]

    @property
    def size(self) -> int:
        """In memory, bytes."""
        return sum(
            len(each.head) + len(each.txn_id or b"") + _AROUND_EVENT_BYTES for each in self.messages
        )


def is_member_throughout(room: ReadableRoom, versions: frozenset[int]) -> bool:
    return all(room.membership_before(version) == "join" for version in versions)


class PageCache:
    """changes: how often something kept may have become wrong; what was read before such a moment
    is not put in after it."""

    def __init__(self, *, tail: EventTail, max_bytes: int = MAX_BYTES) -> None:
        self.changes = 0
        self._tail = tail
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pages: OrderedDict[Key, CachedPage] = OrderedDict()
        self._of_room: dict[int, set[Key]] = {}
        tail.subscribe(self._happened)

    def get(self, key: Key) -> CachedPage | None:
        page = self._pages.get(key)
        if page is None or not self._tail.is_caught_up:
            return None
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
